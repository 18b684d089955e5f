"""Scale and cells of a region under the rules that the settings name."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from detection.geometry import choose_scale, project_to_cells
from detection.geometry.projection import choose_side, project_as_released
from detection.pooling._input_kernels import unique_cells
from detection.types import FeaturePyramid


class CellRules(Protocol):
    """The settings that say which scale serves a region and which cells it covers: see ``FeatureSettings``."""

    target_area: float
    scale_rule: str
    projection: str
    projection_inset: float
    box_scaling: str


# The regions (N,) int64 that one scale serves, and for every stage their cells (N, 4) int32.
Places = tuple[np.ndarray, list[np.ndarray]]


def scales_of(boxes: np.ndarray, pyramid: FeaturePyramid, settings: CellRules) -> np.ndarray:
    """(R,) int64: index of the scale that each region (R, 4), image frame, is pooled from."""
    if settings.scale_rule == "side":
        return choose_side(boxes, pyramid.scales, pyramid.size, settings.target_area)
    return choose_scale(boxes, pyramid.scales, settings.target_area)


def cells_of(
    boxes: np.ndarray,
    scale: float,
    stride: int,
    offset: tuple[float, float],
    size: tuple[int, int],
    map_size: tuple[int, int],
    settings: CellRules,
) -> np.ndarray:
    """(R, 4) int32 cells of regions; see ``geometry.project_to_cells`` and ``projection.project_as_released``."""
    if settings.projection == "centres":
        return project_to_cells(boxes, scale, stride, offset, size, map_size)
    inset, pixels = settings.projection_inset, settings.box_scaling == "pixels"
    return project_as_released(boxes, scale, stride, offset, size, map_size, inset, pixels)


def distinct_rows(places: Sequence[Places], count: int) -> tuple[int, np.ndarray]:
    """Number the different places of `count` regions: (how many there are, (count,) int64 the number of each region's).

    Regions of one scale that have the same cells in every stage are one; numbers rise with the first region of each.
    """
    first = np.arange(count)
    for regions, stages in places:
        same = np.zeros(len(regions), np.int64)
        for cells in stages:
            keys = np.zeros((len(regions), 4), np.int32)
            keys[:, 0], keys[:, 1] = same, unique_cells(cells)
            same = unique_cells(keys)
        first[regions] = regions[same]
    numbers = np.cumsum(first == np.arange(count)) - 1
    return int(numbers[-1]) + 1 if count else 0, numbers[first]
