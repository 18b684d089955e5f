"""Compiled kernel of mean pooling: a bin's sum from four entries of a table of sums, whatever its size.

The table holds, for every corner (y, x) of cells, the sum of all cells above and to the left (Crow, *Summed-area tables
for texture mapping*, SIGGRAPH 1984), in float64. Of values that were float16, as maps are, such sums are exact up to
8192 cells of the largest values, and up to far more of any usual ones: then the order of additions decides no bit. It
is stated in ``detection.pooling.spp`` nevertheless.
"""

import numpy as np
from numba import njit

from detection.pooling._kernels import bin_spans
from detection.pooling._lane_kernels import LANES


@njit(cache=True, nogil=True)
def _sums(feature_map, low, lanes, table):
    """Table (h + 1, w + 1, LANES) float64 of `lanes` channels from `low` on. Its first row and column are zeros."""
    _, height, width = feature_map.shape
    row = np.empty(LANES, np.float64)
    for y in range(height):
        row[:] = 0
        for x in range(width):
            for c in range(lanes):
                row[c] += feature_map[low + c, y, x]
                table[y + 1, x + 1, c] = table[y, x + 1, c] + row[c]


@njit(cache=True, nogil=True)
def _mean_of_bin(table, top, left, height, width, c):
    bottom, right = top + height, left + width
    total = (table[bottom, right, c] - table[top, right, c]) - (table[bottom, left, c] - table[top, left, c])
    # Negative zeros become zeros.
    return np.float32(total / (height * width)) + np.float32(0)


@njit(cache=True, nogil=True)
def mean_regions(feature_map, cells, first, rows, levels, out, start):
    """Pool every region into its row of `out` from column `start` on; arguments are those of ``pool_regions``."""
    channels, height, width = feature_map.shape
    sides = 1 + max((cells[:, 2] - cells[:, 0]).max(), (cells[:, 3] - cells[:, 1]).max())
    spans = bin_spans(levels, sides)
    table = np.zeros((height + 1, width + 1, LANES), np.float64)
    for low in range(0, channels, LANES):
        lanes = min(LANES, channels - low)
        _sums(feature_map, low, lanes, table)
        for r in range(len(cells)):
            if first[r] != r:
                continue
            at, x1, y1 = start, np.int64(cells[r, 0]), np.int64(cells[r, 1])
            for k in range(len(levels)):
                n = levels[k]
                for i in range(n):
                    top, tall = spans[k, cells[r, 3] - y1, i]
                    for j in range(n):
                        left, wide = spans[k, cells[r, 2] - x1, j]
                        place = at + low * n * n + i * n + j
                        for c in range(lanes):
                            out[rows[r], place + c * n * n] = _mean_of_bin(table, y1 + top, x1 + left, tall, wide, c)
                at += channels * n * n
    stop = start + channels * (levels * levels).sum()
    for r in range(len(cells)):
        if first[r] != r:
            out[rows[r], start:stop] = out[rows[first[r]], start:stop]
