"""Spatial pyramid pooling of regions (SPP-net paper, section 2.2).

Order of a pooled vector: level by level as the levels are listed; within a level channel by channel; within
a channel bin by bin, rows from the top, each from the left. It is the order of the paper's released fc6, and
for one level n that of a flattened (C, n, n) map. Where several stages are pooled and joined, stage by stage
in the settings' order, each in that order.

Bin i of n over w cells holds cells floor(i w / n) to ceil((i + 1) w / n) - 1; a region with fewer cells than bins has
bins that share cells, and no bin is empty. Negative zeros become zeros, so that a maximum has one value on every path.

A mean is that of a bin's cells, for maps whose values have both signs. Its sum comes from sums S over all cells above
and to the left of a corner, in float64: along rows first, then down the columns. Of the bin of rows t to b - 1, columns
l to r - 1 it is (S[b, r] - S[t, r]) - (S[b, l] - S[t, l]); divided by the number of cells and rounded to float32.
"""

from typing import Any

import numpy as np

from detection.pooling._input_kernels import unique_cells, widen
from detection.pooling._kernels import pool_regions
from detection.pooling._lane_kernels import LANES
from detection.pooling._mean_kernels import mean_regions

POOLINGS = ("max", "mean")

# Cells are packed into 16 bits each to find equal regions.
_MAX_SIDE = 2**15
# An output that fills a processor's caches is better written past them; a smaller one is read from there afterwards.
_PAST_CACHES_BYTES = 16 * 2**20


def pooled_length(channels: int, levels: tuple[int, ...]) -> int:
    """Length of the vector of one stage: C times the number of bins."""
    return channels * sum(n * n for n in levels)


def pool_array(feature_map: np.ndarray, cells: np.ndarray, levels: tuple[int, ...], pooling: str = "max") -> np.ndarray:
    """``detection.pooling.spatial_pyramid_pool`` of a (C, h, w) float32 array."""
    feature_map = np.asarray(feature_map)
    if feature_map.ndim != 3 or feature_map.dtype != np.float32:
        raise ValueError(
            f"spatial_pyramid_pool: expected a (C, h, w) float32 map, got {feature_map.dtype} {feature_map.shape}"
        )
    cells = np.asarray(cells)
    out = empty_vectors(len(cells), pooled_length(len(feature_map), levels))
    pool_into(feature_map, cells, levels, np.arange(len(cells)), out, 0, pooling)
    return out


def pool_map(feature_map: Any, levels: tuple[int, ...], pooling: str = "max") -> np.ndarray:
    """The pyramid over a whole map, of whatever fills it: (C, h, w) -> (C * bins,) float32.

    feature_map: any dense array of numbers, e.g. convolutional maps, dense descriptors, or codes of them over a
    dictionary (paper, section 2.2: the pyramid of bags of words, with maxima as in ScSPM, J. Yang et al., CVPR 2009).
    pooling: "max" or "mean". Order and bins are those of this module. Raises ValueError for another shape, no cell, or
    values not finite.
    """
    feature_map = np.asarray(feature_map)
    if feature_map.ndim != 3 or min(feature_map.shape) < 1 or feature_map.dtype.kind not in "fiub":
        raise ValueError(
            f"pool_map: expected numbers of shape (C, h, w), all above 0, got {feature_map.dtype} {feature_map.shape}"
        )
    values = np.ascontiguousarray(feature_map, dtype=np.float32)
    if not np.isfinite(values).all():
        raise ValueError("pool_map: expected finite values, got others")
    cells = np.array([[0, 0, values.shape[2], values.shape[1]]])
    return pool_array(values, cells, tuple(levels), pooling)[0]


def check_cells(cells: np.ndarray, map_size: tuple[int, int]) -> None:
    """Raise ValueError unless every row of (R, 4) cells holds at least one cell and lies in the map."""
    if cells.ndim != 2 or cells.shape[1] != 4 or cells.dtype.kind not in "iu":
        raise ValueError(f"cells: expected integers of shape (R, 4), got {cells.dtype} of shape {cells.shape}")
    height, width = map_size
    bad = (cells[:, :2] < 0).any(axis=1) | (cells[:, 2:] <= cells[:, :2]).any(axis=1)
    bad |= (cells[:, 2] > width) | (cells[:, 3] > height)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"cells: expected x1 < x2 <= {width} and y1 < y2 <= {height}, all >= 0, "
            f"got {cells[row].tolist()} in row {row}"
        )


def check_levels(levels: tuple[int, ...]) -> None:
    """Raise ValueError unless there is a level and all are integers above 0."""
    if not levels or not all(isinstance(n, (int, np.integer)) and n > 0 for n in levels):
        raise ValueError(f"levels: expected at least one integer above 0, got {levels!r}")


def check_pooling(pooling: str) -> None:
    """Raise ValueError for what is none of `POOLINGS`."""
    if pooling not in POOLINGS:
        raise ValueError(f"pooling: expected {' or '.join(POOLINGS)}, got {pooling!r}")


