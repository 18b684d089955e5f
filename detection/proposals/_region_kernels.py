"""Compiled loops of region sizes, boxes and histograms."""

from __future__ import annotations

import numba
import numpy as np

HALF_ROOT = np.float32(0.5**0.5)
# Stands for any lowest texture bin; no place in a histogram of 240.
LOWEST = 255


@numba.njit(cache=True, nogil=True)
def _put_places(along, across, weight, bins, base, places):
    """Histogram places of a row's derivatives weight x (along + across); LOWEST where the lowest bin is meant.

    base: (N,) uint8 the first place of each value's channel and orientation.
    """
    last = np.int32(bins - 1)
    for i in range(places.size):
        value = (along[i] + across[i]) * weight
        place = min(np.int32(abs(value)), last)
        side = np.int32(bins) if value < 0 else np.int32(0)
        places[i] = np.uint8(base[i] + side + place) if place > 0 else np.uint8(LOWEST)


@numba.njit(cache=True, nogil=True)
def texture_codes(along_x, along_y, bins, scale, codes, ends):
    """List, pixel after pixel, the histogram places of the derivatives above the lowest bin.

    Channel by channel, orientations 0, 45, 90, 135 degrees, `bins` places for the positive and as many for the
    negative part. ends: (H, W) where in the list a pixel's places end. codes has room for one more than there may be.
    Returns how many there are.
    """
    height, width, channels = along_x.shape
    values = width * channels
    places = np.empty((4, values), np.uint8)
    base = np.empty((4, values), np.uint8)
    for orientation in range(4):
        for i in range(values):
            base[orientation, i] = (8 * (i % channels) + 2 * orientation) * bins
    right = np.empty(values, np.float32)
    down = np.empty(values, np.float32)
    left = np.empty(values, np.float32)
    none = np.zeros(values, np.float32)
    one = np.float32(1)
    count = np.uint64(0)
    for y in range(height):
        for x in range(width):
            for c in range(channels):
                right[x * channels + c] = along_x[y, x, c] * scale
                down[x * channels + c] = along_y[y, x, c] * scale
        for i in range(values):
            left[i] = -right[i]
        _put_places(right, none, one, bins, base[0], places[0])
        _put_places(right, down, HALF_ROOT, bins, base[1], places[1])
        _put_places(down, none, one, bins, base[2], places[2])
        _put_places(down, left, HALF_ROOT, bins, base[3], places[3])
        for x in range(width):
            # Stored always, counted where it is one: a branch would be guessed wrong too often.
            for i in range(x * channels, (x + 1) * channels):
                for orientation in range(4):
                    codes[count] = places[orientation, i]
                    count += np.uint64(places[orientation, i] != LOWEST)
            ends[y, x] = count
    return count


@numba.njit(cache=True, nogil=True)
def count_pixels(labels, image, colour_bins, codes, ends, counts, sizes, boxes):
    """Sizes, half-open boxes and histogram counts of the regions: colour by channel, then the texture codes.

    colour_bins: (256,) the bin of a value. The lowest texture bins are left at 0.
    """
    height, width, channels = image.shape
    bins = colour_bins[255] + 1
    colours = np.uint64(channels * bins)
    for r in range(sizes.size):
        boxes[r, 0] = width
        boxes[r, 1] = height
        boxes[r, 2] = 0
        boxes[r, 3] = 0
    place = np.uint64(0)
    for y in range(height):
        x = 0
        while x < width:
            label = labels[y, x]
            begin = x
            row = counts[label]
            while x < width and labels[y, x] == label:
                for c in range(channels):
                    row[np.uint64(c * bins + colour_bins[image[y, x, c]])] += 1
                x += 1
            end = np.uint64(ends[y, x - 1])
            while place < end:
                row[colours + np.uint64(codes[place])] += 1
                place += np.uint64(1)
            sizes[label] += x - begin
            boxes[label, 0] = min(boxes[label, 0], begin)
            boxes[label, 1] = min(boxes[label, 1], y)
            boxes[label, 2] = max(boxes[label, 2], x)
            boxes[label, 3] = y + 1


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
