"""What an average precision means: every flag that changes the figure."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from detection.evaluation.metrics import METRICS

Difficult = Literal["ignore", "count", "drop"]
Comparison = Literal[">=", ">"]

# Classes that look alike (Hoiem, Chodpathumwan, Dai, Diagnosing Error in Object Detectors, ECCV 2012, section 2.1).
VOC_SIMILAR = (
    ("aeroplane", "bicycle", "boat", "bus", "car", "motorbike", "train"),
    ("bird", "cat", "cow", "dog", "horse", "person", "sheep"),
    ("chair", "diningtable", "sofa"),
    ("aeroplane", "bird"),
)


@dataclass(frozen=True)
class EvaluationSettings:
    """How detections are matched to objects and summed up. The defaults are the VOC 2007 devkit's.

    Args:
        metric: voc07 is the mean of the best precision at the 11 recalls 0, 0.1 .. 1 (devkit 2007,
            VOCcode/VOCevaldet.m); voc10 the area under the precision-recall curve made monotonic
            (devkit 2010 and later, VOCcode/VOCap.m); coco the mean over the IoU thresholds 0.5, 0.55 .. 0.95 of
            the mean precision at 101 recalls, with COCO's own matching (as pycocotools has it).
        iou_threshold: intersection over union, in (0, 1], that a detection needs with an object to be
            matched to it (0.5 in all VOC challenges). Under metric coco it decides the counts and curves, not AP.
        difficult: objects marked difficult are ignored with the detections matched to them (ignore, as the
            devkit does), count like any other (count), or are taken out before matching, so that detections
            on them are false positives (drop).
        comparison: a match needs IoU >= the threshold (the devkit) or IoU > it (py-faster-rcnn's
            lib/datasets/voc_eval.py and its descendants).
    """

    metric: str = "voc07"
    iou_threshold: float = 0.5
    difficult: Difficult = "ignore"
    comparison: Comparison = ">="

    def __post_init__(self) -> None:
        choices = {"metric": tuple(METRICS), "difficult": get_args(Difficult), "comparison": get_args(Comparison)}
        for key, known in choices.items():
            if getattr(self, key) not in known:
                raise ValueError(f"evaluation {key}: expected one of {', '.join(known)}, got {getattr(self, key)!r}")
        if not 0 < self.iou_threshold <= 1:
            raise ValueError(f"evaluation iou_threshold: expected a number in (0, 1], got {self.iou_threshold!r}")

    def is_match(self, overlaps: np.ndarray) -> np.ndarray:
        """Whether each IoU suffices for a match."""
        return overlaps >= self.iou_threshold if self.comparison == ">=" else overlaps > self.iou_threshold


@dataclass(frozen=True)
class IntervalSettings:
    """Bootstrap over images: how much a figure owes to the images it happened to be measured on.

    Args:
        resamples: Sets of as many test images, drawn with replacement, that AP is computed on; 0: no interval.
        confidence: Share of those figures inside the interval, in (0, 1).
        seed: Seed of the drawing.
    """

    resamples: int = 1000
    confidence: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if self.resamples < 0:
            raise ValueError(f"intervals.resamples: expected a number >= 0, got {self.resamples}")
        if not 0 < self.confidence < 1:
            raise ValueError(f"intervals.confidence: expected a number in (0, 1), got {self.confidence}")
        if self.seed < 0:
            raise ValueError(f"intervals.seed: expected a number >= 0, got {self.seed}")


@dataclass(frozen=True)
class DiagnosisSettings:
    """How kinds of errors are distinguished.

    Args:
        near_iou: IoU, in (0, 1), from which a false positive is attributed to an object and not to the background
            (Hoiem et al., ECCV 2012, section 2.1: 0.1).
        similar: Groups of classes that look alike, by name; a class may be in several, names that the data set
            does not have are ignored (Hoiem et al.: vehicles; animals and person; chair, dining table, sofa;
            aeroplane and bird).
    """

    near_iou: float = 0.1
    similar: tuple[tuple[str, ...], ...] = VOC_SIMILAR

    def __post_init__(self) -> None:
        if not 0 < self.near_iou < 1:
            raise ValueError(f"diagnosis.near_iou: expected a number in (0, 1), got {self.near_iou}")
