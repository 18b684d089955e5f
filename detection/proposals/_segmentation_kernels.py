"""Compiled loops of the graph-based segmentation."""

from __future__ import annotations

import numba
import numpy as np

# An edge is 4 * pixel + direction, of right, below left, below, below right: half of the 8-neighbourhood, so that
# every pair occurs once. An entry of the sorted list is key << 32 | edge.
DIRECTIONS = 4
KEY_BITS = 22
RADIX_BITS = 11
# Key of a place in the list whose neighbour is outside the image.
NO_EDGE = 2**32 - 1


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
        out[x] = np.uint32(np.int32(np.sqrt(total[x]) * scale))


@numba.njit(cache=True, nogil=True)
def _count_digits(row, low, high):
    mask = np.uint32((1 << RADIX_BITS) - 1)
    shift = np.uint32(RADIX_BITS)
    for key in row:
        low[key & mask] += np.uint32(1)
        high[key >> shift] += np.uint32(1)


@numba.njit(cache=True, nogil=True)
def list_keys(image, scale, keys, low, high):
    """Quantised distances of all neighbour pairs, keys (H, W, DIRECTIONS), and how often each digit occurs in them.

    low, high: (DIRECTIONS, 2 ** RADIX_BITS) counts of the lower and the higher digit, to start from.
    """
    height, width, channels = image.shape
    rows = np.full((DIRECTIONS, width), NO_EDGE, np.uint32)
    total = np.empty(width, np.float32)
    planes = np.empty((2, channels, width), np.float32)  # of the row at hand and the next, which take turns
    planes[0] = image[0].T
    for y in range(height):
        here, below = planes[y % 2], planes[(y + 1) % 2]
        _distances(here, here, 1, scale, total, rows[0])
        _count_digits(rows[0, : width - 1], low[0], high[0])
        if y + 1 < height:
            below[:] = image[y + 1].T
            for direction in range(1, DIRECTIONS):
                shift = direction - 2
                _distances(here, below, shift, scale, total, rows[direction])
                edges = rows[direction, max(0, -shift) : width - max(0, shift)]
                _count_digits(edges, low[direction], high[direction])
        else:
            rows[1:] = NO_EDGE
        out = keys[y]
        for x in range(width):
            out[x, 0] = rows[0, x]
            out[x, 1] = rows[1, x]
            out[x, 2] = rows[2, x]
            out[x, 3] = rows[3, x]


@numba.njit(cache=True, nogil=True)
def _starts(counts):
    """Where the entries of each digit begin, from their counts in several parts."""
    starts = np.empty(counts.shape[1], np.uint32)
    total = np.uint32(0)
    for digit in range(counts.shape[1]):
        starts[digit] = total
        for part in range(counts.shape[0]):
            total += counts[part, digit]
    return starts


@numba.njit(cache=True, nogil=True)
def sort_keys(keys, low, high, spare, entries):
    """Entries of all edges, by key, equal ones in raster order: a stable radix sort in two passes.

    keys: those of `list_keys`, flat; low, high: its counts. spare: as long as entries, scratch.
    """
    mask = np.uint32((1 << RADIX_BITS) - 1)
    shift = np.uint64(32 + RADIX_BITS)
    place = _starts(low)
    for edge in range(np.uint64(keys.size)):
        key = keys[edge]
        if key != np.uint32(NO_EDGE):
            digit = key & mask
            spare[place[digit]] = np.uint64(key) << np.uint64(32) | edge
            place[digit] += np.uint32(1)
    place = _starts(high)
    for i in range(np.uint64(entries.size)):
        digit = spare[i] >> shift
        entries[place[digit]] = spare[i]
        place[digit] += np.uint32(1)


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
def merge_edges(entries, width, k, step, min_size, parent, sizes, limits, rejected):
    """Felzenszwalb-Huttenlocher pass: join while the edge is within both regions' internal variation + k / size.

    parent receives the forest. sizes and limits are the int32 and the float32 view of one (N, 2) array, so that a
    region's two numbers lie side by side: sizes[:, 1] receives px, limits[:, 0] the largest weight that joins it.
    rejected receives, in their order, the edges that joined nothing while their ends were in two regions, one of them
    under min_size px: all that `absorb_small` may need, for regions only grow. Their number is returned.
    """
    jumps = _jumps(width)
    for pixel in range(parent.size):
        parent[pixel] = pixel
        sizes[pixel, 1] = 1
        limits[pixel, 0] = k
    count = np.uint64(0)
    for i in range(np.uint64(entries.size)):
        edge = np.uint32(entries[i])
        pixel = edge >> np.uint32(2)
        other = pixel + jumps[edge & np.uint32(3)]
        # Two steps at once, mostly to the root: a test after the first would be guessed wrong too often.
        first = parent[parent[pixel]]
        second = parent[parent[other]]
        if first == second:
            continue
        if parent[first] != first:
            first = _find(parent, pixel)
        if parent[second] != second:
            second = _find(parent, other)
        parent[pixel] = first
        parent[other] = second
        if first == second:
            continue
        weight = np.float32(entries[i] >> np.uint64(32)) * step
        if weight <= min(limits[first, 0], limits[second, 0]):
            swapped = sizes[first, 1] < sizes[second, 1]
            kept = second if swapped else first
            gone = first if swapped else second
            parent[gone] = kept
            parent[pixel] = kept
            parent[other] = kept
            sizes[kept, 1] += sizes[gone, 1]
            limits[kept, 0] = weight + k / np.float32(sizes[kept, 1])
        else:
            rejected[count] = edge
            count += np.uint64(min(sizes[first, 1], sizes[second, 1]) < min_size)
    return count


