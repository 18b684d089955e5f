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


@njit(cache=True, nogil=True, error_model="numpy")
def weighted_means(boxes, labels, voters, voter_labels, weights, threshold):
    """Of each box (K, 4) the mean of the voters (N, 4) of its label whose IoU with it is `threshold` and more.

    weights: (N,) float64, not negative. All float64, labels int64. A box whose voters weigh nothing stays as it is.
    """
    means = boxes.copy()
    sums = np.empty(4)
    for k in range(len(boxes)):
        box, total = boxes[k], 0.0
        area = (box[2] - box[0]) * (box[3] - box[1])
        sums[:] = 0
        for n in range(len(voters)):
            if voter_labels[n] != labels[k]:
                continue
            voter = voters[n]
            width = min(box[2], voter[2]) - max(box[0], voter[0])
            height = min(box[3], voter[3]) - max(box[1], voter[1])
            if width <= 0 or height <= 0:
                continue
            overlap = width * height
            if overlap / (area + (voter[2] - voter[0]) * (voter[3] - voter[1]) - overlap) >= threshold:
                total += weights[n]
                for side in range(4):
                    sums[side] += weights[n] * voter[side]
        if total > 0:
            means[k] = sums / total
    return means
