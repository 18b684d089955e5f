"""Compiled kernels of spatial pyramid pooling. Maps are channels-last here: (h, w, C) float32."""

from __future__ import annotations

import numpy as np
from numba import njit


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


@njit(cache=True, nogil=True)
def _maximum_into(target, other):
    for c in range(target.shape[0]):
        target[c] = max(target[c], other[c])


@njit(cache=True, nogil=True)
def _maximum_of_two(target, first, second):
    for c in range(target.shape[0]):
        target[c] = max(first[c], second[c])


@njit(cache=True, nogil=True)
def range_maxima(feature_map, row_powers, column_powers):
    """tables[i, j, y, x] is the maximum of the 2^i x 2^j cells from (y, x) on, where these lie in the map.

    feature_map: (h, w, C). Returns (row_powers, column_powers, h, w, C); other entries are not set.
    """
    height, width, channels = feature_map.shape
    tables = np.empty((row_powers, column_powers, height, width, channels), np.float32)
    tables[0, 0] = feature_map
    for i in range(row_powers):
        rows = height - (1 << i) + 1
        if i > 0:
            half = 1 << (i - 1)
            for y in range(rows):
                for x in range(width):
                    _maximum_of_two(tables[i, 0, y, x], tables[i - 1, 0, y, x], tables[i - 1, 0, y + half, x])
        for j in range(1, column_powers):
            half = 1 << (j - 1)
            for y in range(rows):
                for x in range(width - (1 << j) + 1):
                    _maximum_of_two(tables[i, j, y, x], tables[i, j - 1, y, x], tables[i, j - 1, y, x + half])
    return tables


@njit(cache=True, nogil=True)
def _log2_floor(n):
    power = 0
    while (2 << power) <= n:
        power += 1
    return power


@njit(cache=True, nogil=True)
def _rectangle(tables, y1, x1, y2, x2, target):
    """The maximum over rows y1..y2 and columns x1..x2 (half-open), from four overlapping tables entries."""
    i = _log2_floor(y2 - y1)
    j = _log2_floor(x2 - x1)
    table = tables[i, j]
    y3 = y2 - (1 << i)
    x3 = x2 - (1 << j)
    a, b, c, d = table[y1, x1], table[y1, x3], table[y3, x1], table[y3, x3]
    for k in range(target.shape[0]):
        target[k] = max(max(a[k], b[k]), max(c[k], d[k]))


@njit(cache=True, nogil=True)
def _bins_of_level(tables, cell, n, bins):
    """bins[i * n + j] = maximum of bin (i, j): rows floor(i h / n) .. ceil((i + 1) h / n), columns likewise."""
    x1, y1 = np.int64(cell[0]), np.int64(cell[1])
    width, height = np.int64(cell[2]) - x1, np.int64(cell[3]) - y1
    for i in range(n):
        top = y1 + i * height // n
        bottom = y1 + ((i + 1) * height + n - 1) // n
        for j in range(n):
            left = x1 + j * width // n
            right = x1 + ((j + 1) * width + n - 1) // n
            _rectangle(tables, top, left, bottom, right, bins[i * n + j])


@njit(cache=True, nogil=True)
def _bins_of_finer(finer, m, n, bins):
    """Level n from level m, a multiple of n: floor(i w / n) = floor((i m / n) w / m), so bins nest exactly."""
    ratio = m // n
    for i in range(n):
        for j in range(n):
            target = bins[i * n + j]
            target[:] = finer[i * ratio * m + j * ratio]
            for a in range(ratio):
                for b in range(ratio):
                    if a + b > 0:
                        _maximum_into(target, finer[(i * ratio + a) * m + j * ratio + b])


@njit(cache=True, nogil=True)
def pool_windows(tables, cells, first, rows, levels, parents, out, start):
    """Pool every window into its row of `out` from column `start` on.

    tables: of `range_maxima`. cells: (R, 4) int32 x1, y1, x2, y2, half-open. first: of `unique_cells`.
    rows: (R,) int64, row of `out` of each window. levels: (N,) int64. parents: (N,) int64, the level (its
    index) that each is computed from, or -1 for the map; a parent is larger. out: (?, >= start + C * bins)
    float32; a level's part is channel-major, then bin in row-major order.
    """
    channels = tables.shape[4]
    count = levels.shape[0]
    begin = np.zeros(count + 1, np.int64)
    for k in range(count):
        begin[k + 1] = begin[k] + levels[k] * levels[k]
    order = np.argsort(-levels)
    scratch = np.empty((begin[count], channels), np.float32)
    length = begin[count] * channels
    for r in range(cells.shape[0]):
        target = out[rows[r], start : start + length]
        if first[r] != r:
            target[:] = out[rows[first[r]], start : start + length]
            continue
        for k in order:
            n = levels[k]
            bins = scratch[begin[k] : begin[k + 1]]
            if parents[k] < 0:
                _bins_of_level(tables, cells[r], n, bins)
            else:
                p = parents[k]
                _bins_of_finer(scratch[begin[p] : begin[p + 1]], levels[p], n, bins)
        for k in range(count):
            area = begin[k + 1] - begin[k]
            at = begin[k] * channels
            for c in range(channels):
                for b in range(area):
                    target[at + c * area + b] = scratch[begin[k] + b, c]
