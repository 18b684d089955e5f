import numpy as np
import pytest

from detection.classification.views import (
    CENTRE,
    CORNERS,
    CROP_SHARE,
    NINE,
    crop_vectors,
    cut_centre,
    full_vector,
    mirrored,
    view_settings,
    window_vectors,
)
from detection.features import FeatureExtractor, FeatureSettings
from detection.pooling import pool_map, spatial_pyramid_pool

SETTINGS = FeatureSettings(
    "timm/mobilenetv3_small_050", "random", stages=(16, 32), short_sides=(64,), levels=(2, 1), max_long_side=100
)


@pytest.fixture(scope="module")
def extractor():
    return FeatureExtractor.from_settings(view_settings(SETTINGS, (64, 96)))


@pytest.fixture(scope="module")
def rgb():
    return np.random.default_rng(0).integers(0, 256, (80, 130, 3), dtype=np.uint8)


def test_places():
    assert CENTRE.boxes((80, 130), 60).tolist() == [[35, 10, 95, 70]]
    assert CORNERS.boxes((80, 130), 60)[1:].tolist() == [
        [0, 0, 60, 60], [70, 0, 130, 60], [0, 20, 60, 80], [70, 20, 130, 80],
    ]  # fmt: skip
    # No room: one square of the shorter side; in the shorter direction all places are one.
    assert np.unique(NINE.boxes((80, 130), 200), axis=0).tolist() == [
        [0, 0, 80, 80],
        [25, 0, 105, 80],
        [50, 0, 130, 80],
    ]


def test_any_map_can_be_pooled():
    values = np.random.default_rng(1).standard_normal((5, 3, 7))
    cells = np.array([[0, 0, 7, 3]])
    expected = spatial_pyramid_pool(values.astype(np.float32), cells, (3, 1))[0]
    assert np.array_equal(pool_map(values, (3, 1)), expected)
    assert pool_map(np.array([[[True]], [[False]]]), (1,)).tolist() == [1, 0]
    for wrong in (np.zeros((2, 3)), np.zeros((2, 0, 3)), np.full((1, 1, 1), np.inf), np.array([[["a"]]])):
        with pytest.raises(ValueError, match="pool_map"):
            pool_map(wrong, (1,))


def test_the_full_image_is_the_window_that_covers_it(extractor, rgb):
    pyramid = extractor.pyramid("a", rgb)
    whole = np.array([[0, 0, 130, 80]], np.float32)
    for scale in (0, 1):
        full = full_vector(pyramid, scale, (2, 1))
        assert full.shape == (extractor.length("pool5"),)
        assert np.array_equal(full, window_vectors(pyramid, scale, whole, (2, 1))[0])


def test_no_cap_on_the_longer_side(extractor, rgb):
    assert extractor.pyramid("a", rgb).scales.tolist() == [64 / 80, 96 / 80]


def test_crops_are_images_of_their_own(extractor, rgb):
    extractor = FeatureExtractor(view_settings(SETTINGS, (64,)), extractor.backbone)
    centre = cut_centre(rgb)
    assert centre.shape == (70, 70, 3) == (round(CROP_SHARE * 80), round(CROP_SHARE * 80), 3)
    assert np.array_equal(centre, rgb[5:75, 30:100])
    found = crop_vectors(extractor, rgb, CENTRE.boxes((80, 130), CROP_SHARE * 80))
    assert np.array_equal(found[0], full_vector(extractor.pyramid("b", centre), 0, (2, 1)))
    assert mirrored(mirrored(rgb)).tolist() == rgb.tolist()
    assert mirrored(rgb)[0, 0].tolist() == rgb[0, -1].tolist()
