"""Compiled kernels of Winograd convolutions: tiles of 6 x 6 px into the space where a convolution is a product.

Maps are channels-last, (h, w, C) float32, arrays of tiles (36, T, C), all of them flat. Work goes along rows of tiles:
columns are put apart by their place in a tile, so that every step is over long runs of memory.
"""

from __future__ import annotations

import numpy as np
from numba import njit

SIDE = 6
# Values of a run: the 72 runs of a step fit a second-level cache of 512 KiB.
_RUN = 1536
_COMPILED = {"cache": True, "nogil": True, "fastmath": {"contract"}}
_2, _4, _5 = np.float32(2), np.float32(4), np.float32(5)


@njit(**_COMPILED)
def _outer(out, to, x, a, b, c, count):
    """4 a - 5 b + c: first and last row of the input's transform. a, b, c, to: positions in x and out."""
    to, a, b, c = np.uintp(to), np.uintp(a), np.uintp(b), np.uintp(c)
    for k in range(np.uintp(count)):
        out[to + k] = _4 * x[a + k] - _5 * x[b + k] + x[c + k]


@njit(**_COMPILED)
def _inner(out, to, x, a, b, c, d, u, v, count):
    """(d + u b) + v (c + u a): the rows between."""
    to, a, b, c, d = np.uintp(to), np.uintp(a), np.uintp(b), np.uintp(c), np.uintp(d)
    for k in range(np.uintp(count)):
        out[to + k] = (x[d + k] + u * x[b + k]) + v * (x[c + k] + u * x[a + k])


@njit(**_COMPILED)
def _transform(out, to, to_step, x, at, count):
    """Six runs of x, at the positions `at`, times the transposed B of the points 0, 1, -1, 2, -2 and infinity."""
    _outer(out, to, x, at[0], at[2], at[4], count)
    for row in range(1, 5):
        u = -_4 if row < 3 else np.float32(-1)
        v = (np.float32(1) if row < 3 else _2) * np.float32(1 if row % 2 else -1)
        _inner(out, to + row * to_step, x, at[1], at[2], at[3], at[4], u, v, count)
    _outer(out, to + 5 * to_step, x, at[1], at[3], at[5], count)


@njit(**_COMPILED)
def _put_columns_apart(x, strip, top, left, tiles, step, plane):
    """Six rows of the map from row `top`, px `left` on, into strip[row, column % step, column // step]; 0 outside."""
    height, width, channels = x.shape
    flat = x.reshape(-1)
    for row in range(SIDE):
        y = top + row
        for column in range((tiles - 1) * step + SIDE):
            to = (row * step + column % step) * plane + column // step * channels
            px = left + column
            if y < 0 or y >= height or px < 0 or px >= width:
                strip[to : to + channels] = 0
            else:
                start = (y * width + px) * channels
                strip[to : to + channels] = flat[start : start + channels]


@njit(**_COMPILED)
def transform_input(x, tiles, first, rows, across, step, padding):
    """Rows of tiles of a map, from row `first` on, into `tiles` (36, rows * across, C).

    x: (h, w, C). step: px from tile to tile. padding: rows of zeros above the map, columns left of it.
    """
    channels = x.shape[2]
    block = max(1, min(across, _RUN // channels))
    # A tile's last columns are the first of the next one.
    plane = (block + (SIDE - 1) // step) * channels
    strip, half = np.zeros(SIDE * step * plane, np.float32), np.empty(SIDE * step * plane, np.float32)
    total, at = rows * across * channels, np.empty(SIDE, np.int64)
    for row in range(rows):
        for start in range(0, across, block):
            count = min(block, across - start)
            top, left = (first + row) * step - padding[0], start * step - padding[1]
            _put_columns_apart(x, strip, top, left, count, step, plane)
            for k in range(SIDE):
                at[k] = k * step * plane
            _transform(half, 0, step * plane, strip, at, step * plane)
            for i in range(SIDE):
                for k in range(SIDE):
                    at[k] = (i * step + k % step) * plane + k // step * channels
                to = i * SIDE * total + (row * across + start) * channels
                _transform(tiles, to, total, half, at, count * channels)


@njit(**_COMPILED)
def _combine(out, to, x, at, step, row, count):
    """One row of the output's transform but for its edge: (m1 + s m2) + 2^row (m3 + s m4), s = (-1)^row."""
    s, w = np.float32(-1 if row % 2 else 1), np.float32(1 << row)
    to, a, b = np.uintp(to), np.uintp(at + step), np.uintp(at + 2 * step)
    c, d = np.uintp(at + 3 * step), np.uintp(at + 4 * step)
    for k in range(np.uintp(count)):
        out[to + k] = (x[a + k] + s * x[b + k]) + w * (x[c + k] + s * x[d + k])


@njit(**_COMPILED)
def _add(out, to, x, at, count):
    to, at = np.uintp(to), np.uintp(at)
    for k in range(np.uintp(count)):
        out[to + k] += x[at + k]


@njit(**_COMPILED)
def _transform_back(out, to, to_step, x, at, step, size, count):
    """Six runs of x times the transposed A of the same points: `size` runs."""
    for row in range(size):
        _combine(out, to + row * to_step, x, at, step, row, count)
    _add(out, to, x, at, count)
    _add(out, to + (size - 1) * to_step, x, at + 5 * step, count)


@njit(**_COMPILED)
def _finish(out, to, x, at, bias, other, low, high, count):
    to, at = np.uintp(to), np.uintp(at)
    if len(other):
        for k in range(np.uintp(count)):
            out[to + k] = min(max(x[at + k] + bias[k] + other[to + k], low), high)
    else:
        for k in range(np.uintp(count)):
            out[to + k] = min(max(x[at + k] + bias[k], low), high)


@njit(**_COMPILED)
def transform_output(products, y, bias, other, first, rows, across, size, low, high):
    """Products (36, rows * across, C) into rows of tiles of a map, from row `first` on: clip(value + bias + other).

    y: (h, w, C), changed in place. size: px of a tile's output. other: flat, as large as y, or empty for none.
    """
    height, width, channels = y.shape
    flat, total = y.reshape(-1), rows * across * channels
    block = max(1, min(across, _RUN // channels))
    plane = block * channels
    half, tile = np.empty(size * SIDE * plane, np.float32), np.empty(size * size * plane, np.float32)
    for row in range(rows):
        top = (first + row) * size
        for start in range(0, across, block):
            count = min(block, across - start)
            for j in range(SIDE):
                at = j * total + (row * across + start) * channels
                _transform_back(half, j * plane, SIDE * plane, products, at, SIDE * total, size, count * channels)
            for i in range(min(size, height - top)):
                _transform_back(tile, i * size * plane, plane, half, i * SIDE * plane, plane, size, count * channels)
                for px in range(min(count * size, width - start * size)):
                    to = ((top + i) * width + start * size + px) * channels
                    at = (i * size + px % size) * plane + px // size * channels
                    _finish(flat, to, tile, at, bias, other, low, high, channels)
