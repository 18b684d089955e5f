"""What a metric is, and the precision-recall curve that it sums up."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Metric:
    """One meaning of average precision.

    name: in settings and files. title: in headings. average: (precision, recall) as from `precision_recall` -> AP at
    one IoU threshold, in [0, 1]. points: rising recalls, where `average` is the mean over them of the best precision
    at that recall or a greater one; () where it is the area under the curve made monotonic; None where it is anything
    else (the bootstrap then calls it, which takes longer).
    thresholds: IoU thresholds of a metric that is a mean over several. Detections are then matched as COCO does, and
    AP is COCO's mean of the precision at `points` over them. () for the devkit's matching at the settings' threshold.
    """

    name: str
    title: str
    average: Callable[[np.ndarray, np.ndarray], float]
    points: tuple[float, ...] | None = None
    thresholds: tuple[float, ...] = ()


def precision_recall(true_positive: np.ndarray, objects: int) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall after each detection, by descending score.

    true_positive: (M,) bool, False for a false positive; ignored detections are left out. objects: how many
    there were to find. Returns two (M,) float64 in [0, 1]; the recall is NaN where `objects` is 0.
    """
    found = np.cumsum(true_positive, dtype=np.int64)
    recall = found / objects if objects else np.full(len(found), np.nan)
    return found / np.arange(1, len(found) + 1), recall


def interpolated_ap(precision: np.ndarray, recall: np.ndarray, points: tuple[float, ...]) -> float:
    """Mean over `points` t of the best precision at recall >= t, 0 where none reaches t, summed in their order.

    precision, recall: (M,) float64 as from `precision_recall`. Rounding takes no sum above 1.
    """
    total = 0.0
    for point in points:
        total += float(precision[recall >= point].max(initial=0.0)) / len(points)
    return min(total, 1.0)
