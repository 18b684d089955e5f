"""Compiled loops of hierarchical grouping."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True, nogil=True, fastmath=True)
def _intersection(first, second, begin, end):
    total = np.float32(0)
    for i in range(begin, end):
        total += min(first[i], second[i])
    return total


@numba.njit(cache=True, nogil=True)
def _similarity(a, b, histograms, begin, end, sizes, boxes, area, use_size, use_fill):
    value = np.float32(0)
    if end > begin:
        value += _intersection(histograms[a], histograms[b], begin, end)
    pixels = np.float32(sizes[a] + sizes[b])
    if use_size:
        value += np.float32(1) - pixels / area
    if use_fill:
        width = max(boxes[a, 2], boxes[b, 2]) - min(boxes[a, 0], boxes[b, 0])
        height = max(boxes[a, 3], boxes[b, 3]) - min(boxes[a, 1], boxes[b, 1])
        value += np.float32(1) - (np.float32(width) * np.float32(height) - pixels) / area
    return value


@numba.njit(cache=True, nogil=True)
def _before(a, b, values, ends):
    """Whether pair a is merged before pair b: larger similarity, then lower region numbers."""
    if values[a] != values[b]:
        return values[a] > values[b]
    if ends[a, 0] != ends[b, 0]:
        return ends[a, 0] < ends[b, 0]
    return ends[a, 1] < ends[b, 1]


@numba.njit(cache=True, nogil=True)
def _push(heap, count, pair, values, ends):
    place = count
    while place > 0:
        above = (place - 1) >> 1
        if not _before(pair, heap[above], values, ends):
            break
        heap[place] = heap[above]
        place = above
    heap[place] = pair


@numba.njit(cache=True, nogil=True)
def _pop(heap, count, values, ends):
    top = heap[0]
    pair = heap[count - 1]
    place = 0
    while True:
        below = 2 * place + 1
        if below >= count - 1:
            break
        if below + 1 < count - 1 and _before(heap[below + 1], heap[below], values, ends):
            below += 1
        if not _before(heap[below], pair, values, ends):
            break
        heap[place] = heap[below]
        place = below
    heap[place] = pair
    return top


@numba.njit(cache=True, nogil=True)
def _doubled(array):
    return np.concatenate((array, np.empty_like(array)))


@numba.njit(cache=True, nogil=True)
def group(pairs, histograms, begin, end, sizes, boxes, area, use_size, use_fill):
    """Merge the most similar touching regions until one is left (or none touch).

    histograms (2 N - 1, D), sizes (2 N - 1,) and boxes (2 N - 1, 4) hold the N first regions and receive the merged
    ones behind them. Returns the number of regions in all.
    """
    total = sizes.size
    regions = (total + 1) // 2
    room = 4 * pairs.shape[0] + 16
    values = np.empty(room, np.float32)
    ends = np.empty((room, 2), np.int32)
    heap = np.empty(room, np.int32)
    links = np.empty((2 * room, 2), np.int32)  # other region, next link
    head = np.full(total, -1, np.int32)
    alive = np.ones(total, np.bool_)
    stamp = np.full(total, -1, np.int32)
    made = 0
    linked = 0
    waiting = 0
    for p in range(pairs.shape[0]):
        a = pairs[p, 0]
        b = pairs[p, 1]
        ends[made, 0] = a
        ends[made, 1] = b
        values[made] = _similarity(a, b, histograms, begin, end, sizes, boxes, area, use_size, use_fill)
        _push(heap, waiting, made, values, ends)
        waiting += 1
        made += 1
        links[linked, 0] = b
        links[linked, 1] = head[a]
        head[a] = linked
        links[linked + 1, 0] = a
        links[linked + 1, 1] = head[b]
        head[b] = linked + 1
        linked += 2
    new = regions
    while waiting > 0:
        pair = _pop(heap, waiting, values, ends)
        waiting -= 1
        a = ends[pair, 0]
        b = ends[pair, 1]
        if not (alive[a] and alive[b]):
            continue
        alive[a] = False
        alive[b] = False
        sizes[new] = sizes[a] + sizes[b]
        boxes[new, 0] = min(boxes[a, 0], boxes[b, 0])
        boxes[new, 1] = min(boxes[a, 1], boxes[b, 1])
        boxes[new, 2] = max(boxes[a, 2], boxes[b, 2])
        boxes[new, 3] = max(boxes[a, 3], boxes[b, 3])
        share = np.float32(sizes[a]) / np.float32(sizes[new])
        for i in range(begin, end):
            histograms[new, i] = share * histograms[a, i] + (np.float32(1) - share) * histograms[b, i]
        for side in range(2):
            link = head[ends[pair, side]]
            while link >= 0:
                other = links[link, 0]
                link = links[link, 1]
                if not alive[other] or stamp[other] == new:
                    continue
                stamp[other] = new
                if made == values.size:
                    values = _doubled(values)
                    ends = _doubled(ends)
                    heap = _doubled(heap)
                    links = _doubled(links)
                ends[made, 0] = other
                ends[made, 1] = new
                values[made] = _similarity(other, new, histograms, begin, end, sizes, boxes, area, use_size, use_fill)
                _push(heap, waiting, made, values, ends)
                waiting += 1
                made += 1
                links[linked, 0] = new
                links[linked, 1] = head[other]
                head[other] = linked
                links[linked + 1, 0] = other
                links[linked + 1, 1] = head[new]
                head[new] = linked + 1
                linked += 2
        new += 1
    return new
