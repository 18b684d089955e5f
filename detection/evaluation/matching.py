"""Which detection found which object, as the VOC devkit decides it (VOCcode/VOCevaldet.m).

The devkit matches a detection to the object of its image and class with the greatest IoU, whether or not a
higher-scoring detection has that object already. So the match of each detection is a matter of its image alone, and
an object's true positive is the highest-scoring of the detections matched to it: no loop over ranked detections.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from detection.evaluation.settings import EvaluationSettings
from detection.geometry import iou
from detection.types import AnnotatedImage, Detections

FALSE_POSITIVE, TRUE_POSITIVE, DUPLICATE, IGNORED = range(4)


class ReadOnlyArrays:
    """A record whose arrays cannot be written to."""

    def __post_init__(self) -> None:
        for value in vars(self).values():
            if isinstance(value, np.ndarray):
                value.flags.writeable = False


@dataclass(frozen=True)
class Matches(ReadOnlyArrays):
    """The detections of one class over all images, by descending score, and what became of each. N detections.

    images: (N,) int64, position among the annotations. rows: (N,) int64, row in that image's detections.
    boxes: (N, 4) float32, image frame. scores: (N,) float32 falling. objects: (N,) int64, row of the matched object
    in that image's annotation, -1 for none. overlaps: (N,) float64, the greatest IoU with an object of the class,
    matched or not. outcomes: (N,) int8, TRUE_POSITIVE, DUPLICATE (of an object that a higher-scoring detection has: a
    false positive), FALSE_POSITIVE or IGNORED (on a difficult object).
    """

    images: np.ndarray
    rows: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    objects: np.ndarray
    overlaps: np.ndarray
    outcomes: np.ndarray

    @property
    def counts(self) -> np.ndarray:
        """(N,) bool: those that are not ignored."""
        return self.outcomes != IGNORED

    @property
    def hits(self) -> np.ndarray:
        """(M,) bool: of those that count, whether each is a true positive."""
        return self.outcomes[self.counts] == TRUE_POSITIVE


@dataclass(frozen=True)
class ClassObjects(ReadOnlyArrays):
    """The objects of one class over all images, in the order of the annotations. G objects.

    images: (G,) int64, position among the annotations. rows: (G,) int64, row in that image's annotation.
    boxes: (G, 4) float32, image frame. counts: (G,) bool, whether it is to be found: False for a difficult one
    unless the settings count it; dropped ones are not in the list. found: (G,) int64, rank from 0 of its true
    positive in the class's `Matches`, -1 for none. overlaps: (G,) float64, the greatest IoU with a detection of
    the class in its image, whatever that was matched to; nearest: (G,) int64, that detection's rank, -1 for none.
    """

    images: np.ndarray
    rows: np.ndarray
    boxes: np.ndarray
    counts: np.ndarray
    found: np.ndarray
    overlaps: np.ndarray
    nearest: np.ndarray


def match(
    pairs: Sequence[tuple[int, Detections]],
    annotations: Sequence[AnnotatedImage],
    class_count: int,
    settings: EvaluationSettings,
) -> list[tuple[Matches, ClassObjects]]:
    """Match every detection to an object and rank them class by class.

    pairs: (position of the image in `annotations`, its detections), every image at most once. Detections
    of equal score keep the order of `pairs` and of their rows, as lines of equal confidence keep theirs in
    the devkit. Returns one pair a class.
    """
    found, objects = list_boxes(pairs, "scores", "f"), list_boxes([*enumerate(annotations)], "difficult", "?")
    if settings.difficult == "drop":
        objects = Boxes(*(one[~objects.marks] for one in objects))
    to_object, overlaps, to_detection, object_overlaps = _best_pairs(pairs, objects, len(annotations))
    to_object = np.where(settings.is_match(overlaps), to_object, -1)

    ranked = np.lexsort((-found.marks, found.labels))
    bounds = np.searchsorted(found.labels[ranked], np.arange(class_count + 1))
    ranks = np.empty(len(ranked), dtype=np.int64)
    ranks[ranked] = np.arange(len(ranked)) - np.repeat(bounds[:-1], np.diff(bounds))
    # The last place is looked up where nothing is matched.
    nearest, rows = np.append(ranks, -1)[to_detection], np.append(objects.rows, -1)
    counts = ~objects.marks | (settings.difficult == "count")
    first_found = np.full(len(objects.labels) + 1, -1, dtype=np.int64)

    result = []
    for label, (start, stop) in enumerate(pairwise(bounds)):
        of_class = ranked[start:stop]
        outcomes = _outcomes(to_object[of_class], np.append(counts, True))
        first = outcomes == TRUE_POSITIVE
        first_found[to_object[of_class][first]] = np.flatnonzero(first)
        arrays = (found.images, found.rows, found.boxes, found.marks, rows[to_object], overlaps)
        matches = Matches(*(one[of_class] for one in arrays), outcomes)
        own = np.flatnonzero(objects.labels == label)
        arrays = (objects.images, objects.rows, objects.boxes, counts, first_found, object_overlaps, nearest)
        result.append((matches, ClassObjects(*(one[own] for one in arrays))))
    return result


class Boxes(NamedTuple):
    """The boxes of all images one after the other. marks: scores of detections, whether objects are difficult."""

    images: np.ndarray
    rows: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    marks: np.ndarray


def list_boxes(pairs: Sequence[tuple[int, Detections | AnnotatedImage]], mark: str, typecode: str) -> Boxes:
    """The boxes of (position, record) one record after the other. mark, typecode: of the records' marks."""
    counts = [len(one.labels) for _, one in pairs]
    return Boxes(
        images=np.repeat(np.array([image for image, _ in pairs], dtype=np.int64), counts),
        rows=_joined([np.arange(count) for count in counts], "q"),
        boxes=_joined([one.boxes.reshape(-1) for _, one in pairs], "f").reshape(-1, 4),
        labels=_joined([one.labels for _, one in pairs], "q"),
        marks=_joined([getattr(one, mark) for _, one in pairs], typecode),
    )


