"""What an average precision means: every flag that changes the figure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

Metric = Literal["voc07", "voc10"]
Difficult = Literal["ignore", "count", "drop"]
Comparison = Literal[">=", ">"]


def _check_choice(key: str, value: Any, choices: Any) -> None:
    if value not in get_args(choices):
        raise ValueError(f"evaluation {key}: expected one of {', '.join(get_args(choices))}, got {value!r}")


@dataclass(frozen=True)
class EvaluationSettings:
    """How detections are matched to objects and summed up. The defaults are the VOC 2007 devkit's.

    Args:
        metric: voc07 is the mean of the best precision at the 11 recalls 0, 0.1 .. 1 (devkit 2007,
            VOCcode/VOCevaldet.m); voc10 the area under the precision-recall curve made monotonic
            (devkit 2010 and later, VOCcode/VOCap.m).
        iou_threshold: intersection over union, in (0, 1], that a detection needs with an object to be
            matched to it (0.5 in all VOC challenges).
        difficult: objects marked difficult are ignored with the detections matched to them (ignore, as the
            devkit does), count like any other (count), or are taken out before matching, so that detections
            on them are false positives (drop).
        comparison: a match needs IoU >= the threshold (the devkit) or IoU > it (py-faster-rcnn's
            lib/datasets/voc_eval.py and its descendants).
    """

    metric: Metric = "voc07"
    iou_threshold: float = 0.5
    difficult: Difficult = "ignore"
    comparison: Comparison = ">="

    def __post_init__(self) -> None:
        _check_choice("metric", self.metric, Metric)
        _check_choice("difficult", self.difficult, Difficult)
        _check_choice("comparison", self.comparison, Comparison)
        if not 0 < self.iou_threshold <= 1:
            raise ValueError(f"evaluation iou_threshold: expected a number in (0, 1], got {self.iou_threshold!r}")
