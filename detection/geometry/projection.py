"""From a window in the image to cells of a feature map: image px -> resized px -> cells (paper, appendix A)."""

from __future__ import annotations

import numpy as np

# The window's area in resized px at which it is seen best (paper, section 4.1): 224 x 224.
TARGET_AREA = 224 * 224


def resize_scale(size: tuple[int, int], short_side: int, max_long_side: int) -> float:
    """Resized px per image px that brings the short side to `short_side`, long side capped.

    size: (height, width) in px. The cap `max_long_side` (px) wins over `short_side`.
    """
    return min(short_side / min(size), max_long_side / max(size))


def choose_scale(boxes: np.ndarray, scales: np.ndarray, target_area: float = TARGET_AREA) -> np.ndarray:
    """For each window, the scale at which its area comes nearest to `target_area`.

    boxes: (R, 4), image frame. scales: (S,) resized px per image px. target_area: px^2 (paper: the scaled
    window's number of pixels is closest to 224^2). Ties go to the first. Returns (R,) int64.
    """
    boxes = np.asarray(boxes, dtype=np.float64)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return np.abs(areas[:, None] * np.asarray(scales)[None, :] ** 2 - target_area).argmin(axis=1)


def valid_cells(length: float, stride: int, offset: float, cells: int) -> int:
    """How many of `cells` cells along one axis have their centre inside the image; at least 1.

    length: px of the resized image along the axis, without padding; the centre of cell i is
    offset + stride * i.
    """
    return int(np.clip(np.ceil((length - offset) / stride), 1, cells))


def _project_axis(low, high, stride, offset, cells):
    first = np.floor((low - offset) / stride) + 1
    last = np.ceil((high - offset) / stride) - 1
    first, last = np.maximum(first, 0), np.minimum(last, cells - 1)
    nearest = np.clip(np.floor(((low + high) / 2 - offset) / stride + 0.5), 0, cells - 1)
    empty = first > last
    return np.where(empty, nearest, first), np.where(empty, nearest, last) + 1


def project_to_cells(
    boxes: np.ndarray,
    scale: float,
    stride: int,
    offset: tuple[float, float],
    size: tuple[int, int],
    map_size: tuple[int, int],
) -> np.ndarray:
    """Cells a window covers: those whose centre lies strictly inside it, or the one nearest its centre.

    boxes: (R, 4), image frame. scale: resized px per image px. stride, offset (y, x): geometry of the map
    in resized px. size: image (height, width) in px; cells whose centre is outside the image (they see
    padding only) are never used. map_size: (rows, columns). Returns (R, 4) int32 x1, y1, x2, y2 half-open,
    inside the map, at least one cell each.
    """
    boxes = np.asarray(boxes, dtype=np.float64) * scale
    rows = valid_cells(size[0] * scale, stride, offset[0], map_size[0])
    columns = valid_cells(size[1] * scale, stride, offset[1], map_size[1])
    x1, x2 = _project_axis(boxes[:, 0], boxes[:, 2], stride, offset[1], columns)
    y1, y2 = _project_axis(boxes[:, 1], boxes[:, 3], stride, offset[0], rows)
    return np.stack([x1, y1, x2, y2], axis=1).astype(np.int32)
