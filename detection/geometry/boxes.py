"""Arithmetic on half-open boxes x1, y1, x2, y2 in continuous pixels (see ``detection.types``)."""

import numpy as np

# A regressed side may grow at most to exp(MAX_LOG_RATIO) times the region's, so that exp cannot overflow;
# log(1000 / 16) is the bound of torchvision's box coder and far above any ratio IoU > 0.5 training can teach.
MAX_LOG_RATIO = float(np.log(1000 / 16))


def area(boxes: np.ndarray) -> np.ndarray:
    """Areas in px^2: (..., 4) -> (...) float64; 0 for an empty or inverted box."""
    boxes = np.asarray(boxes, dtype=np.float64)
    return np.maximum(boxes[..., 2] - boxes[..., 0], 0) * np.maximum(boxes[..., 3] - boxes[..., 1], 0)


def has_area(boxes: np.ndarray) -> np.ndarray:
    """(...) bool: which of the boxes (..., 4) are neither empty nor inverted."""
    return (boxes[..., 2] > boxes[..., 0]) & (boxes[..., 3] > boxes[..., 1])


def iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union of every pair: (N, 4), (M, 4) -> (N, M) float64 in [0, 1].

    Equals the devkit's inclusive arithmetic (VOCcode/VOCevaldet.m, widths with + 1) bit for bit once its
    1-based inclusive corners have become half-open ones. A pair of empty boxes has IoU 0.
    """
    first, second = np.asarray(first).reshape(-1, 4), np.asarray(second).reshape(-1, 4)
    overlap = overlap_areas(first, second)
    union = area(first)[:, None] + area(second)[None, :] - overlap
    return np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)


def overlap_areas(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Area in px^2 that every pair has in common: (N, 4), (M, 4) -> (N, M) float64."""
    first, second = (np.asarray(one, dtype=np.float64).reshape(-1, 4) for one in (first, second))
    top_left = np.maximum(first[:, None, :2], second[None, :, :2])
    bottom_right = np.minimum(first[:, None, 2:], second[None, :, 2:])
    sides = np.maximum(bottom_right - top_left, 0)
    return sides[..., 0] * sides[..., 1]


def clip(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Boxes (..., 4) cut at the borders of an image of `size` (height, width); same dtype, a new array.

    A box wholly outside becomes an empty one on the border.
    """
    height, width = size
    limits = np.array([width, height, width, height], dtype=boxes.dtype)
    return np.clip(boxes, 0, limits)


def flip(boxes: np.ndarray, width: int) -> np.ndarray:
    """Boxes (..., 4) mirrored left to right in an image `width` px wide; same dtype, a new array."""
    flipped = boxes.copy()
    flipped[..., 0] = width - boxes[..., 2]
    flipped[..., 2] = width - boxes[..., 0]
    return flipped


def _centres_and_sides(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    sides = boxes[..., 2:] - boxes[..., :2]
    return boxes[..., :2] + sides / 2, sides


def encode_offsets(boxes: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """What takes each box to its target: (N, 4), (N, 4) -> (N, 4) float64 (dx, dy, log dw, log dh).

    R-CNN report, appendix C: centre shifts in units of the box's sides and log ratios of the sides. Both
    must have positive area. Raises ValueError where one has not.
    """
    if (area(boxes) <= 0).any() or (area(targets) <= 0).any():
        raise ValueError("encode_offsets: expected boxes and targets of positive area, got an empty box")
    centre, sides = _centres_and_sides(np.asarray(boxes, dtype=np.float64))
    target_centre, target_sides = _centres_and_sides(np.asarray(targets, dtype=np.float64))
    return np.concatenate([(target_centre - centre) / sides, np.log(target_sides / sides)], axis=-1)


def decode_offsets(boxes: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Apply offsets (..., 4) as `encode_offsets` defines them to boxes (..., 4) -> float32, not clipped."""
    offsets = np.asarray(offsets, dtype=np.float64)
    centre, sides = _centres_and_sides(np.asarray(boxes, dtype=np.float64))
    centre = centre + offsets[..., :2] * sides
    sides = sides * np.exp(np.minimum(offsets[..., 2:], MAX_LOG_RATIO))
    return np.concatenate([centre - sides / 2, centre + sides / 2], axis=-1).astype(np.float32)
