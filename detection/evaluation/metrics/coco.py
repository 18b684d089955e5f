"""COCO's average precision, over ten IoU thresholds."""

from functools import partial

import numpy as np

from detection.evaluation.metrics.metric import Metric, interpolated_ap

_RECALLS = tuple(np.linspace(0, 1, 101).tolist())

COCO = Metric(
    name="coco",
    title="COCO AP (IoU 0.5:0.95, 101 points, best 100 an image and class)",
    average=partial(interpolated_ap, points=_RECALLS),
    points=_RECALLS,
    thresholds=tuple(np.linspace(0.5, 0.95, 10).tolist()),
)
