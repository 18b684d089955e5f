"""Compiled kernels of geometry."""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, error_model="numpy")
def greedy_suppression(boxes, threshold, limit):
    """Positions of the first `limit` kept among boxes (N, 4) float32 by falling score; threshold float64."""
    kept = np.empty(min(len(boxes), limit), np.int64)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    total = 0
    for i in range(len(boxes)):
        if total == len(kept):
            break
        suppressed = False
        for k in kept[:total]:
            width = max(min(boxes[i, 2], boxes[k, 2]) - max(boxes[i, 0], boxes[k, 0]), np.float32(0))
            height = max(min(boxes[i, 3], boxes[k, 3]) - max(boxes[i, 1], boxes[k, 1]), np.float32(0))
            overlap = width * height
            if overlap > 0 and overlap / (areas[i] + areas[k] - overlap) > threshold:
                suppressed = True
                break
        if not suppressed:
            kept[total] = i
            total += 1
    return kept[:total]
