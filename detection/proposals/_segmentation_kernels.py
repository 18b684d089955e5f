"""Compiled loops of the graph-based segmentation."""

import numba
import numpy as np

# Half of the 8-neighbourhood, so that every pair occurs once: right, below left, below, below right.
DIRECTIONS = 4
# Of a colour distance in an edge's entry: two digits of a radix sort.
KEY_BITS = 22
_DIGIT = KEY_BITS // 2


@numba.njit(cache=True, nogil=True)
def _neighbour(y, x, direction, shape):
    """(y, x) of the pixel in that direction, and whether it is in the image."""
    below = y + (direction > 0)
    beside = x + (1 if direction == 0 else direction - 2)
    return below, beside, below < shape[0] and 0 <= beside < shape[1]


@numba.njit(cache=True, nogil=True)
def list_edges(image, scale, entries):
    """Write an entry of every neighbour pair of image (H, W, C) float32, in raster order; returns their number.

    An entry is distance x scale, rounded down, << 32 | 4 x pixel + direction.
    """
    count = np.uint64(0)
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            for direction in range(DIRECTIONS):
                other_y, other_x, inside = _neighbour(y, x, direction, image.shape)
                if inside:
                    total = np.float32(0)
                    for c in range(image.shape[2]):
                        difference = image[y, x, c] - image[other_y, other_x, c]
                        total += difference * difference
                    key = np.uint64(np.int32(np.sqrt(total) * scale))
                    edge = np.uint64(DIRECTIONS * (y * image.shape[1] + x) + direction)
                    entries[count] = key << np.uint64(32) | edge
                    count += np.uint64(1)
    return count


@numba.njit(cache=True, nogil=True)
def sort_entries(entries, spare):
    """Sort entries of `list_edges` by their keys, equal ones stay in order: a radix sort in two passes.

    spare: as long, scratch. Five times as fast as NumPy's sort where that has no vector code for the processor.
    """
    shift, mask = np.uint64(32), np.uint64((1 << _DIGIT) - 1)
    for _ in range(2):
        places = np.zeros((1 << _DIGIT) + 1, np.int64)
        for entry in entries:
            places[np.int64((entry >> shift) & mask) + 1] += 1
        places = places.cumsum()
        for entry in entries:
            at = np.int64((entry >> shift) & mask)
            spare[places[at]] = entry
            places[at] += 1
        entries, spare = spare, entries
        shift += np.uint64(_DIGIT)


@numba.njit(cache=True, nogil=True)
def _find(parent, node):
    # Two steps at once, mostly to the root: a test after the first would be guessed wrong too often.
    root = parent[parent[node]]
    while parent[root] != root:
        root = parent[root]
    parent[node] = root
    return root


@numba.njit(cache=True, nogil=True)
def _roots(parent, entry, jumps):
    """The roots of the two pixels of an edge."""
    pixel = np.uint32(entry) >> np.uint32(2)
    return _find(parent, pixel), _find(parent, pixel + jumps[np.uint32(entry) & np.uint32(3)])


@numba.njit(cache=True, nogil=True)
def _join(parent, sizes, first, second):
    """Make the larger region of two, of equal ones the first, the root of both; returns it."""
    if sizes[first] < sizes[second]:
        first, second = second, first
    parent[second] = first
    sizes[first] += sizes[second]
    return first


@numba.njit(cache=True, nogil=True)
def merge_regions(entries, width, k, step, min_size, parent):
    """Felzenszwalb and Huttenlocher: join while an edge is within both regions' internal variation + k / size.

    Then, in the same order of edges, every region under min_size px is joined with the neighbour across the edge.
    entries: sorted. parent: (H * W,) uint32, receives the forest.
    """
    jumps = np.array([1, width - 1, width, width + 1], np.uint32)
    # A region's size and the largest weight that joins it lie side by side: so they come in one line of the cache.
    regions = np.empty((parent.size, 2), np.int32)
    sizes, limits = regions[:, 0], regions.view(np.float32)[:, 1]
    sizes[:], limits[:] = 1, k
    # All edges that the second round may need, for regions only grow; going over all takes a third longer.
    rejected = np.empty(entries.size, np.uint64)
    count = 0
    for pixel in range(parent.size):
        parent[pixel] = pixel
    for entry in entries:
        first, second = _roots(parent, entry, jumps)
        if first == second:
            continue
        weight = np.float32(entry >> np.uint64(32)) * step
        if weight <= min(limits[first], limits[second]):
            kept = _join(parent, sizes, first, second)
            limits[kept] = weight + k / np.float32(sizes[kept])
        elif sizes[first] < min_size or sizes[second] < min_size:
            rejected[count] = entry
            count += 1
    for entry in rejected[:count]:
        first, second = _roots(parent, entry, jumps)
        if first != second and (sizes[first] < min_size or sizes[second] < min_size):
            _join(parent, sizes, first, second)


@numba.njit(cache=True, nogil=True)
def label_regions(parent, labels):
    """Number the regions 0.. in raster order of their first pixel; returns how many."""
    number = np.full(parent.size, -1, np.int32)
    count = 0
    for pixel in range(parent.size):
        root = _find(parent, np.uint32(pixel))
        if number[root] < 0:
            number[root] = count
            count += 1
        labels[pixel] = number[root]
    return count


@numba.njit(cache=True, nogil=True)
def list_borders(labels, codes):
    """Write lower << 32 | higher of every pair of neighbours of labels (H, W) in two regions; returns their number."""
    count = np.uint64(0)
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            for direction in range(DIRECTIONS):
                other_y, other_x, inside = _neighbour(y, x, direction, labels.shape)
                if inside and labels[y, x] != labels[other_y, other_x]:
                    a, b = np.int64(labels[y, x]), np.int64(labels[other_y, other_x])
                    codes[count] = min(a, b) << 32 | max(a, b)
                    count += np.uint64(1)
    return count
