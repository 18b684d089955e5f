"""From detections and annotations to average precision, in one pass of matching."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from detection.evaluation.average_precision import area_ap, eleven_point_ap, precision_recall
from detection.evaluation.matching import IGNORED, TRUE_POSITIVE, Matches, match
from detection.evaluation.results import ClassEvaluation, Evaluation
from detection.evaluation.settings import Comparison, Difficult, EvaluationSettings, Metric
from detection.types import AnnotatedImage, Detections

_AVERAGES = {"voc07": eleven_point_ap, "voc10": area_ap}
# How many names a warning spells out.
_NAMED = 5


def evaluate(
    detections: Iterable[Detections],
    annotations: Iterable[AnnotatedImage],
    classes: Sequence[str],
    metric: Metric = EvaluationSettings.metric,
    iou_threshold: float = EvaluationSettings.iou_threshold,
    difficult: Difficult = EvaluationSettings.difficult,
    comparison: Comparison = EvaluationSettings.comparison,
) -> Evaluation:
    """Average precision of every class and their mean, as the VOC devkit has it (VOCcode/VOCevaldet.m).

    detections: at most one record an image; an image without one has no detections; records of images that
    are not annotated are left out with a warning. Equal scores rank in the order of the records, then of
    their rows: the devkit's order where its file is written image by image. annotations: one record an
    image. classes: names in the order of the labels. metric, iou_threshold, difficult, comparison: see
    `EvaluationSettings`.

    One class differs from the devkit: where every detection of it is ignored, the devkit divides 0 by 0 and
    its AP is NaN; here it is 0.

    Raises ValueError for a repeated image or class, a label outside the class list or a score that is not
    finite, each with the image's id.
    """
    settings = EvaluationSettings(metric, iou_threshold, difficult, comparison)
    annotations = list(annotations)
    classes = tuple(classes)
    if len(set(classes)) != len(classes):
        raise ValueError(f"classes: expected each name once, got {list(classes)}")
    positions = _positions(annotations, len(classes), "annotations")
    records = list(detections)
    _positions(records, len(classes), "detections")
    _check_scores(records)

    pairs = [(positions[one.image_id], one) for one in records if one.image_id in positions]
    matched = match(pairs, annotations, len(classes), settings)
    objects, marked = _count_objects(annotations, len(classes))
    counting = objects if difficult == "count" else objects - marked
    per_class = tuple(
        _summarise(name, matches, int(counting[i]), int(marked[i]), settings)
        for i, (name, matches) in enumerate(zip(classes, matched, strict=True))
    )
    filled = sum(len(one.labels) > 0 for _, one in pairs)
    strangers = [one for one in records if one.image_id not in positions]
    warnings = _warnings(strangers, per_class, annotations)
    return Evaluation(settings, per_class, len(annotations), len(annotations) - filled, warnings)


def _positions(records: Sequence[AnnotatedImage | Detections], class_count: int, what: str) -> dict[str, int]:
    positions: dict[str, int] = {}
    for position, one in enumerate(records):
        if one.image_id in positions:
            raise ValueError(f"{what}: expected one record an image, got two of {one.image_id!r}")
        if len(one.labels) and (one.labels.min() < 0 or one.labels.max() >= class_count):
            raise ValueError(
                f"{what} of image {one.image_id!r}: expected labels from 0 to {class_count - 1}, "
                f"got {int(one.labels.min())} to {int(one.labels.max())}"
            )
        positions[one.image_id] = position
    return positions


def _check_scores(records: Sequence[Detections]) -> None:
    for one in records:
        if not np.isfinite(one.scores).all():
            row = int(np.flatnonzero(~np.isfinite(one.scores))[0])
            raise ValueError(
                f"detections of image {one.image_id!r}: expected finite scores, got {one.scores[row]} in row {row}"
            )


def _count_objects(annotations: Sequence[AnnotatedImage], class_count: int) -> tuple[np.ndarray, np.ndarray]:
    """Objects of each class, and how many of them are marked difficult: two (L,) int64."""
    objects, marked = np.zeros(class_count, np.int64), np.zeros(class_count, np.int64)
    for truth in annotations:
        np.add.at(objects, truth.labels, 1)
        np.add.at(marked, truth.labels[truth.difficult], 1)
    return objects, marked


def _summarise(name: str, matches: Matches, objects: int, marked: int, settings: EvaluationSettings) -> ClassEvaluation:
    counts = matches.outcomes != IGNORED
    precision, recall = precision_recall(matches.outcomes[counts] == TRUE_POSITIVE, objects)
    ap = _AVERAGES[settings.metric](precision, recall) if objects else None
    return ClassEvaluation(name, ap, objects, marked, matches.scores[counts], precision, recall, matches)


def _warnings(
    strangers: Sequence[Detections], per_class: Sequence[ClassEvaluation], annotations: Sequence[AnnotatedImage]
) -> tuple[str, ...]:
    warnings = []
    if strangers:
        total = sum(len(one.labels) for one in strangers)
        warnings.append(
            f"{len(strangers)} images with {total} detections are not among the {len(annotations)} annotated images "
            f"and were left out: {_some([one.image_id for one in strangers])}"
        )
    empty = [one.name for one in per_class if not one.objects and not one.difficult]
    if empty:
        warnings.append(f"{len(empty)} classes have no objects and are not in the mean: {', '.join(empty)}")
    only_difficult = [one.name for one in per_class if not one.objects and one.difficult]
    if only_difficult:
        warnings.append(
            f"{len(only_difficult)} classes have difficult objects only and are not in the mean: "
            f"{', '.join(only_difficult)}"
        )
    if not any(one.detections for one in per_class):
        warnings.append(f"there is no detection in any of the {len(annotations)} annotated images")
    return tuple(warnings)


def _some(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(map(repr, names[:_NAMED])) + (f" and {more} more" if more > 0 else "")
