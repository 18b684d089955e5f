"""Greedy non-maximum suppression."""

import numpy as np

from detection.geometry._kernels import greedy_suppression


def falling_order(scores: np.ndarray) -> np.ndarray:
    """Positions by falling score, equal ones in their order: (..., N) float32, no NaN -> (..., N) int64."""
    return np.argsort(-scores, axis=-1, kind="stable")


def nms(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> np.ndarray:
    """Indices of the boxes that survive, highest score first.

    boxes: (N, 4) float32, half-open. scores: (N,) float32, finite. A box is dropped if its IoU with a kept
    one is above `threshold`. Equal scores keep their order. Returns (M,) int64.

    IoU is float32 with the quotient compared to `threshold` in float64, which gives torchvision's
    ``ops.nms`` keep list exactly. Raises ValueError if the lengths differ.
    """
    if len(boxes) != len(scores):
        raise ValueError(f"nms: expected one score a box, got {len(boxes)} boxes and {len(scores)} scores")
    order = falling_order(np.asarray(scores, np.float32))
    return order[suppress_sorted(boxes[order], threshold)]


def suppress_sorted(boxes: np.ndarray, threshold: float, limit: int | None = None) -> np.ndarray:
    """`nms` of boxes (N, 4) that come by falling score: positions kept, rising. limit: the first so many only."""
    boxes = np.ascontiguousarray(boxes, np.float32)
    return greedy_suppression(boxes, float(threshold), len(boxes) if limit is None else limit)