@numba.njit(cache=True, nogil=True)
def label_regions(parent, sizes, labels, label_sizes):
    """Number the regions 0.. in raster order of their first pixel; returns how many.

    sizes: as `merge_edges` leaves them. label_sizes: as long as labels, receives the px of each number.
    """
    number = np.full(parent.size, -1, np.int32)
    count = 0
    for pixel in range(parent.size):
        root = _find(parent, pixel)
        if number[root] < 0:
            number[root] = count
            label_sizes[count] = sizes[root, 1]
            count += 1
        labels[pixel] = number[root]
    return count


@numba.njit(cache=True, nogil=True)
def absorb_small(rejected, width, min_size, labels, sizes):
    """Join, in the order of edges, every region under min_size px with the neighbour across the edge.

    labels, sizes: of regions as `label_regions` numbers them; labels are renumbered in place, sizes are scratch then.
    Returns how many regions are left.
    """
    jumps = _jumps(width)
    count = sizes.size
    parent = np.arange(count).astype(np.int32)
    small = 0
    for r in range(count):
        small += sizes[r] < min_size
    for i in range(np.uint64(rejected.size)):
        if small == 0:
            break
        pixel = rejected[i] >> np.uint32(2)
        first = _find(parent, labels[pixel])
        second = _find(parent, labels[pixel + jumps[rejected[i] & np.uint32(3)]])
        if first != second and (sizes[first] < min_size or sizes[second] < min_size):
            small -= (sizes[first] < min_size) + (sizes[second] < min_size)
            if sizes[first] < sizes[second]:
                first, second = second, first
            parent[second] = first
            sizes[first] += sizes[second]
            small += sizes[first] < min_size
    number = np.full(count, -1, np.int32)
    final = np.empty(count, np.int32)
    left = 0
    for r in range(count):
        root = _find(parent, r)
        if number[root] < 0:
            number[root] = left
            left += 1
        final[r] = number[root]
    if left < count:
        for pixel in range(labels.size):
            labels[pixel] = final[labels[pixel]]
    return left


@numba.njit(cache=True, nogil=True)
def _code(a, b):
    """One number of an unordered pair."""
    return np.uint64(min(a, b)) << np.uint64(32) | np.uint64(max(a, b))


@numba.njit(cache=True, nogil=True)
def _row_pairs(labels, y, codes):
    """Write codes of the pairs that touch across or along the lower border of row y to codes; returns their number.

    Every pair that the row adds is among them, most only where their common border begins.
    """
    height, width = labels.shape
    here = labels[y]
    above = labels[max(y - 1, 0)]
    count = np.uint64(0)
    # Stored always, counted where it is one: a branch would be guessed wrong at every other border.
    for x in range(width - 1):
        codes[count] = _code(here[x], here[x + 1])
        begins = (y == 0) | (above[x] != here[x]) | (above[x + 1] != here[x + 1])
        count += np.uint64((here[x] != here[x + 1]) & begins)
    if y + 1 == height:
        return count
    below = labels[y + 1]
    for x in range(width):
        before = max(x - 1, 0)
        codes[count] = _code(here[x], below[x])
        begins = (x == 0) | (here[before] != here[x]) | (below[before] != below[x])
        count += np.uint64((here[x] != below[x]) & begins)
    # Of a square of four pixels, a diagonal tells nothing new unless both other corners are of other regions.
    for x in range(width - 1):
        a, b, c, d = here[x], here[x + 1], below[x], below[x + 1]
        apart = (a != b) & (a != c) & (d != b) & (d != c)
        codes[count] = _code(a, d)
        count += np.uint64(apart & (a != d))
        codes[count] = _code(b, c)
        count += np.uint64(apart & (b != c))
    return count


@numba.njit(cache=True, nogil=True)
def _put(code, table):
    """Put a code into a hash table that holds 0 where there is none; returns whether it is new."""
    mask = np.uint64(table.size - 1)
    place = code * np.uint64(0x9E3779B97F4A7C15)
    place = (place ^ place >> np.uint64(32)) & mask
    while table[place] != 0:
        if table[place] == code:
            return False
        place = (place + np.uint64(1)) & mask
    table[place] = code
    return True


@numba.njit(cache=True, nogil=True)
def neighbour_pairs(labels, regions):
    """Unique pairs (lower, higher) of the touching (8-neighbour) regions of labels (H, W): (P, 2) int32."""
    height, width = labels.shape
    room = 64
    while room < 8 * regions:
        room *= 2
    table = np.zeros(room, np.uint64)
    pairs = np.empty((room // 2, 2), np.int32)
    codes = np.empty(4 * width, np.uint64)
    count = 0
    for y in range(height):
        for code in codes[: _row_pairs(labels, y, codes)]:
            if not _put(code, table):
                continue
            pairs[count, 0] = code >> np.uint64(32)
            pairs[count, 1] = code & np.uint64(0xFFFFFFFF)
            count += 1
            if count == pairs.shape[0]:
                table = np.zeros(2 * table.size, np.uint64)
                for i in range(count):
                    _put(_code(pairs[i, 0], pairs[i, 1]), table)
                pairs = np.concatenate((pairs, np.empty_like(pairs)))
    return pairs[:count]
