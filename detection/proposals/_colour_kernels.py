"""Compiled colour conversion, after MATLAB's rgb2hsv and im2uint8 (halves round up)."""

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
def _rounded(value):
    """im2uint8 of a value in 0..1: halves up."""
    return np.uint8(np.floor(value * 255.0 + 0.5))


@numba.njit(cache=True, nogil=True)
def _hue_of(red, green, blue, largest, spread):
    if spread == 0:
        return 0.0
    if blue == largest:
        hue = 4.0 + (red - green) / spread
    elif green == largest:
        hue = 2.0 + (blue - red) / spread
    else:
        hue = (green - blue) / spread
    hue /= 6.0
    return hue + 1.0 if hue < 0 else hue


@numba.njit(cache=True, nogil=True)
def hsv(rgb, out):
    """(H, W, 3) uint8 RGB -> hue, saturation, value, each a whole turn or range over 0..255."""
    levels = np.arange(256) / 255.0
    for y in range(rgb.shape[0]):
        for x in range(rgb.shape[1]):
            red = levels[rgb[y, x, 0]]
            green = levels[rgb[y, x, 1]]
            blue = levels[rgb[y, x, 2]]
            largest = max(red, green, blue)
            spread = largest - min(red, green, blue)
            out[y, x, 0] = _rounded(_hue_of(red, green, blue, largest, spread))
            out[y, x, 1] = _rounded(spread / largest if largest > 0 else 0.0)
            out[y, x, 2] = max(rgb[y, x, 0], rgb[y, x, 1], rgb[y, x, 2])
