"""From a region in the image to cells of a feature map: image px -> resized px -> cells (paper, appendix A)."""

import numpy as np

from detection.geometry.boxes import area

# The region's area in resized px at which it is seen best (paper, section 4.1): 224 x 224.
TARGET_AREA = 224 * 224


def resize_scale(size: tuple[int, int], short_side: int, max_long_side: int) -> float:
    """Resized px per image px that brings the short side to `short_side`, long side capped.

    size: (height, width) in px. The cap `max_long_side` (px) wins over `short_side`.
    """
    return min(short_side / min(size), max_long_side / max(size))


def choose_scale(boxes: np.ndarray, scales: np.ndarray, target_area: float = TARGET_AREA) -> np.ndarray:
    """For each region, the scale at which its area comes nearest to `target_area`.

    boxes: (R, 4), image frame. scales: (S,) resized px per image px. target_area: px^2 (paper: the scaled
    region's number of pixels is closest to 224^2). Ties go to the first. Returns (R,) int64.
    """
    return np.abs(area(boxes)[:, None] * np.asarray(scales)[None, :] ** 2 - target_area).argmin(axis=1)


def choose_side(
    boxes: np.ndarray, scales: np.ndarray, size: tuple[int, int], target_area: float = TARGET_AREA
) -> np.ndarray:
    """For each region, the scale whose short side is nearest to the one that gives the region `target_area`.

    As `choose_scale`, but compared in length of the image's short side, the wanted one rounded to px (halves up):
    SPP_net, utils/spm_pool/spm_expected_scale.m. size: (height, width) of the image in px. Returns (R,) int64.
    """
    wanted = np.floor(np.sqrt(target_area / area(boxes)) * min(size) + 0.5)
    sides = np.asarray(scales, dtype=np.float64) * min(size)
    # Sides are lengths of px that went through a division and back: ties must not hang on its rounding.
    return np.abs(np.round(sides, 6)[None, :] - wanted[:, None]).argmin(axis=1)


def valid_cells(length: float, stride: int, offset: float, cells: int) -> int:
    """How many of `cells` cells along one axis have their centre inside the image; at least 1.

    length: px of the resized image along the axis, without padding; the centre of cell i is offset + stride * i.
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
    """Cells a region covers: those whose centre lies strictly inside it, or the one nearest its centre.

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


def project_as_released(
    boxes: np.ndarray,
    scale: float,
    stride: int,
    offset: tuple[float, float],
    size: tuple[int, int],
    map_size: tuple[int, int],
    inset: float,
    pixels: bool,
) -> np.ndarray:
    """Cells a region covers by the released code, SPP_net's utils/spm_pool/spm_pool_caffe_mex.cpp.

    Arguments and result as in `project_to_cells`. A region is known by the centres of its first and last px, moved
    inwards by `inset` px of the resized image; its cells are those from the nearest to the former to the nearest to
    the latter, or the one in the middle where they have passed each other. Clamped to the map, cells beyond the image
    included. pixels: scale the numbers of the px, 0 .. n - 1, to 0 .. n' - 1 (spp_features_convX_to_poolX.m), else
    the region's edges.
    """
    boxes = np.asarray(boxes, dtype=np.float64)
    if pixels:
        short = min(size)
        # An image of one px has nothing to stretch.
        factor = (short * scale - 1) / (short - 1) if short > 1 else scale
        first, last = boxes[:, :2] * factor + 0.5, (boxes[:, 2:] - 1) * factor + 0.5
    else:
        first, last = boxes[:, :2] * scale + 0.5, boxes[:, 2:] * scale - 0.5
    centre = np.array([offset[1], offset[0]])
    low = np.floor((first - centre + inset) / stride + 0.5)
    high = np.ceil((last - centre - inset) / stride - 0.5)
    # There cells count from 1, and the middle of passed ones is cut to an integer towards 0.
    middle = np.trunc((low + high + 2) / 2) - 1
    passed = low > high
    limits = np.array([map_size[1], map_size[0]]) - 1
    low = np.clip(np.where(passed, middle, low), 0, limits)
    high = np.clip(np.where(passed, middle, high), 0, limits)
    return np.concatenate([low, high + 1], axis=1).astype(np.int32)
