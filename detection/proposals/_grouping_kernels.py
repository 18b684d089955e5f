"""Compiled loops of hierarchical grouping."""

from heapq import heappop, heappush

import numba
import numpy as np


@numba.njit(cache=True, nogil=True, fastmath=True)
def _intersection(first, second):
    total = np.float32(0)
    for i in range(first.size):
        total += min(first[i], second[i])
    return total


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
def _connect(a, b, similarity, heap, links, head):
    """Put a touching pair on the heap, and each into the other's list of neighbours."""
    a, b = np.int32(a), np.int32(b)
    heappush(heap, (-similarity, a, b))
    for one, other in ((a, b), (b, a)):
        links.append((other, head[one]))
        head[one] = len(links) - 1


@numba.njit(cache=True, nogil=True)
def group(pairs, histograms, begin, end, sizes, boxes, area, use_size, use_fill):
    """Merge the most similar touching regions until one is left (or none touch).

    histograms (2 N - 1, D), sizes (2 N - 1,) and boxes (2 N - 1, 4) hold the N first regions and receive the merged
    ones behind them. Returns the number of regions in all.
    """
    total = sizes.size
    # -similarity, lower region, higher region; and of linked lists: other region, next link. Empty, of a known type.
    heap = [(np.float32(0), np.int32(0), np.int32(0)) for _ in range(0)]
    links = [(np.int32(0), np.int32(0)) for _ in range(0)]
    head = np.full(total, -1, np.int32)
    alive = np.ones(total, np.bool_)
    seen_by = np.full(total, -1, np.int32)
    for a, b in pairs:
        similarity = _similarity(a, b, histograms, begin, end, sizes, boxes, area, use_size, use_fill)
        _connect(a, b, similarity, heap, links, head)
    new = (total + 1) // 2
    while len(heap) > 0:
        _, a, b = heappop(heap)
        if not (alive[a] and alive[b]):
            continue
        alive[a] = alive[b] = False
        sizes[new] = sizes[a] + sizes[b]
        boxes[new, :2] = np.minimum(boxes[a, :2], boxes[b, :2])
        boxes[new, 2:] = np.maximum(boxes[a, 2:], boxes[b, 2:])
        share = np.float32(sizes[a]) / np.float32(sizes[new])
        for i in range(begin, end):
            histograms[new, i] = share * histograms[a, i] + (np.float32(1) - share) * histograms[b, i]
        for link in (head[a], head[b]):
            while link >= 0:
                other, link = links[link]
                if alive[other] and seen_by[other] != new:
                    seen_by[other] = new
                    similarity = _similarity(other, new, histograms, begin, end, sizes, boxes, area, use_size, use_fill)
                    _connect(other, new, similarity, heap, links, head)
        new += 1
    return new
