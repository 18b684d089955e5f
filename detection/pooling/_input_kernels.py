"""Compiled kernels of what is done before regions are pooled: maps in float32, and which regions are equal."""

import numpy as np
from numba import njit

from detection.pooling._lane_kernels import as_float


@njit(cache=True, nogil=True)
def widen(halves, out):
    """Bits of float16 (N,) uint16 -> out (N,) float32, exactly. NumPy's own conversion takes several times as long."""
    # Exponents have 5 bits around 15 there, 8 around 127 here; the mantissa's 10 bits become 23.
    rebased, subnormal = np.uint32((127 - 15) << 23), np.uint32((127 - 14) << 23)
    endless = np.uint32((255 - 31) << 23)
    for k in range(len(halves)):
        bits = np.uint32(halves[k])
        magnitude = (bits & np.uint32(0x7FFF)) << np.uint32(13)
        exponent = bits & np.uint32(0x7C00)
        value = as_float(magnitude + (endless if exponent == 0x7C00 else rebased))
        if exponent == 0:
            value = as_float(magnitude + subnormal) - as_float(subnormal)
        out[k] = -value if bits >= 0x8000 else value


@njit(cache=True, nogil=True)
def unique_cells(cells):
    """For each row of (R, 4) int32 the first row equal to it, (R,) int64: a hash table of packed keys."""
    count = cells.shape[0]
    size = 1
    while size < 2 * count + 1:
        size *= 2
    table = np.full(size, -1, np.int64)
    first = np.empty(count, np.int64)
    for row in range(count):
        key = np.uint64(0)
        for k in range(4):
            key = (key << np.uint64(16)) | (np.uint64(cells[row, k]) & np.uint64(0xFFFF))
        slot = np.int64((key * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)) & (size - 1)
        while True:
            seen = table[slot]
            if seen < 0:
                table[slot] = row
                first[row] = row
                break
            same = True
            for k in range(4):
                same = same and cells[seen, k] == cells[row, k]
            if same:
                first[row] = seen
                break
            slot = (slot + 1) & (size - 1)
    return first
