"""Compiled loops of region sizes, boxes and histograms."""

import numba
import numpy as np

# Of a derivative: 0, 45, 90 and 135 degrees, each with a positive and a negative part.
ORIENTATIONS = 4
HALF_ROOT = np.float32(0.5**0.5)


@numba.njit(cache=True, nogil=True)
def _place(value, bins):
    place = min(np.int32(abs(value)), np.int32(bins - 1))
    return np.uint8(place + bins if value < 0 else place)


@numba.njit(cache=True, nogil=True)
def texture_places(along_x, along_y, scale, bins, places):
    """Histogram places of derivatives (N,) float32 by orientation: places (ORIENTATIONS, N) uint8.

    scale: bins a unit of the derivatives. The first `bins` places are of the positive part, the next of the negative.
    """
    bins = np.int32(bins)
    for i in range(along_x.size):
        right, down = along_x[i] * scale, along_y[i] * scale
        places[0, i] = _place(right, bins)
        places[1, i] = _place((right + down) * HALF_ROOT, bins)
        places[2, i] = _place(down, bins)
        places[3, i] = _place((down - right) * HALF_ROOT, bins)


@numba.njit(cache=True, nogil=True)
def count_pixels(labels, image, colour_bins, textures, texture_bins, counts, sizes, boxes):
    """Sizes, half-open boxes and histogram counts of the regions: colour by channel, then texture.

    colour_bins: (256,) the bin of a value. textures: (ORIENTATIONS, H, W, C), as `texture_places` has them. counts and
    sizes begin at 0.
    """
    height, width, channels = image.shape
    boxes[:, 0] = width
    boxes[:, 1] = height
    boxes[:, 2:] = 0
    for y in range(height):
        for x in range(width):
            label = labels[y, x]
            row = counts[label]
            begin = np.uint64(0)
            for c in range(channels):
                row[begin + np.uint64(colour_bins[image[y, x, c]])] += 1
                begin += np.uint64(colour_bins[255] + 1)
            for c in range(channels):
                for orientation in range(ORIENTATIONS):
                    row[begin + np.uint64(textures[orientation, y, x, c])] += 1
                    begin += np.uint64(2 * texture_bins)
            sizes[label] += 1
            boxes[label, 0] = min(boxes[label, 0], x)
            boxes[label, 1] = min(boxes[label, 1], y)
            boxes[label, 2] = max(boxes[label, 2], x + 1)
            boxes[label, 3] = y + 1
