"""Precision-recall curves and the two VOC averages over them."""

from __future__ import annotations

import numpy as np

# MATLAB's 0:0.1:1 is filled from both ends, so its values are i / 10 but for the fourth, 0.30000000000000004:
# a detector that finds exactly 3 of 10 objects does not reach that point, and one that finds 6 of 10 reaches
# 0.6. np.arange(0, 1.1, 0.1), used by Python ports, has 0.6000000000000001 and 0.7000000000000001 instead.
ELEVEN_POINTS = tuple([i * 0.1 for i in range(6)] + [1 - (10 - i) * 0.1 for i in range(6, 11)])


def precision_recall(true_positive: np.ndarray, objects: int) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall after each detection, by descending score.

    true_positive: (M,) bool, False for a false positive; ignored detections are left out. objects: how many
    there were to find. Returns two (M,) float64 in [0, 1]; the recall is NaN where `objects` is 0.
    """
    found = np.cumsum(true_positive, dtype=np.int64)
    recall = found / objects if objects else np.full(len(found), np.nan)
    return found / np.arange(1, len(found) + 1), recall


def eleven_point_ap(precision: np.ndarray, recall: np.ndarray) -> float:
    """VOC 2007: mean over ELEVEN_POINTS t of the best precision at recall >= t, 0 where none reaches t.

    precision, recall: (M,) float64 as from `precision_recall`. Source: devkit 2007, VOCcode/VOCevaldet.m,
    summed in its order, so that a perfect curve gives its 1.0000000000000002.
    """
    total = 0.0
    for point in ELEVEN_POINTS:
        total += float(precision[recall >= point].max(initial=0.0)) / len(ELEVEN_POINTS)
    return total


def area_ap(precision: np.ndarray, recall: np.ndarray) -> float:
    """VOC 2010 and later: area under the curve, its precision made monotonically falling from the right.

    precision, recall: (M,) float64 as from `precision_recall`. Source: devkit 2010, VOCcode/VOCap.m.
    """
    steps = np.concatenate([[0.0], recall, [1.0]])
    heights = np.concatenate([[0.0], precision, [0.0]])
    heights = np.maximum.accumulate(heights[::-1])[::-1]
    rises = np.flatnonzero(steps[1:] != steps[:-1]) + 1
    return float(np.sum((steps[rises] - steps[rises - 1]) * heights[rises]))
