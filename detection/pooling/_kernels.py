"""Compiled kernels of spatial pyramid pooling.

Channels go in blocks of LANES, the values of a cell side by side: a line of the cache. A block's range maxima stay in
the second cache while all regions are pooled from them. A region's bins are turned from bin after bin to channel after
channel in the caches, and those of a few regions at a time written to memory line by line: past the caches where `out`
allows it, so that memory is not read only to be overwritten. docs/speed.md has what that brings.
"""

from collections import namedtuple

import numpy as np
from numba import njit

from detection.pooling._lane_kernels import (
    LANES,
    finish_streams,
    load,
    maximum,
    plus_zero,
    pointer,
    store,
    store_turned,
    stream,
)

# Regions of a block that are computed before they are written: lines that pass the caches go faster in a row than each
# between two bins, and these (100 KB with 50 bins) leave room for the range maxima in the second cache.
_HELD = 32


# What all regions and blocks share: of N levels. begin: (N + 1,) the first bin of each. order: (N,), parents first.
# spans, reads, parts: see the functions below that make them. first_part: (N,) where those of each level begin.
_Plan = namedtuple("_Plan", "levels parents begin order spans reads parts first_part")


@njit(cache=True, nogil=True)
def bin_spans(levels, sides):
    """(N, sides, n, 2): bin i of n over `side` cells is floor(i side / n) .. ceil((i + 1) side / n): first, number."""
    spans = np.zeros((len(levels), sides, levels.max(), 2), np.int32)
    for k in range(len(levels)):
        n = levels[k]
        for side in range(1, sides):
            for i in range(n):
                first = i * side // n
                spans[k, side, i, 0] = first
                spans[k, side, i, 1] = ((i + 1) * side + n - 1) // n - first
    return spans


@njit(cache=True, nogil=True)
def _column_reads(spans, table):
    """(N, sides, 2 n): of each bin of columns the two entries of range maxima that span it. table: cells of a power."""
    levels, sides, bins, _ = spans.shape
    reads = np.zeros((levels, sides, 2 * bins), np.int32)
    for k in range(levels):
        for side in range(1, sides):
            for j in range(bins):
                first, length = spans[k, side, j]
                power = 0
                while (2 << power) <= length:
                    power += 1
                reads[k, side, 2 * j] = power * table + first
                reads[k, side, 2 * j + 1] = power * table + first + length - (1 << power)
    return reads


