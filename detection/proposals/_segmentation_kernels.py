"""Compiled loops of the graph-based segmentation."""

from __future__ import annotations

import numba
import numpy as np

# An edge is 4 * pixel + direction, of right, below left, below, below right: half of the 8-neighbourhood, so that
# every pair occurs once. An entry of the sorted list is key << 32 | edge.
DIRECTIONS = 4
KEY_BITS = 22
RADIX_BITS = 11


@numba.njit(cache=True, nogil=True)
def _distances(first, second, shift, scale, total, row):
    """Quantised colour distances of the pixels of a row (C, W) to those `shift` to the right in another row."""
    begin = max(0, -shift)
    count = row.size - abs(shift)
    total[:] = 0
    for c in range(first.shape[0]):
        here = first[c, begin : begin + count]
        there = second[c, begin + shift : begin + shift + count]
        for x in range(count):
            difference = here[x] - there[x]
            total[x] += difference * difference
    out = row[begin : begin + count]
    for x in range(count):
        out[x] = np.int32(np.sqrt(total[x]) * scale)


@numba.njit(cache=True, nogil=True)
def list_edges(image, scale, entries):
    """Fill entries, pixel by pixel, with all neighbour pairs and their quantised distances; returns their number."""
    height, width, channels = image.shape
    rows = np.empty((DIRECTIONS, width), np.int32)
    total = np.empty(width, np.float32)
    planes = np.empty((2, channels, width), np.float32)  # of the row at hand and the next, which take turns
    planes[0] = image[0].T
    count = 0
    for y in range(height):
        last = y + 1 == height
        here, below = planes[y % 2], planes[(y + 1) % 2]
        _distances(here, here, 1, scale, total, rows[0])
        if not last:
            below[:] = image[y + 1].T
            for direction in range(1, DIRECTIONS):
                _distances(here, below, direction - 2, scale, total, rows[direction])
        for x in range(width):
            edge = np.uint64(DIRECTIONS * (y * width + x))
            if x + 1 < width:
                entries[count] = np.uint64(rows[0, x]) << np.uint64(32) | edge
                count += 1
            if not last:
                if x > 0:
                    entries[count] = np.uint64(rows[1, x]) << np.uint64(32) | (edge + np.uint64(1))
                    count += 1
                entries[count] = np.uint64(rows[2, x]) << np.uint64(32) | (edge + np.uint64(2))
                count += 1
                if x + 1 < width:
                    entries[count] = np.uint64(rows[3, x]) << np.uint64(32) | (edge + np.uint64(3))
                    count += 1
    return count


@numba.njit(cache=True, nogil=True)
def sort_entries(entries, spare):
    """Stable radix sort of entries by key in two passes; the result is in entries, spare is scratch."""
    size = 1 << RADIX_BITS
    mask = np.uint64(size - 1)
    shift_low = np.uint64(32)
    shift_high = np.uint64(32 + RADIX_BITS)
    low = np.zeros(size + 1, np.uint32)
    high = np.zeros(size + 1, np.uint32)
    for i in range(np.uint64(entries.size)):
        low[((entries[i] >> shift_low) & mask) + np.uint64(1)] += np.uint32(1)
        high[(entries[i] >> shift_high) + np.uint64(1)] += np.uint32(1)
    for i in range(size):
        low[i + 1] += low[i]
        high[i + 1] += high[i]
    for i in range(np.uint64(entries.size)):
        digit = (entries[i] >> shift_low) & mask
        spare[low[digit]] = entries[i]
        low[digit] += np.uint32(1)
    for i in range(np.uint64(entries.size)):
        digit = spare[i] >> shift_high
        entries[high[digit]] = spare[i]
        high[digit] += np.uint32(1)


@numba.njit(cache=True, nogil=True)
def _find(parent, node):
    root = parent[node]
    while parent[root] != root:
        root = parent[root]
    while parent[node] != root:
        following = parent[node]
        parent[node] = root
        node = following
    return root


