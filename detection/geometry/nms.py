"""Greedy non-maximum suppression."""

from __future__ import annotations

import numpy as np

from detection.geometry._kernels import greedy_suppression


def nms(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> np.ndarray:
    """Indices of the boxes that survive, highest score first.

    boxes: (N, 4) float32, half-open. scores: (N,) float32, finite. A box is dropped if its IoU with a kept
    one is above `threshold`. Equal scores keep their order. Returns (M,) int64.

    IoU is float32 with the quotient compared to `threshold` in float64, which gives torchvision's
    ``ops.nms`` keep list exactly. Raises ValueError if the lengths differ.
    """
    if len(boxes) != len(scores):
        raise ValueError(f"nms: expected one score a box, got {len(boxes)} boxes and {len(scores)} scores")
    order = np.argsort(-scores, kind="stable")
    corners = np.ascontiguousarray(boxes[order].T, dtype=np.float32)
    kept = greedy_suppression(corners[0], corners[1], corners[2], corners[3], float(threshold))
    return order[kept]
