"""Compiled kernels of spatial pyramid pooling.

Channels go in blocks of LANES, the values of a cell side by side: a line of the cache. A block's range maxima stay in
the second cache while all regions are pooled from them. A region's bins are turned from bin after bin to channel after
channel on their way to memory. docs/speed.md has what that brings.
"""

from collections import namedtuple

import numpy as np
from numba import njit

from detection.pooling._lane_kernels import (
    LANES,
    as_float,
    load,
    maximum,
    plus_zero,
    pointer,
    store,
    store_turned,
)


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
def _turn(bins, out, area):
    """`area` bins of LANES channels each -> LANES channels of `area` bins each."""
    if area == 1:
        store(out, 0, load(bins, 0))
        return
    b = 0
    while area - b >= 8:
        store_turned(out, b, area, _four(bins, b * LANES, LANES) + _four(bins, (b + 4) * LANES, LANES))
        b += 8
    while b < area:
        # A square above 1 has four bins to the end, even where some were done before.
        at = min(b, area - 4)
        store_turned(out, at, area, _four(bins, at * LANES, LANES))
        b += 4


@njit(cache=True, nogil=True)
def _pool_block(range_maxima, width, cells, first, rows, plan, bin_values, out_values, targets):
    """Pool one block of channels of all different regions. See `pool_regions`.

    bin_values: lines of the bins of a region. targets: (N,) for each level where its part begins in a row of `out`.
    """
    levels, parents, begin, order, spans, reads, parts, first_part = plan
    _, sides, per_side = reads.shape
    length = out_values.shape[1]
    for r in range(len(cells)):
        if first[r] != r:
            continue
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
            _turn(bins, pointer(out_values, rows[r] * length + targets[k]), n * n)


@njit(cache=True, nogil=True)
def copy_repeated(first, rows, out, start, stop):
    """Give regions that are equal to an earlier one, `first` of each, its columns of `out`."""
    for r in range(len(first)):
        if first[r] != r:
            out[rows[r], start:stop] = out[rows[first[r]], start:stop]


@njit(cache=True, nogil=True)
def pool_regions(feature_map, powers, cells, first, rows, levels, parents, out, start):
    """Pool every region into its row of `out` from column `start` on.

    feature_map: (C >= LANES, h, w) float32. powers: of two, up to the widest bin. cells: (R, 4) int32 x1, y1, x2, y2,
    half-open. first: of `unique_cells`. rows: (R,) int64, row of `out` of each region. levels: (N,) int64. parents:
    (N,) int64, the level (its index) that each is computed from, or -1 for the map; a parent is larger. out: (?, >=
    start + C * bins) float32; a level's part is channel-major, then bin in row-major order.
    """
    channels, height, width = feature_map.shape
    begin = np.zeros(len(levels) + 1, np.int64)
    begin[1:] = np.cumsum(levels * levels)
    sides = 1 + max((cells[:, 2] - cells[:, 0]).max(), (cells[:, 3] - cells[:, 1]).max())
    spans = bin_spans(levels, sides)
    parts, first_part = _nested_parts(levels, parents, begin)
    reads = _column_reads(spans, height * width)
    plan = _Plan(levels, parents, begin, np.argsort(-levels), spans, reads, parts, first_part)
    range_maxima, bins = _lines(powers * height * width), _lines(begin[-1])
    for block in range(0, channels, LANES):
        # The last block may have channels of the one before, which come out as they were.
        low = min(block, channels - LANES)
        _range_maxima(feature_map, low, powers, range_maxima)
        targets = start + begin[:-1] * channels + low * levels * levels
        _pool_block(range_maxima, width, cells, first, rows, plan, bins, out, targets)
    copy_repeated(first, rows, out, start, start + channels * begin[-1])