@njit(cache=True, nogil=True)
def _nested_parts(levels, parents, begin):
    """Of levels with a parent the parts of each bin: bins nest, floor(i w / n) = floor((i m / n) w / m)."""
    first = np.zeros(len(levels) + 1, np.int64)
    for k in range(len(levels)):
        first[k + 1] = first[k] + (levels[parents[k]] ** 2 if parents[k] >= 0 else 0)
    parts = np.zeros(max(first[-1], 1), np.int32)
    for k in range(len(levels)):
        if parents[k] < 0:
            continue
        n, m, at = levels[k], levels[parents[k]], first[k]
        ratio = m // n
        for bin_ in range(n * n):
            corner = begin[parents[k]] + (bin_ // n) * ratio * m + (bin_ % n) * ratio
            for part in range(ratio * ratio):
                parts[at] = (corner + (part // ratio) * m + part % ratio) * LANES
                at += 1
    return parts, first[:-1]


@njit(cache=True, nogil=True)
def _lines(count):
    """Float32 memory of so many lines, beginning with one."""
    memory = np.empty((count + 1) * LANES, np.float32)
    skipped = -(memory.ctypes.data // 4) % LANES
    return memory[skipped : skipped + count * LANES]


@njit(cache=True, nogil=True)
def _four(memory, at, pitch):
    return load(memory, at), load(memory, at + pitch), load(memory, at + 2 * pitch), load(memory, at + 3 * pitch)


@njit(cache=True, nogil=True)
def _cells_first(planes, cells, start, tables):
    """LANES cells of LANES planes, each of so many cells -> tables, cell by cell from `start` on."""
    for channel in range(0, LANES, 4):
        a, b, c, d = _four(planes, channel * cells + start, cells)
        four = plus_zero(a), plus_zero(b), plus_zero(c), plus_zero(d)
        store_turned(tables, start * LANES + channel, LANES, four)


@njit(cache=True, nogil=True)
def _range_maxima(feature_map, low, powers, tables):
    """tables[i, y, x] = maximum of the 2^i cells from (y, x) on to the right: LANES channels from `low` on.

    tables: (powers, h, w, LANES), flat. Entries whose cells pass the end of a row mean nothing. Negative zeros become
    zeros.
    """
    channels, height, width = feature_map.shape
    cells = height * width
    if cells < LANES:
        planes = feature_map.reshape((channels, cells))
        for c in range(LANES):
            for cell in range(cells):
                tables[cell * LANES + c] = planes[low + c, cell] + np.float32(0)
    else:
        planes = pointer(feature_map, low * cells)
        for start in range(0, cells, LANES):
            # The last ones may have been there before.
            _cells_first(planes, cells, min(start, cells - LANES), pointer(tables, 0))
    memory = pointer(tables, 0)
    for i in range(1, powers):
        half = (1 << (i - 1)) * LANES
        finer, here = (i - 1) * cells * LANES, i * cells * LANES
        for at in range(0, (cells - (1 << i) + 1) * LANES, LANES):
            store(memory, here + at, maximum(load(memory, finer + at), load(memory, finer + at + half)))


@njit(cache=True, nogil=True)
def _bins_of_map(tables, row, spans, reads, n, bins):
    """The n x n bins of a region.

    tables: range maxima from the region's first cell on. row: a row's length there. spans, reads: of its sides.
    """
    q = 0
    for i in range(n):
        top, rows = spans[2 * i] * row, spans[2 * i + 1]
        if rows == 2:
            # A third of the bins of real regions; without a loop the kernel takes 5 % less time.
            below = top + row
            for j in range(n):
                left, right = reads[2 * j] * LANES, reads[2 * j + 1] * LANES
                above = maximum(load(tables, top + left), load(tables, top + right))
                store(bins, q, maximum(above, maximum(load(tables, below + left), load(tables, below + right))))
                q += LANES
            continue
        for j in range(n):
            left, right = top + reads[2 * j] * LANES, top + reads[2 * j + 1] * LANES
            best = maximum(load(tables, left), load(tables, right))
            for _ in range(rows - 1):
                left += row
                right += row
                best = maximum(best, maximum(load(tables, left), load(tables, right)))
            store(bins, q, best)
            q += LANES


@njit(cache=True, nogil=True)
def _largest_of_four(bins, places, at):
    first = maximum(load(bins, places[at]), load(bins, places[at + 1]))
    return maximum(first, maximum(load(bins, places[at + 2]), load(bins, places[at + 3])))


@njit(cache=True, nogil=True)
def _bins_of_finer(finer, parts, each, count, bins):
    """`count` bins, the next of `each` parts, places in `finer`."""
    part = 0
    for q in range(count):
        best = _largest_of_four(finer, parts, part)
        # In fours, so that not every maximum waits for the one before; the last four may be partly the same again.
        for other in range(4, each, 4):
            best = maximum(best, _largest_of_four(finer, parts, part + min(other, each - 4)))
        store(bins, q * LANES, best)
        part += each


@njit(cache=True, nogil=True)
def _turn(bins, tile, area):
    """`area` bins of LANES channels each -> LANES channels of `area` bins each."""
    if area == 1:
        store(tile, 0, load(bins, 0))
        return
    b = 0
    while area - b >= 8:
        store_turned(tile, b, area, _four(bins, b * LANES, LANES) + _four(bins, (b + 4) * LANES, LANES))
        b += 8
    while b < area:
        # A square above 1 has four bins to the end, even where some were done before.
        at = min(b, area - 4)
        store_turned(tile, at, area, _four(bins, at * LANES, LANES))
        b += 4


@njit(cache=True, nogil=True)
def _write(tile, count, out, start, targets, past_caches):
    """`count` lines of a tile, line q to out[start + targets[q]]."""
    for q in range(count):
        if past_caches:
            stream(out, start + targets[q], load(tile, q * LANES))
        else:
            store(out, start + targets[q], load(tile, q * LANES))


@njit(cache=True, nogil=True)
def _pool_block(range_maxima, width, cells, following, rows, plan, bin_values, tiles, out_values, targets, past_caches):
    """Pool one block of channels of all regions. See `pool_regions`.

    following: of `_next_equals`. bin_values, tiles: lines of the bins of a region and of _HELD regions. targets:
    (bins,) for each line of a tile its place in a row of `out`.
    """
    levels, parents, begin, order, spans, reads, parts, first_part = plan
    different, next_equal = following
    _, sides, per_side = reads.shape
    length, out, lines_of = out_values.shape[1], pointer(out_values, 0), pointer(targets, 0)
    for start in range(0, len(different), _HELD):
        held = different[start : start + _HELD]
        for place in range(len(held)):
            r = held[place]
            x1, y1 = np.int64(cells[r, 0]), np.int64(cells[r, 1])
            tables = pointer(range_maxima, (y1 * width + x1) * LANES)
            for k in order:
                n, bins = levels[k], pointer(bin_values, begin[k] * LANES)
                if parents[k] < 0:
                    rows_of = pointer(spans, (k * sides + cells[r, 3] - y1) * per_side)
                    columns_of = pointer(reads, (k * sides + cells[r, 2] - x1) * per_side)
                    _bins_of_map(tables, width * LANES, rows_of, columns_of, n, bins)
                else:
                    each = (levels[parents[k]] // n) ** 2
                    _bins_of_finer(pointer(bin_values, 0), pointer(parts, first_part[k]), each, n * n, bins)
                _turn(bins, pointer(tiles, (place * begin[-1] + begin[k]) * LANES), n * n)
        for place in range(len(held)):
            tile, r = pointer(tiles, place * begin[-1] * LANES), held[place]
            while r >= 0:
                _write(tile, begin[-1], out, rows[r] * length, lines_of, past_caches)
                r = next_equal[r]


@njit(cache=True, nogil=True)
def _next_equals(first):
    """The regions that are the first on their cells, and for each region the next one on the same cells, or -1."""
    following = np.full(len(first), -1, np.int64)
    last = first.copy()
    for r in range(len(first)):
        if first[r] != r:
            following[last[first[r]]] = r
            last[first[r]] = r
    return np.flatnonzero(first == np.arange(len(first))), following


@njit(cache=True, nogil=True)
def pool_regions(feature_map, powers, cells, first, rows, levels, parents, out, start, past_caches):
    """Pool every region into its row of `out` from column `start` on.

    feature_map: (C >= LANES, h, w) float32. powers: of two, up to the widest bin. cells: (R, 4) int32 x1, y1, x2, y2,
    half-open. first: of `unique_cells`. rows: (R,) int64, row of `out` of each region. levels: (N,) int64. parents:
    (N,) int64, the level (its index) that each is computed from, or -1 for the map; a parent is larger. out: (?, >=
    start + C * bins) float32; a level's part is channel-major, then bin in row-major order. past_caches: write past the
    caches; `out` has to begin with a line then, and C, `start` and the length of a row are multiples of LANES.
    """
    channels, height, width = feature_map.shape
    begin = np.zeros(len(levels) + 1, np.int64)
    begin[1:] = np.cumsum(levels * levels)
    sides = 1 + max((cells[:, 2] - cells[:, 0]).max(), (cells[:, 3] - cells[:, 1]).max())
    spans = bin_spans(levels, sides)
    parts, first_part = _nested_parts(levels, parents, begin)
    reads = _column_reads(spans, height * width)
    plan = _Plan(levels, parents, begin, np.argsort(-levels), spans, reads, parts, first_part)
    following = _next_equals(first)
    range_maxima, bins, tiles = _lines(powers * height * width), _lines(begin[-1]), _lines(_HELD * begin[-1])
    targets = np.empty(begin[-1], np.int64)
    for block in range(0, channels, LANES):
        # The last block may have channels of the one before, which come out as they were.
        low = min(block, channels - LANES)
        _range_maxima(feature_map, low, powers, range_maxima)
        for k in range(len(levels)):
            part = start + begin[k] * channels + low * levels[k] * levels[k]
            for q in range(begin[k], begin[k + 1]):
                targets[q] = part + (q - begin[k]) * LANES
        _pool_block(range_maxima, width, cells, following, rows, plan, bins, tiles, out, targets, past_caches)
    finish_streams()
