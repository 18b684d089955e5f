"""Every setting of the features reaches the vectors."""

import dataclasses

import numpy as np
import pytest

from detection.features import FeatureExtractor, FeatureSettings

SETTINGS = FeatureSettings(
    backbone="timm/mobilenetv3_small_050", weights="random", short_sides=(96, 160), max_long_side=200,
    target_area=60.0**2, levels=(2, 1),
)  # fmt: skip
CHANGES = {
    "backbone": "timm/mobilenetv3_small_075", "stages": (16,), "stage_weights": (1.0, 0.5), "short_sides": (96, 128),
    "max_long_side": 150, "target_area": 90.0**2, "levels": (1, 2), "pool_floor": 0.0, "seed": 1,
}  # fmt: skip


def vectors(settings):
    rgb = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    boxes = np.array([[0, 0, 40, 40], [10, 5, 70, 50], [20, 20, 50, 45]], np.float32)
    extractor = FeatureExtractor.from_settings(settings)
    return extractor.regions(extractor.pyramid("a", rgb), boxes).values


@pytest.fixture(scope="module")
def plain():
    return vectors(SETTINGS)


def test_no_field_is_forgotten():
    # Weights by name or path: test_backbone.py; layers: test_extractor.py.
    others = {"weights", "layer"}
    assert {one.name for one in dataclasses.fields(FeatureSettings)} == set(CHANGES) | others


@pytest.mark.parametrize(("key", "value"), CHANGES.items())
def test_vectors(plain, key, value):
    assert not np.array_equal(vectors(dataclasses.replace(SETTINGS, **{key: value})), plain)


def test_equal_settings_give_equal_vectors(plain):
    assert vectors(SETTINGS).tobytes() == plain.tobytes()