def _best_pairs(
    pairs: Sequence[tuple[int, Detections]], objects: Boxes, image_count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """For each detection its best object of the same class and the IoU, and for each object its best detection.

    Both as places in the lists of all detections and all objects, the first of equal ones; -1 and IoU 0 for none.
    """
    detections = sum(len(found.labels) for _, found in pairs)
    to_object, overlaps = np.full(detections, -1), np.zeros(detections)
    to_detection, object_overlaps = np.full(len(objects.labels), -1), np.zeros(len(objects.labels))
    limits = np.searchsorted(objects.images, np.arange(image_count + 1))
    stop = 0
    for image, found in pairs:
        start, stop = stop, stop + len(found.labels)
        first, last = limits[image], limits[image + 1]
        if start == stop or first == last:
            continue
        same_class = found.labels[:, None] == objects.labels[None, first:last]
        shared = np.where(same_class, iou(found.boxes, objects.boxes[first:last]), 0)
        for axis, places, values, offset, own in (
            (1, to_object, overlaps, first, slice(start, stop)),
            (0, to_detection, object_overlaps, start, slice(first, last)),
        ):
            values[own] = shared.max(axis)
            places[own] = np.where(values[own] > 0, offset + shared.argmax(axis), -1)
    return to_object, overlaps, to_detection, object_overlaps


def _outcomes(objects: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """What each ranked detection of a class is; objects: places among all, -1 where the IoU does not suffice."""
    matched = np.flatnonzero(objects >= 0)
    outcomes = np.full(len(objects), FALSE_POSITIVE, dtype=np.int8)
    outcomes[matched] = DUPLICATE
    outcomes[matched[np.unique(objects[matched], return_index=True)[1]]] = TRUE_POSITIVE
    outcomes[~counts[objects]] = IGNORED
    return outcomes


def _joined(arrays: list[np.ndarray], typecode: str) -> np.ndarray:
    return np.concatenate([np.empty(0, dtype=typecode), *arrays])
