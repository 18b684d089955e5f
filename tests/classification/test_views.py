import dataclasses

import numpy as np
import pytest

from detection.classification.views import (
    CENTRE,
    CORNERS,
    CROP_SHARE,
    NINE,
    ViewSource,
    crops,
    full_vector,
    mirrored,
    region_vectors,
    squares,
    view_settings,
)
from detection.data import write_image
from detection.features import FeatureExtractor, FeatureSettings
from detection.pipeline.source import shared_extractor
from detection.pooling import pool_map, spatial_pyramid_pool
from detection.types import ClassificationImage

SETTINGS = FeatureSettings(
    "timm/mobilenetv3_small_050", "random", stages=(16, 32), short_sides=(64,), levels=(2, 1), max_long_side=100
)


@pytest.fixture(scope="module")
def extractor():
    return FeatureExtractor.from_settings(view_settings(SETTINGS, 96))


@pytest.fixture(scope="module")
def rgb():
    return np.random.default_rng(0).integers(0, 256, (80, 130, 3), dtype=np.uint8)


def test_places():
    assert squares((80, 130), 60, CENTRE).tolist() == [[35, 10, 95, 70]]
    assert squares((80, 130), 60, CORNERS)[1:].tolist() == [
        [0, 0, 60, 60], [70, 0, 130, 60], [0, 20, 60, 80], [70, 20, 130, 80],
    ]  # fmt: skip
    # No room: one square of the shorter side; in the shorter direction all places are one.
    assert np.unique(squares((80, 130), 200, NINE), axis=0).tolist() == [
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


def test_the_full_image_is_the_region_that_covers_it(extractor, rgb):
    pyramid = extractor.pyramid("a", rgb)
    whole = np.array([[0, 0, 130, 80]], np.float32)
    for settings in (SETTINGS, dataclasses.replace(SETTINGS, pooling="mean")):
        full = full_vector(pyramid, settings)
        assert full.shape == (extractor.length("pool5"),)
        assert np.array_equal(full, region_vectors(pyramid, whole, settings)[0])


@pytest.mark.parametrize(
    "rules",
    [{}, {"projection": "released", "projection_inset": 6.5, "box_scaling": "pixels"}],
    ids=["paper", "released"],
)
def test_regions_are_pooled_as_the_extractor_pools_them(extractor, rgb, rules):
    settings = dataclasses.replace(extractor.settings, **rules)
    boxes = np.array([[0, 0, 50, 60], [33, 11, 120, 71], [100, 50, 130, 80]], np.float32)
    pyramid = extractor.pyramid("a", rgb)
    expected = FeatureExtractor(settings, extractor.backbone).pool(pyramid, boxes).values
    assert np.array_equal(region_vectors(pyramid, boxes, settings), expected)
    if rules:
        assert not np.array_equal(region_vectors(pyramid, boxes, extractor.settings), expected)


def test_no_cap_on_the_longer_side(extractor, rgb):
    assert extractor.pyramid("a", rgb).scales.tolist() == [96 / 80]


def test_crops_are_images_of_their_own(rgb):
    (centre,) = crops(rgb, CENTRE)
    assert centre.shape == (70, 70, 3) == (round(CROP_SHARE * 80), round(CROP_SHARE * 80), 3)
    assert np.array_equal(centre, rgb[5:75, 30:100])
    assert np.array_equal(crops(rgb, CORNERS)[-1], rgb[10:, 60:])
    assert mirrored(mirrored(rgb)).tolist() == rgb.tolist()
    assert mirrored(rgb)[0, 0].tolist() == rgb[0, -1].tolist()


def test_the_vectors_of_every_view(rgb, tmp_path):
    write_image(tmp_path / "a.png", rgb)
    image = ClassificationImage("a", tmp_path / "a.png", np.ones(1, np.int8))
    weights = shared_extractor(SETTINGS, "cpu").backbone.weights_fingerprint
    source = ViewSource(tmp_path / "maps", SETTINGS, weights)
    extractor = source.extractor(64)

    def full(picture):
        return full_vector(extractor.pyramid("b", picture), SETTINGS)

    for _ in range(2):
        # The second time from the maps that were kept.
        both = source.vectors(image, "full", 64, flips=True)
        assert np.array_equal(both, [full(rgb), full(mirrored(rgb))])
        (crop,) = source.vectors(image, "crop", 64, flips=False)
        assert np.array_equal(crop, full(crops(rgb, CENTRE)[0]))
    ten = source.vectors(image, "ten", 64, flips=False)
    expected = [full(one) for picture in (rgb, mirrored(rgb)) for one in crops(picture, CORNERS)]
    assert np.array_equal(ten, expected)
    # 224 px are more than the map has: one place a direction without room, three in the other.
    assert source.vectors(image, "multi", 64, flips=False).shape == (6, len(crop))
