"""Every setting of the features reaches the vectors."""

import dataclasses

import numpy as np
import pytest

from detection.features import FeatureExtractor, FeatureSettings

SETTINGS = FeatureSettings(
    backbone="timm/mobilenetv3_small_050", weights="random", short_sides=(96, 160), max_long_side=200,
    target_area=60.0**2, levels=(2, 1), engine="torch",
)  # fmt: skip
CHANGES = {
    "backbone": "timm/mobilenetv3_small_075", "stages": (16,), "stage_weights": (1.0, 0.5), "short_sides": (96, 128),
    "scale_rule": "side", "projection": "released",
    "max_long_side": 150, "target_area": 90.0**2, "levels": (1, 2), "pooling": "mean", "pool_floor": 0.0, "seed": 1,
}  # fmt: skip


def vectors(settings):
    rgb = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    rng = np.random.default_rng(1)
    corners = rng.uniform(0, 20, (300, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(15, 40, (300, 2))], axis=1).astype(np.float32)
    extractor = FeatureExtractor.from_settings(settings)
    return extractor.regions(extractor.pyramid("a", rgb), boxes).values


@pytest.fixture(scope="module")
def plain():
    return vectors(SETTINGS)


def test_no_field_is_forgotten():
    # Weights by name or path: test_backbone.py; layers: test_extractor.py.
    # The released projection has two numbers of its own: below.  Engines: test_openvino_engine.py.
    others = {"weights", "layer", "head", "projection_inset", "box_scaling", "engine"}
    assert {one.name for one in dataclasses.fields(FeatureSettings)} == set(CHANGES) | others


@pytest.mark.parametrize(("key", "value"), CHANGES.items())
def test_vectors(plain, key, value):
    assert not np.array_equal(vectors(dataclasses.replace(SETTINGS, **{key: value})), plain)


def test_equal_settings_give_equal_vectors(plain):
    assert vectors(SETTINGS).tobytes() == plain.tobytes()


@pytest.mark.parametrize(("key", "value"), [("projection_inset", 0.0), ("box_scaling", "pixels")])
def test_numbers_of_the_released_projection(key, value):
    released = dataclasses.replace(SETTINGS, projection="released")
    assert not np.array_equal(vectors(dataclasses.replace(released, **{key: value})), vectors(released))
