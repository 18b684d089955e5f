"""Compiled kernels of geometry."""

from __future__ import annotations

import numpy as np
from numba import njit

# Kept boxes are tested in blocks of this many: long enough for SIMD, short enough to stop early.
_BLOCK = 32


@njit(cache=True, nogil=True, error_model="numpy")
def greedy_suppression(x1, y1, x2, y2, threshold):
    """Positions kept among boxes sorted by falling score; each argument (N,) float32, threshold float64."""
    count = x1.shape[0]
    kept = np.empty(count, np.int64)
    kx1 = np.empty(count, np.float32)
    ky1 = np.empty(count, np.float32)
    kx2 = np.empty(count, np.float32)
    ky2 = np.empty(count, np.float32)
    areas = np.empty(count, np.float32)
    total = 0
    zero = np.float32(0)
    for i in range(count):
        ax1, ay1, ax2, ay2 = x1[i], y1[i], x2[i], y2[i]
        area = (ax2 - ax1) * (ay2 - ay1)
        suppressed = False
        start = 0
        while start < total and not suppressed:
            stop = min(start + _BLOCK, total)
            hits = 0
            for j in range(start, stop):
                width = max(min(ax2, kx2[j]) - max(ax1, kx1[j]), zero)
                height = max(min(ay2, ky2[j]) - max(ay1, ky1[j]), zero)
                overlap = width * height
                hits += overlap / (area + areas[j] - overlap) > threshold
            suppressed = hits > 0
            start = stop
        if not suppressed:
            kx1[total], ky1[total], kx2[total], ky2[total] = ax1, ay1, ax2, ay2
            areas[total] = area
            kept[total] = i
            total += 1
    return kept[:total]
