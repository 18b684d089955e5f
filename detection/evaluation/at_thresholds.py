"""What is shown at a threshold a class: objects found and missed, false boxes, and what is taken for what."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from detection.evaluation.matching import IGNORED, TRUE_POSITIVE, ReadOnlyArrays
from detection.evaluation.results import Evaluation
from detection.geometry import iou
from detection.learning import Calibration

NOTHING = "nothing"


@dataclass(frozen=True)
class AtThresholds(ReadOnlyArrays):
    """The shown detections of an evaluation. L classes.

    thresholds: (L,) float64, margins; probabilities: (L,) float64, what they stand for; calibrated: (L,) bool, where
    that is not rough. objects, found, false: (L,) int64; false boxes are those that found no object, or one that a
    higher-scoring box had found. images: how many. confusion: (L + 1, L + 1) int64, what an object is (row) and what it
    was found as (column); the last row has boxes on nothing, the last column objects that nothing found.
    """

    classes: tuple[str, ...]
    thresholds: np.ndarray
    probabilities: np.ndarray
    calibrated: np.ndarray
    objects: np.ndarray
    found: np.ndarray
    false: np.ndarray
    images: int
    confusion: np.ndarray

    @property
    def missed(self) -> np.ndarray:
        """(L,) int64: objects that no shown box of their class found."""
        return self.objects - self.found

    @property
    def f1(self) -> np.ndarray:
        """(L,) float64: harmonic mean of precision and recall; NaN for a class without objects and boxes."""
        with np.errstate(invalid="ignore"):
            return 2 * self.found / (self.objects + self.found + self.false)

    @property
    def false_per_image(self) -> float:
        """False boxes an image."""
        return float(self.false.sum()) / max(self.images, 1)

    def line(self) -> str:
        """The whole in a line."""
        return (
            f"found {self.found.sum()} of {self.objects.sum()} objects, missed {self.missed.sum()}, "
            f"{self.false.sum()} false boxes ({self.false_per_image:.2f} an image)"
        )

    @property
    def confused(self) -> list[tuple[int, str, str]]:
        """(how many, what they are, what they were found as) of objects found as another class, the most first."""
        mixed = self.confusion[:-1, :-1] * ~np.eye(len(self.classes), dtype=bool)
        pairs = sorted(zip(*np.nonzero(mixed), strict=True), key=lambda pair: -mixed[pair])
        return [(int(mixed[a, b]), self.classes[a], self.classes[b]) for a, b in pairs]

    def to_json(self) -> dict[str, Any]:
        """Plain data for a JSON file."""
        names = ("threshold", "probability", "calibrated", "objects", "found", "missed", "false")
        columns = (self.thresholds, self.probabilities, self.calibrated)
        columns += (self.objects, self.found, self.missed, self.false)
        rows = zip(*(one.tolist() for one in columns), strict=True)
        return {
            "images": self.images,
            "found": int(self.found.sum()),
            "missed": int(self.missed.sum()),
            "false": int(self.false.sum()),
            "false_per_image": self.false_per_image,
            "per_class": {one: dict(zip(names, row, strict=True)) for one, row in zip(self.classes, rows, strict=True)},
            "confusion": {"classes": [*self.classes, NOTHING], "found_as": self.confusion.tolist()},
        }


def at_thresholds(evaluation: Evaluation, calibration: Calibration) -> AtThresholds:
    """What of an evaluation of margins is shown at the thresholds of a calibration of the same classes.

    An object that no box of its class found may have been found as another class, by a box that found none of its own:
    of these pairs in an image that overlap enough for a match, those that overlap most, each box and object once.
    Difficult objects, and what was ignored with them, are in no figure. Raises ValueError for other classes.
    """
    limits, count = calibration.thresholds, len(evaluation.classes)
    if len(limits) != count:
        raise ValueError(f"thresholds: expected one a class, {count}, got {len(limits)}")
    found, false = np.zeros(count, np.int64), np.zeros(count, np.int64)
    confusion = np.zeros((count + 1, count + 1), np.int64)
    boxes, objects = [], []
    for label, one in enumerate(evaluation.per_class):
        shown = (one.matches.scores >= limits[label]) & (one.matches.outcomes != IGNORED)
        hits = shown & (one.matches.outcomes == TRUE_POSITIVE)
        found[label], false[label] = hits.sum(), (shown & ~hits).sum()
        confusion[label, label] = found[label]
        boxes.append(_listed(one.matches.images, one.matches.boxes, label, shown & ~hits))
        is_found = np.append(hits, False)[one.found.found]
        objects.append(_listed(one.found.images, one.found.boxes, label, one.found.counts & ~is_found))
    _add_confused(confusion, np.concatenate(boxes), np.concatenate(objects), evaluation)
    return AtThresholds(
        classes=evaluation.classes,
        thresholds=limits,
        probabilities=calibration.threshold_probabilities(),
        calibrated=calibration.trained,
        objects=np.array([one.objects for one in evaluation.per_class], np.int64),
        found=found,
        false=false,
        images=evaluation.images,
        confusion=confusion,
    )


def _listed(images: np.ndarray, boxes: np.ndarray, label: int, chosen: np.ndarray) -> np.ndarray:
    """(N, 6) float64: position of the image, label and box of the chosen ones."""
    rows = np.flatnonzero(chosen)
    return np.column_stack([images[rows], np.full(len(rows), label), boxes[rows]])


def _add_confused(confusion: np.ndarray, boxes: np.ndarray, objects: np.ndarray, evaluation: Evaluation) -> None:
    """Count what found nothing of its class, (N, 6) boxes and (M, 6) objects of `_listed`, into the matrix."""
    boxes, objects = boxes[np.argsort(boxes[:, 0], kind="stable")], objects[np.argsort(objects[:, 0], kind="stable")]
    images = np.unique(np.concatenate([boxes[:, 0], objects[:, 0]]))
    ends = [np.searchsorted(one[:, 0], images, side="right") for one in (boxes, objects)]
    starts = [np.searchsorted(one[:, 0], images, side="left") for one in (boxes, objects)]
    for (a, c), (b, d) in zip(zip(*starts, strict=True), zip(*ends, strict=True), strict=True):
        box_labels, object_labels = boxes[a:b, 1].astype(int), objects[c:d, 1].astype(int)
        overlaps = iou(boxes[a:b, 2:].astype(np.float32), objects[c:d, 2:].astype(np.float32))
        # One of the class itself that overlaps enough repeats what a higher-scoring box found, or is matched elsewhere.
        overlaps[(box_labels[:, None] == object_labels) | ~evaluation.settings.is_match(overlaps)] = 0
        while overlaps.size and overlaps.max() > 0:
            row, column = np.unravel_index(overlaps.argmax(), overlaps.shape)
            confusion[object_labels[column], box_labels[row]] += 1
            overlaps[row], overlaps[:, column] = 0, 0
            box_labels[row] = object_labels[column] = -1
        np.add.at(confusion, (-1, box_labels[box_labels >= 0]), 1)
        np.add.at(confusion, (object_labels[object_labels >= 0], -1), 1)
