"""Graph-based segmentation (Felzenszwalb and Huttenlocher, IJCV 2004)."""

from dataclasses import dataclass

import cv2
import numpy as np

from detection.proposals import _segmentation_kernels as kernels

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


def sort_edges(image: np.ndarray) -> SortedEdges:
    """Neighbour pairs of (H, W, C) float32 in 0..255, sorted by colour distance, ties in raster order.

    Distances are rounded down to 2^-22 of their largest possible value. Neighbours that were of equal colour weigh 0.
    """
    height, width, channels = image.shape
    step = np.float32(VALUE_RANGE * np.sqrt(channels) / (2**kernels.KEY_BITS - 2))
    entries = np.empty(height * width * kernels.DIRECTIONS, np.uint64)
    count = kernels.list_edges(image, np.float32(1) / step, entries)
    entries = entries[:count]
    kernels.sort_entries(entries, np.empty_like(entries))
    return SortedEdges(entries, step, (height, width))


def segment(graph: SortedEdges, k: float, min_size: int) -> Segmentation:
    """Regions for threshold k (grey levels x px), those under min_size px absorbed by a neighbour."""
    height, width = graph.size
    parent = np.empty(height * width, np.uint32)
    kernels.merge_regions(graph.entries, width, np.float32(k), graph.step, min_size, parent)
    labels = np.empty((height, width), np.int32)
    count = kernels.label_regions(parent, labels.reshape(-1))
    codes = np.empty(labels.size * kernels.DIRECTIONS, np.int64)
    codes = np.unique(codes[: kernels.list_borders(labels, codes)])
    pairs = np.stack([codes >> 32, codes & 0xFFFFFFFF], axis=1).astype(np.int32)
    return Segmentation(labels, count, pairs)
