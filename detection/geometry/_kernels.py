"""Compiled kernels of geometry."""

from __future__ import annotations

import numpy as np
from numba import njit

# Kept boxes are tested in blocks of this many: long enough for SIMD, short enough to stop early.
_BLOCK = 16
# A quotient is computed only where overlap > threshold x union may hold: float32 errs by less than this share.
_DOUBT = np.float32(1 - 1e-5)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "nsz", "nnan"})
def _some_may_overlap(x1, y1, x2, y2, area, least, kx1, ky1, kx2, ky2, areas, start):
    """Whether a box may overlap any of a block of kept ones too much; `least` is a bit less than the threshold."""
    found = zero = np.float32(0)
    one = np.float32(1)
    # A number of steps that is known beforehand: what compilers do for any number is slow for a few with AVX-512.
    for step in range(np.uintp(_BLOCK)):
        j = np.uintp(start) + step
        width = max(min(x2, kx2[j]) - max(x1, kx1[j]), zero)
        height = max(min(y2, ky2[j]) - max(y1, ky1[j]), zero)
        overlap = width * height
        found += one if overlap > least * (area + areas[j] - overlap) else zero
    return found > zero


@njit(cache=True, nogil=True, error_model="numpy")
def greedy_suppression(x1, y1, x2, y2, threshold, limit):
    """Positions of the first `limit` kept among boxes by falling score; corners (N,) float32, threshold float64."""
    count = x1.shape[0]
    kept = np.empty(count, np.int64)
    # Behind the kept boxes lie some that overlap nothing, so that blocks are always whole.
    size = min(count, limit) + _BLOCK
    kx1, ky1 = np.full(size, np.inf, np.float32), np.full(size, np.inf, np.float32)
    kx2, ky2 = np.full(size, -np.inf, np.float32), np.full(size, -np.inf, np.float32)
    areas = np.zeros(size, np.float32)
    least = np.float32(threshold) * _DOUBT
    total = 0
    zero = np.float32(0)
    for i in range(count):
        if total == limit:
            break
        ax1, ay1, ax2, ay2 = x1[i], y1[i], x2[i], y2[i]
        area = (ax2 - ax1) * (ay2 - ay1)
        suppressed = False
        start = 0
        while start < total and not suppressed:
            stop = start + _BLOCK
            if _some_may_overlap(ax1, ay1, ax2, ay2, area, least, kx1, ky1, kx2, ky2, areas, start):
                for j in range(start, min(stop, total)):
                    width = max(min(ax2, kx2[j]) - max(ax1, kx1[j]), zero)
                    height = max(min(ay2, ky2[j]) - max(ay1, ky1[j]), zero)
                    overlap = width * height
                    if overlap / (area + areas[j] - overlap) > threshold:
                        suppressed = True
                        break
            start = stop
        if not suppressed:
            kx1[total], ky1[total], kx2[total], ky2[total] = ax1, ay1, ax2, ay2
            areas[total] = area
            kept[total] = i
            total += 1
    return kept[:total]
