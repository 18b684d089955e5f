"""Compiled kernels of spatial pyramid pooling. Maps are channels-last here: (h, w, C) float32."""

from __future__ import annotations

import numpy as np
from numba import njit

# Channels pooled at a time: their range maxima over a map of 44 x 58 cells take up to 32 MB, which malloc keeps.
_BLOCK_CHANNELS = 128


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
def _maximum_of_two(flat, target, first, second, length):
    """flat[target + c] = max(flat[first + c], flat[second + c]); unsigned positions spare tests for < 0."""
    for c in range(np.uintp(length)):
        flat[np.uintp(target) + c] = max(flat[np.uintp(first) + c], flat[np.uintp(second) + c])


@njit(cache=True, nogil=True)
def _range_maxima(tables, flat):
    """tables[i, j, y, x] = maximum of the 2^i x 2^j cells from (y, x) on, where these lie in the map.

    tables: (row powers, column powers, h, w, C) with the map in tables[0, 0], flat: the same memory in one
    dimension. Other entries stay as they are.
    """
    row_powers, column_powers, height, width, channels = tables.shape
    row = width * channels
    table = height * row
    for i in range(row_powers):
        rows = height - (1 << i) + 1
        if i > 0:
            half = 1 << (i - 1)
            here, finer = i * column_powers * table, (i - 1) * column_powers * table
            _maximum_of_two(flat, here, finer, finer + half * row, rows * row)
        for j in range(1, column_powers):
            half = 1 << (j - 1)
            columns = width - (1 << j) + 1
            here = (i * column_powers + j) * table
            for y in range(rows):
                at = here + y * row
                _maximum_of_two(flat, at, at - table, at - table + half * channels, columns * channels)


@njit(cache=True, nogil=True)
def _log2_floor(n):
    power = 0
    while (2 << power) <= n:
        power += 1
    return power


@njit(cache=True, nogil=True)
def _rectangle(flat, shape, y1, x1, y2, x2, bins, to):
    """The maximum over rows y1..y2 and columns x1..x2 (half-open), from four overlapping entries of the tables.

    shape: of the tables. Written to bins[to : to + C].
    """
    _, column_powers, height, width, channels = shape
    i = _log2_floor(y2 - y1)
    j = _log2_floor(x2 - x1)
    table = (i * column_powers + j) * height
    top = (table + y1) * width
    bottom = (table + y2 - (1 << i)) * width
    right = x2 - (1 << j)
    a, b = np.uintp((top + x1) * channels), np.uintp((top + right) * channels)
    c, d = np.uintp((bottom + x1) * channels), np.uintp((bottom + right) * channels)
    for k in range(np.uintp(channels)):
        bins[np.uintp(to) + k] = max(max(flat[a + k], flat[b + k]), max(flat[c + k], flat[d + k]))


@njit(cache=True, nogil=True)
def _bins_of_level(flat, shape, cells, r, n, bins, to):
    """Level n of window r: bin (i, j) holds rows floor(i h / n) .. ceil((i + 1) h / n), columns likewise.

    Written bin after bin, C values each, to `bins` from `to` on.
    """
    x1, y1 = np.int64(cells[r, 0]), np.int64(cells[r, 1])
    width, height = np.int64(cells[r, 2]) - x1, np.int64(cells[r, 3]) - y1
    for i in range(n):
        top = y1 + i * height // n
        bottom = y1 + ((i + 1) * height + n - 1) // n
        for j in range(n):
            left = x1 + j * width // n
            right = x1 + ((j + 1) * width + n - 1) // n
            _rectangle(flat, shape, top, left, bottom, right, bins, to + (i * n + j) * shape[4])


@njit(cache=True, nogil=True)
def _bins_of_finer(bins, channels, finer, m, n, to):
    """Level n from level m, a multiple of n: floor(i w / n) = floor((i m / n) w / m), so bins nest exactly."""
    ratio = m // n
    for i in range(n):
        for j in range(n):
            target = to + (i * n + j) * channels
            corner = finer + (i * ratio * m + j * ratio) * channels
            _maximum_of_two(bins, target, corner, corner, channels)
            for a in range(ratio):
                for b in range(ratio):
                    _maximum_of_two(bins, target, target, corner + (a * m + b) * channels, channels)


@njit(cache=True, nogil=True)
def pool_windows(feature_map, powers, cells, first, rows, levels, parents, out, start):
    """Pool every window into its row of `out` from column `start` on.

    feature_map: (h, w, C). powers: (rows, columns) of the range maxima. cells: (R, 4) int32 x1, y1, x2, y2,
    half-open. first: of `unique_cells`. rows: (R,) int64, row of `out` of each window. levels: (N,) int64.
    parents: (N,) int64, the level (its index) that each is computed from, or -1 for the map; a parent is
    larger. out: (?, >= start + C * bins) float32; a level's part is channel-major, then bin in row-major
    order. Channels go in blocks, so that the range maxima of one stay in the cache.
    """
    height, width, channels = feature_map.shape
    count = levels.shape[0]
    begin = np.zeros(count + 1, np.int64)
    for k in range(count):
        begin[k + 1] = begin[k] + levels[k] * levels[k]
    order = np.argsort(-levels)
    block = min(_BLOCK_CHANNELS, channels)
    memory = np.empty(powers[0] * powers[1] * height * width * block, np.float32)
    bins = np.empty(begin[count] * block, np.float32)
    for low in range(0, channels, block):
        here = min(block, channels - low)
        shape = (powers[0], powers[1], height, width, here)
        flat = memory[: powers[0] * powers[1] * height * width * here]
        tables = flat.reshape(shape)
        tables[0, 0] = feature_map[:, :, low : low + here]
        _range_maxima(tables, flat)
        for r in range(cells.shape[0]):
            if first[r] != r:
                continue
            for k in order:
                if parents[k] < 0:
                    _bins_of_level(flat, shape, cells, r, levels[k], bins, begin[k] * here)
                else:
                    p = parents[k]
                    _bins_of_finer(bins, here, begin[p] * here, levels[p], levels[k], begin[k] * here)
            for k in range(count):
                area = levels[k] * levels[k]
                _transpose(bins, begin[k] * here, area, here, out, rows[r], start + begin[k] * channels + low * area)
    length = begin[count] * channels
    for r in range(cells.shape[0]):
        if first[r] != r:
            out[rows[r], start : start + length] = out[rows[first[r]], start : start + length]


@njit(cache=True, nogil=True)
def _transpose(bins, begin, area, channels, out, row, at):
    """`area` bins of C values in `bins` from `begin` on -> out[row, at:], channel by channel."""
    target = out[row, at : at + area * channels]
    source = bins[begin : begin + area * channels].reshape((area, channels))
    for c in range(channels):
        for b in range(area):
            target[c * area + b] = source[b, c]
