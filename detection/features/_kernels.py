"""Compiled kernels of spatial pyramid pooling.

Channels go in blocks of LANES, the values of a cell side by side: a line of the cache. A block's range maxima stay in
the second cache while all windows are pooled from them. A window's bins are turned from bin after bin to channel after
channel in the first cache, and written to memory line by line while the next window is computed: past the caches where
`out` allows it, so that memory is not read only to be overwritten. docs/speed.md has what that brings.
"""

from __future__ import annotations

from collections import namedtuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, models, register_model

# Channels of a block: float32 values of a line of the cache, 64 bytes on nearly all processors.
LANES = 16
_LINE = 4 * LANES
# How lines are written to `out`: not at all, past the caches, in the plain way.
_NOTHING, _PAST_CACHES, _PLAIN = 0, 1, 2
# Cells that are turned to channels-last at a time: they and their lines stay in the first cache.
_CELLS = 32

_FLOAT, _INT = ir.FloatType(), ir.IntType(32)
_VECTOR = ir.VectorType(_FLOAT, LANES)
_MEMORY = types.CPointer(types.float32)


class _Vector(types.Type):
    """Numba type of LANES float32 values."""

    def __init__(self) -> None:
        super().__init__(name=f"float32 x {LANES}")


@register_model(_Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, kind) -> None:
        super().__init__(manager, kind, _VECTOR)


_vector = _Vector()


@intrinsic
def _memory(_, array, start):
    """Where the values of a contiguous array lie, from the flat index `start` on.

    Passing such pointers on costs no counting of references; the array has to outlive them.
    """

    def generate(context, builder, signature, arguments):
        values = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.gep(values, [arguments[1]])

    return types.CPointer(array.dtype)(array, types.intp), generate


def _at(builder, memory, index, kind):
    return builder.bitcast(builder.gep(memory, [index]), kind.as_pointer())


@intrinsic
def _load(_, memory, index):
    """The vector memory[index : index + LANES]."""

    def generate(context, builder, signature, arguments):
        vector = builder.load(_at(builder, *arguments, _VECTOR))
        vector.align = 4
        return vector

    return _vector(_MEMORY, types.intp), generate


@intrinsic
def _store(_, memory, index, vector):
    """memory[index : index + LANES] = vector."""

    def generate(context, builder, signature, arguments):
        memory, index, vector = arguments
        builder.store(vector, _at(builder, memory, index, _VECTOR)).align = 4
        return context.get_dummy_value()

    return types.void(_MEMORY, types.intp, _vector), generate


@intrinsic
def _stream(_, memory, index, vector):
    """As `_store`, past the caches; the place has to begin a line."""

    def generate(context, builder, signature, arguments):
        memory, index, vector = arguments
        store = builder.store(vector, _at(builder, memory, index, _VECTOR))
        store.align = _LINE
        store.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(_INT, 1)]))
        return context.get_dummy_value()

    return types.void(_MEMORY, types.intp, _vector), generate


@intrinsic
def _finish_streams(_):
    """Other threads see what was streamed before when they see what is written after."""

    def generate(context, builder, signature, arguments):
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def _maximum(_, first, second):
    """The larger ones of two vectors' values."""

    def generate(context, builder, signature, arguments):
        return builder.select(builder.fcmp_ordered(">", *arguments), *arguments)

    return _vector(_vector, _vector), generate


@intrinsic
def _store_turned(_, memory, index, pitch, a, b, c, d):
    """memory[index + k pitch : index + k pitch + 4] = a[k], b[k], c[k], d[k] for every k of the LANES."""

    def generate(context, builder, signature, arguments):
        memory, index, pitch, *rows = arguments

        def shuffled(one, other, picks):
            mask = ir.Constant(ir.VectorType(_INT, len(picks)), picks)
            return builder.shuffle_vector(one, other, mask)

        # In quarters of 4 values, as processors do it: a0 b0 a1 b1 | ..., then a0 b0 c0 d0 | ...
        quarters = range(0, LANES, 4)
        turned = []
        for k in (0, 2):
            pairs = [q + k + step + side for q in quarters for step in (0, 1) for side in (0, LANES)]
            ab, cd = shuffled(*rows[:2], pairs), shuffled(*rows[2:], pairs)
            for half in (0, 2):
                turned.append(
                    shuffled(ab, cd, [q + half + s + side for q in quarters for side in (0, LANES) for s in (0, 1)])
                )
        for q in quarters:
            for k, vector in enumerate(turned):
                offset = builder.mul(pitch, ir.Constant(pitch.type, q + k))
                place = _at(builder, memory, builder.add(index, offset), ir.VectorType(_FLOAT, 4))
                builder.store(shuffled(vector, vector, [q, q + 1, q + 2, q + 3]), place).align = 4
        return context.get_dummy_value()

    return types.void(_MEMORY, types.intp, types.intp, *[_vector] * 4), generate


