"""Graph-based segmentation (Felzenszwalb and Huttenlocher, IJCV 2004)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from detection.proposals import _segmentation_kernels as kernels
from detection.proposals._buffers import Buffers

# The original code cuts the Gaussian at 4 standard deviations.
BLUR_CUT = 4.0
VALUE_RANGE = 255.0


@dataclass(frozen=True)
class Segmentation:
    """Regions of an image.

    labels: (H, W) int32 in 0..count-1, numbered in raster order of the first pixel. pairs: (P, 2) int32, the touching
    (8-neighbour) regions, lower number first, each pair once.
    """

    labels: np.ndarray
    count: int
    pairs: np.ndarray


@dataclass(frozen=True)
class SortedEdges:
    """The 8-neighbour graph of an image, lightest edge first.

    entries: (E,) uint64, key << 32 | 4 * pixel + direction (right, below left, below, below right); an edge weighs
    key * step. size: (height, width) in px.
    """

    entries: np.ndarray
    step: np.float32
    size: tuple[int, int]


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """(H, W, C) uint8 as float32, blurred by a Gaussian of sigma px, borders replicated; sigma 0: not blurred."""
    image = image.astype(np.float32)
    if sigma == 0:
        return image
    width = 2 * int(np.ceil(BLUR_CUT * sigma)) + 1
    blurred = cv2.GaussianBlur(image, (width, width), sigma, borderType=cv2.BORDER_REPLICATE)
    return blurred.reshape(image.shape)


def sort_edges(image: np.ndarray, buffers: Buffers | None = None) -> SortedEdges:
    """Neighbour pairs of (H, W, C) float32 in 0..255, sorted by colour distance, ties in raster order.

    Distances are rounded down to 2^-22 of their largest possible value. Neighbours that were of equal colour weigh 0.
    The result lies in buffers, where they are given: valid until the next image is sorted with them.
    """
    take = (buffers or Buffers()).take
    height, width, channels = image.shape
    step = np.float32(VALUE_RANGE * np.sqrt(channels) / (2**kernels.KEY_BITS - 2))
    keys = take("keys", (height, width, kernels.DIRECTIONS), np.uint32)
    low, high = np.zeros((2, kernels.DIRECTIONS, 2**kernels.RADIX_BITS), np.uint32)
    kernels.list_keys(image, np.float32(1) / step, keys, low, high)
    edges = (int(low.sum()),)
    entries = take("entries", edges, np.uint64)
    kernels.sort_keys(keys.reshape(-1), low, high, take("spare", edges, np.uint64), entries)
    return SortedEdges(entries, step, (height, width))


def segment(graph: SortedEdges, k: float, min_size: int, buffers: Buffers | None = None) -> Segmentation:
    """Regions for threshold k (grey levels x px), those under min_size px absorbed by a neighbour.

    buffers: where scratch memory is kept; the result does not lie there.
    """
    take = (buffers or Buffers()).take
    height, width = graph.size
    pixels = height * width
    parent = take("parent", (pixels,), np.uint32)
    sizes = take("sizes", (pixels, 2), np.int32)
    limits = sizes.view(np.float32)
    rejected = take("rejected", graph.entries.shape, np.uint32)
    count = kernels.merge_edges(
        graph.entries, width, np.float32(k), graph.step, min_size, parent, sizes, limits, rejected
    )
    labels = np.empty(pixels, np.int32)
    label_sizes = take("label_sizes", (pixels,), np.int32)
    regions = kernels.label_regions(parent, sizes, labels, label_sizes)
    regions = kernels.absorb_small(rejected[:count], width, min_size, labels, label_sizes[:regions])
    labels = labels.reshape(height, width)
    return Segmentation(labels, regions, kernels.neighbour_pairs(labels, regions))
