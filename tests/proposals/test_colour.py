import colorsys

import numpy as np
import pytest

from detection.proposals.colour import to_colour_space
from detection.proposals.settings import COLOUR_SPACES


def _one(rgb, space):
    return to_colour_space(np.array([[rgb]], dtype=np.uint8), space)[0, 0].tolist()


def test_hsv_equals_the_standard_library_rounded_to_bytes():
    rgb = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    found = to_colour_space(rgb, "HSV").reshape(-1, 3).astype(int)
    expected = np.array([colorsys.rgb_to_hsv(*(pixel / 255)) for pixel in rgb.reshape(-1, 3)]) * 255
    assert np.abs(found - expected).max() <= 0.5 + 1e-9


def test_hand_computed_colours():
    assert _one((255, 0, 0), "HSV") == [0, 255, 255]
    assert _one((0, 0, 255), "HSV") == [170, 255, 255]
    assert _one((0, 0, 0), "HSV") == [0, 0, 0]
    assert _one((200, 100, 100), "rgI") == [128, 64, 130]  # 127.5 and 63.75 round up; 0.2989 * 100 + 100 = 129.9
    assert _one((0, 0, 0), "rgI") == [85, 85, 0]
    assert _one((255, 255, 255), "Lab") == [255, 128, 128]
    assert _one((10, 20, 30), "RGB") == [10, 20, 30]


def test_single_channels_are_those_of_the_full_spaces():
    rgb = np.random.default_rng(1).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    assert np.array_equal(to_colour_space(rgb, "H")[..., 0], to_colour_space(rgb, "HSV")[..., 0])
    assert np.array_equal(to_colour_space(rgb, "I")[..., 0], to_colour_space(rgb, "rgI")[..., 2])


@pytest.mark.parametrize("space", COLOUR_SPACES)
def test_every_space_is_contiguous_bytes(space):
    rgb = np.random.default_rng(2).integers(0, 256, (6, 4, 3), dtype=np.uint8)
    found = to_colour_space(rgb, space)
    assert found.dtype == np.uint8
    assert found.flags.c_contiguous
    assert found.shape == (6, 4, 1 if space in ("H", "I") else 3)


def test_an_unknown_space_is_an_error():
    with pytest.raises(KeyError):
        to_colour_space(np.zeros((1, 1, 3), np.uint8), "XYZ")