def pool_into(
    feature_map: np.ndarray,
    cells: np.ndarray,
    levels: tuple[int, ...],
    rows: np.ndarray,
    out: np.ndarray,
    start: int,
    pooling: str = "max",
) -> None:
    """`pool_array` of a float16 or float32 array into out[rows, start : start + C * bins].

    pooling: "max" or "mean". rows: (R,) int, the row of `out` of each region. Regions on the same cells are computed
    once; to have their vectors once too, pool those that `unique_cells` names. out: contiguous float32; fastest from
    `empty_vectors`, with C, `start` and the length of a row multiples of 16. Raises ValueError for cells outside the
    map and rows or columns outside `out`.
    """
    channels, height, width = feature_map.shape
    check_levels(levels)
    check_pooling(pooling)
    check_cells(cells, (height, width))
    _check_output(out, rows, len(cells), start, pooled_length(channels, levels))
    if max(height, width) > _MAX_SIDE:
        raise ValueError(f"feature map: expected sides up to {_MAX_SIDE} cells, got {(height, width)}")
    if len(cells) == 0:
        return
    values = _as_float32(feature_map)
    if channels < LANES and pooling == "max":
        _pool_few_channels(values, cells, levels, rows, out, start)
        return
    cells = np.ascontiguousarray(cells, dtype=np.int32)
    first, places = unique_cells(cells), np.ascontiguousarray(rows, dtype=np.int64)
    sizes = np.array(levels, dtype=np.int64)
    if pooling == "mean":
        mean_regions(values, cells, first, places, sizes, out, start)
        return
    parents = parents_of(levels)
    coarsest = min(n for n, parent in zip(levels, parents, strict=True) if parent < 0)
    powers = powers_needed(int((cells[:, 2] - cells[:, 0]).max()), coarsest)
    past_caches = _in_lines(out, start, channels) and out.nbytes >= _PAST_CACHES_BYTES
    nested = np.array(parents, dtype=np.int64)
    pool_regions(values, powers, cells, first, places, sizes, nested, out, start, past_caches)


def empty_vectors(count: int, length: int) -> np.ndarray:
    """(count, length) float32, not initialised, that begins with a line of the cache: `pool_into` is faster there."""
    values = np.empty(count * length + LANES, np.float32)
    skipped = -(values.ctypes.data // 4) % LANES
    return values[skipped : skipped + count * length].reshape(count, length)


def _in_lines(out: np.ndarray, start: int, channels: int) -> bool:
    return out.ctypes.data % (4 * LANES) == 0 and not any(one % LANES for one in (out.shape[1], start, channels))


def _check_output(out: np.ndarray, rows: np.ndarray, count: int, start: int, length: int) -> None:
    if out.dtype != np.float32 or out.ndim != 2 or not (out.flags.c_contiguous and out.flags.writeable):
        raise ValueError(f"out: expected writable contiguous rows of float32, got {out.dtype} of shape {out.shape}")
    if not 0 <= start <= out.shape[1] - length:
        raise ValueError(f"out: expected columns {start} .. {start + length}, got {out.shape[1]}")
    if len(rows) != count or (count and not 0 <= np.min(rows) <= np.max(rows) < len(out)):
        raise ValueError(f"rows: expected {count} of 0 .. {len(out) - 1}, got {np.asarray(rows).tolist()[:5]} ...")


def _as_float32(feature_map: np.ndarray) -> np.ndarray:
    if feature_map.dtype != np.float16:
        return np.ascontiguousarray(feature_map, dtype=np.float32)
    values = np.empty(feature_map.shape, np.float32)
    widen(np.ascontiguousarray(feature_map).view(np.uint16).reshape(-1), values.reshape(-1))
    return values


def _pool_few_channels(
    values: np.ndarray, cells: np.ndarray, levels: tuple[int, ...], rows: np.ndarray, out: np.ndarray, start: int
) -> None:
    """`pool_into` for maps with fewer channels than the kernel takes: with others added, and dropped again."""
    channels = len(values)
    padded = np.zeros((LANES, *values.shape[1:]), np.float32)
    padded[:channels] = values
    vectors = np.empty((len(cells), pooled_length(LANES, levels)), np.float32)
    pool_into(padded, cells, levels, np.arange(len(cells)), vectors, 0)
    at = 0
    for n in levels:
        out[rows, start : start + channels * n * n] = vectors[:, at : at + channels * n * n]
        start, at = start + channels * n * n, at + LANES * n * n


def powers_needed(side: int, level: int) -> int:
    """How many powers of two the range maxima need for bins of `level` over regions of up to `side` cells."""
    # A bin starts within a cell and ends within one, so it spans at most this many.
    longest = min(side, side // level + 2)
    return longest.bit_length()


def parents_of(levels: tuple[int, ...]) -> tuple[int, ...]:
    """For each level the index of the smallest larger one it divides, or -1."""
    parents = []
    for n in levels:
        finer = [(m, k) for k, m in enumerate(levels) if m > n and m % n == 0]
        parents.append(min(finer)[1] if finer else -1)
    return tuple(parents)
