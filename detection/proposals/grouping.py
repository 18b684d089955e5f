"""Hierarchical grouping of regions by similarity (IJCV 2013, section 3)."""

import numpy as np

from detection.proposals import _grouping_kernels as kernels
from detection.proposals.regions import Regions


def group_regions(regions: Regions, pairs: np.ndarray, similarity: str, area: int) -> np.ndarray:
    """Boxes of the regions that merging makes, in the order made: (M, 4) int32, half-open.

    The two most similar touching regions merge until one is left, so M = N - 1. similarity names the measures that
    are added: C and T histogram intersection of colour and texture, S and F the size and fill measures, relative to
    the image's area in px. Equal similarities: the pair with the lower region number first.
    """
    count = len(regions.sizes)
    total = 2 * count - 1
    begin = 0 if "C" in similarity else regions.colours
    end = regions.histograms.shape[1] if "T" in similarity else regions.colours
    histograms = np.empty((total, regions.histograms.shape[1]), np.float32)
    sizes, boxes = np.empty(total, np.int32), np.empty((total, 4), np.int32)
    histograms[:count], sizes[:count], boxes[:count] = regions.histograms, regions.sizes, regions.boxes
    made = kernels.group(
        pairs, histograms, begin, end, sizes, boxes, np.float32(area), "S" in similarity, "F" in similarity
    )
    return boxes[count:made]
