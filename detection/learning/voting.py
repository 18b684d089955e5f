"""Box voting: a kept box becomes the mean of its class's boxes around it (MR-CNN, arXiv 1505.01749, section 5)."""

import numpy as np

from detection.geometry._kernels import weighted_means
from detection.learning.scored_regions import CLEAR_NEGATIVE, Refine


def voted(boxes: np.ndarray, labels: np.ndarray, scores: np.ndarray, boxes_of: Refine, least_iou: float) -> np.ndarray:
    """Of each box (K, 4) float32 the weighted mean of its class's boxes whose IoU with it is `least_iou` and more.

    labels: (K,) int64. scores: (R, L) margins of all regions. boxes_of: their refined and clipped boxes; those alone
    are asked for that have a weight, max(0, margin - CLEAR_NEGATIVE) squared. IoU and mean are float64; a box without
    a neighbour of weight stays as it is.
    """
    regions, of = np.nonzero(np.isfinite(scores) & (scores > CLEAR_NEGATIVE))
    weights = (scores[regions, of].astype(np.float64) - CLEAR_NEGATIVE) ** 2
    voters = boxes_of(regions, of).astype(np.float64)
    return weighted_means(boxes.astype(np.float64), labels, voters, of, weights, float(least_iou)).astype(np.float32)