@numba.njit(cache=True, nogil=True)
def _jumps(width):
    return np.array([1, width - 1, width, width + 1], np.uint32)


@numba.njit(cache=True, nogil=True)
def merge_edges(entries, width, k, step, parent, size, threshold, rejected):
    """Felzenszwalb-Huttenlocher pass: join while the edge is within both regions' internal variation + k / size.

    parent, size and threshold must hold one region a pixel. rejected receives the edges that joined nothing while
    their ends were in two regions; their number is returned.
    """
    jumps = _jumps(width)
    count = np.uint64(0)
    for i in range(np.uint64(entries.size)):
        edge = np.uint32(entries[i])
        pixel = edge >> np.uint32(2)
        other = pixel + jumps[edge & np.uint32(3)]
        first = parent[pixel]
        second = parent[other]
        if first == second:
            continue
        if parent[first] != first:
            first = _find(parent, pixel)
        if parent[second] != second:
            second = _find(parent, other)
        if first == second:
            continue
        weight = np.float32(entries[i] >> np.uint64(32)) * step
        if weight <= threshold[first] and weight <= threshold[second]:
            if size[first] < size[second]:
                first, second = second, first
            parent[second] = first
            parent[pixel] = first
            parent[other] = first
            size[first] += size[second]
            threshold[first] = weight + k / np.float32(size[first])
        else:
            rejected[count] = edge
            count += np.uint64(1)
    return count


@numba.njit(cache=True, nogil=True)
def absorb_small(rejected, width, min_size, parent, size):
    """Join, in the order of edges, every region under min_size px with the neighbour across the edge."""
    jumps = _jumps(width)
    for i in range(np.uint64(rejected.size)):
        pixel = rejected[i] >> np.uint32(2)
        first = _find(parent, pixel)
        second = _find(parent, pixel + jumps[rejected[i] & np.uint32(3)])
        if first != second and (size[first] < min_size or size[second] < min_size):
            if size[first] < size[second]:
                first, second = second, first
            parent[second] = first
            size[first] += size[second]


@numba.njit(cache=True, nogil=True)
def label_regions(parent, labels):
    """Number the regions 0.. in raster order of their first pixel; returns how many."""
    number = np.full(parent.size, -1, np.int32)
    count = 0
    for pixel in range(parent.size):
        root = _find(parent, pixel)
        if number[root] < 0:
            number[root] = count
            count += 1
        labels[pixel] = number[root]
    return count


@numba.njit(cache=True, nogil=True)
def neighbour_pairs(rejected, labels, width, regions):
    """Unique pairs (lower, higher) of touching regions, (P, 2) int32, sorted by lower."""
    jumps = _jumps(width)
    start = np.zeros(regions + 1, np.int64)
    low = np.empty(rejected.size, np.int32)
    high = np.empty(rejected.size, np.int32)
    count = 0
    for i in range(rejected.size):
        pixel = rejected[i] >> np.uint32(2)
        first = labels[pixel]
        second = labels[pixel + jumps[rejected[i] & np.uint32(3)]]
        if first != second:
            low[count] = min(first, second)
            high[count] = max(first, second)
            start[low[count] + 1] += 1
            count += 1
    for r in range(regions):
        start[r + 1] += start[r]
    place = start[:-1].copy()
    partners = np.empty(count, np.int32)
    for i in range(count):
        partners[place[low[i]]] = high[i]
        place[low[i]] += 1
    seen = np.full(regions, -1, np.int32)
    pairs = np.empty((count, 2), np.int32)
    unique = 0
    for r in range(regions):
        for i in range(start[r], start[r + 1]):
            if seen[partners[i]] != r:
                seen[partners[i]] = r
                pairs[unique, 0] = r
                pairs[unique, 1] = partners[i]
                unique += 1
    return pairs[:unique]
