"""Compiled loops of region sizes, boxes and histograms."""

from __future__ import annotations

import numba
import numpy as np

HALF_ROOT = np.float32(0.5**0.5)


@numba.njit(cache=True, nogil=True)
def _put(value, bins, base, codes, count):
    """Append the code of a derivative unless it is in the lowest bin; returns the new number of codes."""
    place = int(abs(value))
    if place == 0:
        return count
    if value < 0:
        base += bins
    codes[count] = base + min(place, bins - 1)
    return count + 1


@numba.njit(cache=True, nogil=True)
def texture_codes(along_x, along_y, bins, scale, codes, numbers):
    """List, pixel after pixel, the histogram places of the derivatives above the lowest bin.

    Channel by channel, orientations 0, 45, 90, 135 degrees, `bins` places for the positive and as many for the
    negative part. numbers: (H, W) how many a pixel has. Returns how many in all.
    """
    height, width, channels = along_x.shape
    count = 0
    for y in range(height):
        for x in range(width):
            before = count
            for c in range(channels):
                right = along_x[y, x, c] * scale
                down = along_y[y, x, c] * scale
                base = 8 * c * bins
                count = _put(right, bins, base, codes, count)
                count = _put((right + down) * HALF_ROOT, bins, base + 2 * bins, codes, count)
                count = _put(down, bins, base + 4 * bins, codes, count)
                count = _put((down - right) * HALF_ROOT, bins, base + 6 * bins, codes, count)
            numbers[y, x] = count - before
    return count


@numba.njit(cache=True, nogil=True)
def count_pixels(labels, image, colour_bins, codes, numbers, counts, sizes, boxes):
    """Sizes, half-open boxes and histogram counts of the regions: colour by channel, then the texture codes.

    colour_bins: (256,) the bin of a value. The lowest texture bins are left at 0.
    """
    height, width, channels = image.shape
    colours = np.uint64(channels * (colour_bins[255] + 1))
    for r in range(sizes.size):
        boxes[r, 0] = width
        boxes[r, 1] = height
        boxes[r, 2] = 0
        boxes[r, 3] = 0
    place = np.uint64(0)
    for y in range(height):
        for x in range(width):
            r = np.uint64(labels[y, x])
            row = counts[r]
            sizes[r] += 1
            boxes[r, 0] = min(boxes[r, 0], x)
            boxes[r, 1] = min(boxes[r, 1], y)
            boxes[r, 2] = max(boxes[r, 2], x + 1)
            boxes[r, 3] = max(boxes[r, 3], y + 1)
            for c in range(channels):
                row[np.uint64(c * (colour_bins[255] + 1) + colour_bins[image[y, x, c]])] += 1
            for _ in range(numbers[y, x]):
                row[colours + np.uint64(codes[place])] += 1
                place += np.uint64(1)


@numba.njit(cache=True, nogil=True)
def normalise(counts, sizes, colours, channels, bins, histograms):
    """Fill in the lowest texture bins and divide, so that the colour and the texture part sum to 1 each."""
    parts = (counts.shape[1] - colours) // bins
    for r in range(sizes.size):
        for part in range(parts):
            begin = colours + part * bins
            rest = sizes[r]
            for i in range(begin + 1, begin + bins):
                rest -= counts[r, i]
            counts[r, begin] = rest
        colour_unit = np.float32(1) / np.float32(sizes[r] * channels)
        texture_unit = np.float32(1) / np.float32(sizes[r] * parts)
        for i in range(colours):
            histograms[r, i] = counts[r, i] * colour_unit
        for i in range(colours, counts.shape[1]):
            histograms[r, i] = counts[r, i] * texture_unit
