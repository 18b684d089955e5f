import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.features.resize import network_input, normalise, padded_size, resize_image, resized_size


@pytest.mark.parametrize("scale", [688 / 375, 1.28, 1.0, 0.73, 0.31])
def test_the_scale_is_exact_whatever_the_size_is_rounded_to(scale):
    ramp = np.broadcast_to(np.arange(500, dtype=np.float32)[None, :, None], (375, 500, 3))
    resized = resize_image(np.ascontiguousarray(ramp), scale)
    assert resized.shape[:2] == resized_size((375, 500), scale)
    centres = (np.arange(resized.shape[1]) + 0.5) / scale - 0.5
    assert np.abs(resized[7, :, 0] - np.clip(centres, 0, 499)).max() < 1e-3


def test_bilinear_values_by_hand():
    image = np.array([[0, 4], [8, 12]], np.float32)[:, :, None].repeat(3, axis=2)
    expected = [[0, 1, 3, 4], [2, 3, 5, 6], [6, 7, 9, 10], [8, 9, 11, 12]]
    assert resize_image(image, 2.0)[:, :, 0].tolist() == expected


@given(st.integers(1, 60), st.integers(1, 60), st.floats(0.2, 4.0))
def test_size_is_that_of_the_image(height, width, scale):
    image = np.zeros((height, width, 3), np.float32)
    assert resize_image(image, scale).shape[:2] == resized_size((height, width), scale)


def test_padding_is_the_mean_colour_at_the_right_and_the_bottom():
    rgb = np.full((40, 33, 3), 200, np.uint8)
    values = network_input(normalise(rgb, (127.5,) * 3, (127.5,) * 3), 1.0, 32)
    assert values.shape == (1, 64, 64, 3)
    assert values.dtype == np.float32
    assert np.allclose(values[0, :40, :33], (200 - 127.5) / 127.5)
    assert (values[0, 40:] == 0).all()
    assert (values[0, :, 33:] == 0).all()


def test_normalise_each_channel():
    rgb = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    mean, std = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
    expected = (rgb.astype(np.float64) - mean) / std
    assert np.abs(normalise(rgb, mean, std) - expected).max() < 1e-5


def test_padded_size():
    assert padded_size((1, 32), 32) == (32, 32)
    assert padded_size((33, 64), 32) == (64, 64)
