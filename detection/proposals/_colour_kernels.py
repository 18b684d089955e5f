"""Compiled colour conversions, after MATLAB's rgb2hsv, rgb2gray and im2uint8 (halves round up)."""

from __future__ import annotations

import numba
import numpy as np

# MATLAB's rgb2gray: first row of the inverse NTSC matrix.
GREY_RED = 0.298936021293775
GREY_GREEN = 0.587043074451121
GREY_BLUE = 0.114020904255103


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


@numba.njit(cache=True, nogil=True)
def intensity(rgb, out):
    """(H, W, 3) uint8 RGB -> grey value in the last channel of out."""
    last = out.shape[2] - 1
    for y in range(rgb.shape[0]):
        for x in range(rgb.shape[1]):
            grey = GREY_RED * rgb[y, x, 0] + GREY_GREEN * rgb[y, x, 1] + GREY_BLUE * rgb[y, x, 2]
            out[y, x, last] = np.uint8(np.floor(grey + 0.5))


@numba.njit(cache=True, nogil=True)
def chromaticity(rgb, out):
    """(H, W, 3) uint8 RGB -> red and green shares of the sum (black: 1/3 each) in the first channels of out."""
    for y in range(rgb.shape[0]):
        for x in range(rgb.shape[1]):
            total = float(rgb[y, x, 0]) + float(rgb[y, x, 1]) + float(rgb[y, x, 2])
            for c in range(2):
                out[y, x, c] = _rounded(float(rgb[y, x, c]) / total if total > 0 else 1.0 / 3.0)
