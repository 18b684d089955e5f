import numpy as np
import pytest
from PIL import Image

from detection.features import FeatureExtractor, FeatureSettings, extract_region_features

SETTINGS = FeatureSettings(backbone="timm/mobilenetv3_small_050", weights="random", short_sides=(96,), levels=(2, 1))
BOXES = [[0, 0, 30, 40], [10, 20, 90, 59.5]]


@pytest.fixture(scope="module")
def rgb():
    return np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)


def test_path_image_and_array_give_the_same(rgb, tmp_path):
    Image.fromarray(rgb).save(tmp_path / "a.png")
    extractor = FeatureExtractor.from_settings(SETTINGS)
    expected = extractor.pool(extractor.pyramid("image", rgb), np.array(BOXES, np.float32))
    for image in (rgb, Image.fromarray(rgb), tmp_path / "a.png", str(tmp_path / "a.png")):
        got = extract_region_features(image, BOXES, extractor=extractor)
        assert got.layer == "pool5"
        assert got.boxes.tolist() == BOXES
        assert got.values.tobytes() == expected.values.tobytes()
    got = extract_region_features(rgb, BOXES, settings=SETTINGS)
    assert got.values.tobytes() == expected.values.tobytes()


def test_no_box(rgb):
    assert extract_region_features(rgb, [], settings=SETTINGS).values.shape == (0, (24 + 288) * 5)


@pytest.mark.parametrize(
    ("boxes", "what"),
    [([[0, 0, 5]], "shape"), ([[0, 0, 5, 5], [3, 3, 3, 9]], "row 1"), ([[0, 0, float("nan"), 4]], "finite")],
)
def test_wrong_boxes_are_refused(rgb, boxes, what):
    with pytest.raises(ValueError, match=what):
        extract_region_features(rgb, boxes, settings=SETTINGS)


def test_settings_and_extractor_are_too_much(rgb):
    with pytest.raises(ValueError, match="got both"):
        extract_region_features(rgb, BOXES, settings=SETTINGS, extractor=FeatureExtractor.from_settings(SETTINGS))
