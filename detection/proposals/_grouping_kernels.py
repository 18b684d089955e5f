"""Compiled loops of hierarchical grouping."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True, nogil=True, fastmath=True)
def _intersection(first, second):
    total = np.float32(0)
    for i in range(first.size):
        total += min(first[i], second[i])
    return total


@numba.njit(cache=True, nogil=True)
def _mix(first, share, second, out):
    for i in range(out.size):
        out[i] = share * first[i] + (np.float32(1) - share) * second[i]


@numba.njit(cache=True, nogil=True)
def _similarity(a, b, histograms, begin, end, sizes, boxes, area, use_size, use_fill):
    value = np.float32(0)
    if end > begin:
        value += _intersection(histograms[a, begin:end], histograms[b, begin:end])
    pixels = np.float32(sizes[a] + sizes[b])
    if use_size:
        value += np.float32(1) - pixels / area
    if use_fill:
        width = max(boxes[a, 2], boxes[b, 2]) - min(boxes[a, 0], boxes[b, 0])
        height = max(boxes[a, 3], boxes[b, 3]) - min(boxes[a, 1], boxes[b, 1])
        value += np.float32(1) - (np.float32(width) * np.float32(height) - pixels) / area
    return value


@numba.njit(cache=True, nogil=True)
def _rank(value, first):
    """A number that is the smaller the larger value is, and of equal values the smaller the lower first is."""
    bits = np.uint32(np.float32(value).view(np.uint32))
    negative = bits >> np.uint32(31) != 0
    falling = bits if negative else bits ^ np.uint32(0x7FFFFFFF)
    return np.uint64(falling) << np.uint64(32) | np.uint64(first)


@numba.njit(cache=True, nogil=True)
def _push(ranks, seconds, count, rank, second):
    """Add a pair to a heap of `count`: ranks, and of equal ones seconds, rise from the top."""
    place = count
    while place > 0:
        above = (place - 1) >> 1
        if ranks[above] < rank or (ranks[above] == rank and seconds[above] < second):
            break
        ranks[place] = ranks[above]
        seconds[place] = seconds[above]
        place = above
    ranks[place] = rank
    seconds[place] = second


@numba.njit(cache=True, nogil=True)
def _pop(ranks, seconds, count):
    """Take the top off a heap of `count`."""
    # The hole goes down to a leaf, where the last pair most likely belongs: one comparison a level.
    last = count - 1
    place = 0
    below = 1
    while below < last:
        other = below + 1
        if other < last:
            equal = ranks[other] == ranks[below]
            below += (ranks[other] < ranks[below]) | (equal & (seconds[other] < seconds[below]))
        ranks[place] = ranks[below]
        seconds[place] = seconds[below]
        place = below
        below = 2 * place + 1
    _push(ranks, seconds, place, ranks[last], seconds[last])


@numba.njit(cache=True, nogil=True)
def _doubled(array):
    return np.concatenate((array, np.empty_like(array)))


@numba.njit(cache=True, nogil=True)
def _link(links, head, linked, a, b):
    """Note that a and b touch, in the lists of both; returns the new number of notes."""
    links[linked, 0] = b
    links[linked, 1] = head[a]
    head[a] = linked
    links[linked + 1, 0] = a
    links[linked + 1, 1] = head[b]
    head[b] = linked + 1
    return linked + 2


@numba.njit(cache=True, nogil=True)
def group(pairs, histograms, begin, end, sizes, boxes, area, use_size, use_fill):
    """Merge the most similar touching regions until one is left (or none touch).

    histograms (2 N - 1, D), sizes (2 N - 1,) and boxes (2 N - 1, 4) hold the N first regions and receive the merged
    ones behind them. Returns the number of regions in all.
    """
    total = sizes.size
    room = 4 * pairs.shape[0] + 16
    ranks = np.empty(room, np.uint64)
    seconds = np.empty(room, np.int32)
    links = np.empty((2 * room, 2), np.int32)  # other region, next link
    head = np.full(total, -1, np.int32)
    alive = np.ones(total, np.bool_)
    stamp = np.full(total, -1, np.int32)
    linked = 0
    waiting = 0
    for p in range(pairs.shape[0]):
        a = pairs[p, 0]
        b = pairs[p, 1]
        value = _similarity(a, b, histograms, begin, end, sizes, boxes, area, use_size, use_fill)
        _push(ranks, seconds, waiting, _rank(value, a), b)
        waiting += 1
        linked = _link(links, head, linked, a, b)
    new = (total + 1) // 2
    while waiting > 0:
        a = np.int64(ranks[0] & np.uint64(0xFFFFFFFF))
        b = np.int64(seconds[0])
        _pop(ranks, seconds, waiting)
        waiting -= 1
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
        _mix(histograms[a, begin:end], share, histograms[b, begin:end], histograms[new, begin:end])
        for link in (head[a], head[b]):
            while link >= 0:
                other = links[link, 0]
                link = links[link, 1]
                if not alive[other] or stamp[other] == new:
                    continue
                stamp[other] = new
                if waiting == seconds.size:
                    ranks = _doubled(ranks)
                    seconds = _doubled(seconds)
                if linked == links.shape[0]:
                    links = _doubled(links)
                value = _similarity(other, new, histograms, begin, end, sizes, boxes, area, use_size, use_fill)
                _push(ranks, seconds, waiting, _rank(value, other), new)
                waiting += 1
                linked = _link(links, head, linked, other, new)
        new += 1
    return new
