"""The average precisions of VOC 2007 and of VOC 2010 and later."""

import numpy as np

from detection.evaluation.metrics.metric import Metric, interpolated_ap

# MATLAB's 0:0.1:1 is filled from both ends, so its values are i / 10 but for the fourth, 0.30000000000000004:
# a detector that finds exactly 3 of 10 objects does not reach that point, and one that finds 6 of 10 reaches
# 0.6. np.arange(0, 1.1, 0.1), used by Python ports, has 0.6000000000000001 and 0.7000000000000001 instead.
ELEVEN_POINTS = tuple([i * 0.1 for i in range(6)] + [1 - (10 - i) * 0.1 for i in range(6, 11)])


def eleven_point_ap(precision: np.ndarray, recall: np.ndarray) -> float:
    """VOC 2007: mean over ELEVEN_POINTS t of the best precision at recall >= t, 0 where none reaches t.

    precision, recall: (M,) float64 as from `precision_recall`. Source: devkit 2007, VOCcode/VOCevaldet.m,
    summed in its order. A perfect curve gives 1, where the devkit has 1.0000000000000002.
    """
    return interpolated_ap(precision, recall, ELEVEN_POINTS)


def area_ap(precision: np.ndarray, recall: np.ndarray) -> float:
    """VOC 2010 and later: area under the curve, its precision made monotonically falling from the right.

    precision, recall: (M,) float64 as from `precision_recall`. Source: devkit 2010, VOCcode/VOCap.m.
    """
    steps = np.concatenate([[0.0], recall, [1.0]])
    heights = np.concatenate([[0.0], precision, [0.0]])
    heights = np.maximum.accumulate(heights[::-1])[::-1]
    rises = np.flatnonzero(steps[1:] != steps[:-1]) + 1
    return min(float(np.sum((steps[rises] - steps[rises - 1]) * heights[rises])), 1.0)


VOC07 = Metric("voc07", "VOC 2007 AP (11 points)", eleven_point_ap, ELEVEN_POINTS)
VOC10 = Metric("voc10", "VOC 2010 AP (area)", area_ap, ())
