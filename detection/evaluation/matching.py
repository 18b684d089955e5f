"""Which detection found which object, as the VOC devkit decides it (VOCcode/VOCevaldet.m).

The devkit matches a detection to the object of its image and class with the greatest IoU, whether or not a
surer detection has that object already. So the match of each detection is a matter of its image alone, and
an object's true positive is the surest of the detections matched to it: no loop over ranked detections.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from detection.evaluation.settings import EvaluationSettings
from detection.geometry import iou
from detection.types import AnnotatedImage, Detections

FALSE_POSITIVE, TRUE_POSITIVE, DUPLICATE, IGNORED = range(4)


@dataclass(frozen=True)
class Matches:
    """The detections of one class over all images, surest first, and what became of each. N detections.

    images: (N,) int64, position among the annotations. rows: (N,) int64, row in that image's detections.
    scores: (N,) float32 falling. objects: (N,) int64, row of the matched object in that image's
    annotation, -1 for none. overlaps: (N,) float64, the greatest IoU with an object of the class, matched or
    not. outcomes: (N,) int8, TRUE_POSITIVE, DUPLICATE (of an object that a surer detection has: a false
    positive), FALSE_POSITIVE or IGNORED (on a difficult object).
    """

    images: np.ndarray
    rows: np.ndarray
    scores: np.ndarray
    objects: np.ndarray
    overlaps: np.ndarray
    outcomes: np.ndarray

    def __post_init__(self) -> None:
        for array in vars(self).values():
            array.flags.writeable = False


def _best_objects(found: Detections, truth: AnnotatedImage, present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The object of the same class with the greatest IoU, the first of equal ones, and that IoU; -1 and 0."""
    objects = np.flatnonzero(present)
    if not len(objects):
        return np.full(len(found.boxes), -1), np.zeros(len(found.boxes))
    same_class = found.labels[:, None] == truth.labels[None, objects]
    overlaps = np.where(same_class, iou(found.boxes, truth.boxes[objects]), 0)
    best = overlaps.argmax(axis=1)
    overlaps = overlaps[np.arange(len(best)), best]
    return np.where(overlaps > 0, objects[best], -1), overlaps


def _outcomes(images, objects, difficult, annotations_offset) -> np.ndarray:
    """What each ranked detection of a class is; `objects` -1 where the IoU does not suffice."""
    matched = objects >= 0
    outcomes = np.full(len(objects), FALSE_POSITIVE, dtype=np.int8)
    outcomes[matched] = DUPLICATE
    identities = annotations_offset[images] + objects
    _, surest = np.unique(identities[matched], return_index=True)
    outcomes[np.flatnonzero(matched)[surest]] = TRUE_POSITIVE
    outcomes[matched & difficult[np.where(matched, identities, 0)]] = IGNORED
    return outcomes


def match(
    pairs: Sequence[tuple[int, Detections]],
    annotations: Sequence[AnnotatedImage],
    class_count: int,
    settings: EvaluationSettings,
) -> list[Matches]:
    """Match every detection to an object and rank them class by class.

    pairs: (position of the image in `annotations`, its detections), every image at most once. Detections
    of equal score keep the order of `pairs` and of their rows, as lines of equal confidence keep theirs in
    the devkit. Returns one `Matches` a class.
    """
    parts = []
    for image, found in pairs:
        truth = annotations[image]
        present = ~truth.difficult if settings.difficult == "drop" else np.ones(len(truth.labels), dtype=bool)
        parts.append((np.full(len(found.labels), image), *_best_objects(found, truth, present)))
    images, objects, overlaps = (_joined([part[i] for part in parts], t) for i, t in enumerate("qqd"))
    rows = _joined([np.arange(len(found.labels)) for _, found in pairs], "q")
    scores = _joined([found.scores for _, found in pairs], "f")
    labels = _joined([found.labels for _, found in pairs], "q")

    enough = overlaps >= settings.iou_threshold if settings.comparison == ">=" else overlaps > settings.iou_threshold
    objects = np.where(enough, objects, -1)
    offset = np.cumsum([0, *(len(truth.labels) for truth in annotations)])
    difficult = _joined([truth.difficult for truth in annotations], "?")
    # A row to look up where nothing is matched, in a set without objects too.
    difficult = np.append(difficult & (settings.difficult == "ignore"), False)

    ranked = np.lexsort((-scores, labels))
    bounds = np.searchsorted(labels[ranked], np.arange(class_count + 1))
    result = []
    for start, stop in pairwise(bounds):
        of_class = ranked[start:stop]
        outcomes = _outcomes(images[of_class], objects[of_class], difficult, offset)
        arrays = (values[of_class] for values in (images, rows, scores, objects, overlaps))
        result.append(Matches(*arrays, outcomes))
    return result


def _joined(arrays: list[np.ndarray], typecode: str) -> np.ndarray:
    return np.concatenate([np.empty(0, dtype=typecode), *arrays]).astype(typecode, copy=False)
