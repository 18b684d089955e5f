"""Scale and cells of a window under the rules that the settings name."""

from __future__ import annotations

import numpy as np

from detection.features.settings import FeatureSettings
from detection.geometry import choose_scale, project_to_cells
from detection.geometry.projection import choose_side, project_as_released
from detection.types import FeaturePyramid


def scales_of(boxes: np.ndarray, pyramid: FeaturePyramid, settings: FeatureSettings) -> np.ndarray:
    """(R,) int64: index of the scale that each window (R, 4), image frame, is pooled from."""
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
    settings: FeatureSettings,
) -> np.ndarray:
    """(R, 4) int32 cells of windows; see ``geometry.project_to_cells`` and ``projection.project_as_released``."""
    if settings.projection == "centres":
        return project_to_cells(boxes, scale, stride, offset, size, map_size)
    inset, pixels = settings.projection_inset, settings.box_scaling == "pixels"
    return project_as_released(boxes, scale, stride, offset, size, map_size, inset, pixels)