@intrinsic
def _as_float(_, bits):
    """The float32 of these 32 bits."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], _FLOAT)

    return types.float32(types.uint32), generate


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
        value = _as_float(magnitude + (endless if exponent == 0x7C00 else rebased))
        if exponent == 0:
            value = _as_float(magnitude + subnormal) - _as_float(subnormal)
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


# What all windows and blocks share: of N levels. begin: (N + 1,) the first bin of each. order: (N,), parents first.
# spans, reads, parts: see the functions below that make them. first_part: (N,) where those of each level begin.
_Plan = namedtuple("_Plan", "levels parents begin order spans reads parts first_part")
# Lines that still have to be written, one a bin: values in `tile`, line q at out[row + targets[q]], in this way.
_Pending = namedtuple("_Pending", "tile out targets row way")


@njit(cache=True, nogil=True)
def _bin_spans(levels, sides):
    """(N, sides, n, 2): bin i of n over `side` cells is floor(i side / n) .. ceil((i + 1) side / n): first, number."""
    spans = np.zeros((len(levels), sides, levels.max(), 2), np.int64)
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
    reads = np.zeros((levels, sides, 2 * bins), np.int64)
    for k in range(levels):
        for side in range(1, sides):
            for j in range(bins):
                first, length = spans[k, side, j]
                power = 0
                while (2 << power) <= length:
                    power += 1
                reads[k, side, 2 * j] = (power * table + first) * LANES
                reads[k, side, 2 * j + 1] = (power * table + first + length - (1 << power)) * LANES
    return reads


@njit(cache=True, nogil=True)
def _nested_parts(levels, parents, begin):
    """Of levels with a parent the parts of each bin: bins nest, floor(i w / n) = floor((i m / n) w / m)."""
    first = np.zeros(len(levels) + 1, np.int64)
    for k in range(len(levels)):
        first[k + 1] = first[k] + (levels[parents[k]] ** 2 if parents[k] >= 0 else 0)
    parts = np.zeros(max(first[-1], 1), np.int64)
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
def _range_maxima(feature_map, low, powers, tables):
    """tables[i, y, x] = maximum of the 2^i cells from (y, x) on to the right: LANES channels from `low` on.

    tables: (powers, h, w, LANES), flat. Entries whose cells pass the end of a row mean nothing.
    """
    channels, height, width = feature_map.shape
    cells = height * width
    planes = feature_map.reshape((channels, cells))
    for start in range(0, cells, _CELLS):
        for c in range(LANES):
            for cell in range(start, min(start + _CELLS, cells)):
                # Negative zeros become zeros.
                tables[np.uintp(cell * LANES + c)] = planes[np.uintp(low + c), np.uintp(cell)] + np.float32(0)
    memory = _memory(tables, 0)
    for i in range(1, powers):
        half = (1 << (i - 1)) * LANES
        finer, here = (i - 1) * cells * LANES, i * cells * LANES
        for at in range(0, (cells - (1 << i) + 1) * LANES, LANES):
            _store(memory, here + at, _maximum(_load(memory, finer + at), _load(memory, finer + at + half)))


@njit(cache=True, nogil=True)
def _write_line(pending, q):
    if pending.way == _PAST_CACHES:
        _stream(pending.out, pending.row + pending.targets[q], _load(pending.tile, q * LANES))
    elif pending.way == _PLAIN:
        _store(pending.out, pending.row + pending.targets[q], _load(pending.tile, q * LANES))


@njit(cache=True, nogil=True)
def _bins_of_map(tables, row, spans, reads, n, bins, q, pending):
    """The n x n bins of a window, from q on; with each, one pending line is written, so that neither waits.

    tables: range maxima from the window's first cell on. row: a row's length there. spans, reads: of its sides.
    """
    for i in range(n):
        top, rows = spans[2 * i] * row, spans[2 * i + 1]
        for j in range(n):
            left, right = top + reads[2 * j], top + reads[2 * j + 1]
            best = _maximum(_load(tables, left), _load(tables, right))
            for _ in range(rows - 1):
                left += row
                right += row
                best = _maximum(best, _maximum(_load(tables, left), _load(tables, right)))
            _store(bins, q * LANES, best)
            _write_line(pending, q)
            q += 1


@njit(cache=True, nogil=True)
def _bins_of_finer(parts, each, count, bins, q, pending):
    """`count` bins from q on, the next of `each` parts; a pending line with each."""
    part = 0
    for _ in range(count):
        best = _load(bins, parts[part])
        for other in range(part + 1, part + each):
            best = _maximum(best, _load(bins, parts[other]))
        _store(bins, q * LANES, best)
        _write_line(pending, q)
        q += 1
        part += each


@njit(cache=True, nogil=True)
def _turn(bins, tile, at, area):
    """`area` bins of LANES channels each -> LANES channels of `area` bins each, both from `at` on."""
    if area == 1:
        _store(tile, at, _load(bins, at))
        return
    for group in range(0, area, 4):
        # A square above 1 has four bins to the end, even where some were done before.
        b = min(group, area - 4)
        row = at + b * LANES
        ab = _load(bins, row), _load(bins, row + LANES)
        cd = _load(bins, row + 2 * LANES), _load(bins, row + 3 * LANES)
        _store_turned(tile, at + b, area, ab[0], ab[1], cd[0], cd[1])


@njit(cache=True, nogil=True)
def _pool_block(range_maxima, width, cells, first, following, rows, plan, bin_values, tile_values, out, targets, way):
    """Pool one block of channels of all windows. See `pool_windows`.

    targets: (bins,) for each line of the tile its place in a row of `out`.
    """
    bins, tile = _memory(bin_values, 0), _memory(tile_values, 0)
    levels, parents, begin, order, spans, reads, parts, first_part = plan
    _, sides, per_side = reads.shape
    here = _Pending(tile, _memory(out, 0), _memory(targets, 0), 0, way)
    pending = _Pending(here.tile, here.out, here.targets, 0, _NOTHING)
    for r in range(len(cells)):
        if first[r] != r:
            continue
        x1, y1 = np.int64(cells[r, 0]), np.int64(cells[r, 1])
        tables = _memory(range_maxima, (y1 * width + x1) * LANES)
        for k in order:
            n, q = levels[k], begin[k]
            if parents[k] < 0:
                rows_of = _memory(spans, (k * sides + cells[r, 3] - y1) * per_side)
                columns_of = _memory(reads, (k * sides + cells[r, 2] - x1) * per_side)
                _bins_of_map(tables, width * LANES, rows_of, columns_of, n, bins, q, pending)
            else:
                each = (levels[parents[k]] // n) ** 2
                _bins_of_finer(_memory(parts, first_part[k]), each, n * n, bins, q, pending)
        for k in range(len(levels)):
            _turn(bins, tile, begin[k] * LANES, levels[k] * levels[k])
        other = following[r]
        while other >= 0:
            copy = _Pending(here.tile, here.out, here.targets, rows[other] * out.shape[1], way)
            for q in range(begin[-1]):
                _write_line(copy, q)
            other = following[other]
        pending = _Pending(here.tile, here.out, here.targets, rows[r] * out.shape[1], way)
    for q in range(begin[-1]):
        _write_line(pending, q)


@njit(cache=True, nogil=True)
def _next_equals(first):
    """For each window the next one on the same cells, or -1. first: of `unique_cells`."""
    following = np.full(len(first), -1, np.int64)
    last = first.copy()
    for r in range(len(first)):
        if first[r] != r:
            following[last[first[r]]] = r
            last[first[r]] = r
    return following


@njit(cache=True, nogil=True)
def pool_windows(feature_map, powers, cells, first, rows, levels, parents, out, start, past_caches):
    """Pool every window into its row of `out` from column `start` on.

    feature_map: (C >= LANES, h, w) float32. powers: of two, up to the widest bin. cells: (R, 4) int32 x1, y1, x2, y2,
    half-open. first: of `unique_cells`. rows: (R,) int64, row of `out` of each window. levels: (N,) int64. parents:
    (N,) int64, the level (its index) that each is computed from, or -1 for the map; a parent is larger. out: (?, >=
    start + C * bins) float32; a level's part is channel-major, then bin in row-major order. past_caches: write past the
    caches; `out` has to begin with a line then, and C, `start` and the length of a row are multiples of LANES.
    """
    channels, height, width = feature_map.shape
    begin = np.zeros(len(levels) + 1, np.int64)
    begin[1:] = np.cumsum(levels * levels)
    sides = 1 + max((cells[:, 2] - cells[:, 0]).max(), (cells[:, 3] - cells[:, 1]).max())
    spans = _bin_spans(levels, sides)
    parts, first_part = _nested_parts(levels, parents, begin)
    reads = _column_reads(spans, height * width)
    plan = _Plan(levels, parents, begin, np.argsort(-levels), spans, reads, parts, first_part)
    following = _next_equals(first)
    range_maxima, bins, tile = _lines(powers * height * width), _lines(begin[-1]), _lines(begin[-1])
    targets = np.empty(begin[-1], np.int64)
    for block in range(0, channels, LANES):
        # The last block may have channels of the one before, which come out as they were.
        low = min(block, channels - LANES)
        _range_maxima(feature_map, low, powers, range_maxima)
        for k in range(len(levels)):
            part = start + begin[k] * channels + low * levels[k] * levels[k]
            for q in range(begin[k], begin[k + 1]):
                targets[q] = part + (q - begin[k]) * LANES
        way = _PAST_CACHES if past_caches else _PLAIN
        _pool_block(range_maxima, width, cells, first, following, rows, plan, bins, tile, out, targets, way)
    _finish_streams()
