"""From detections and annotations to average precision, in one pass of matching."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from detection.evaluation.cautions import cautions
from detection.evaluation.matching import IGNORED, TRUE_POSITIVE, ClassObjects, Matches, match
from detection.evaluation.metrics.average_precision import area_ap, eleven_point_ap, precision_recall
from detection.evaluation.metrics.coco import coco_figures
from detection.evaluation.results import ClassEvaluation, Evaluation
from detection.evaluation.settings import Comparison, Difficult, EvaluationSettings, Metric
from detection.types import AnnotatedImage, Detections


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
    Both VOC metrics, counts, curves and best overlaps come of one pass of matching; COCO's own matching, which
    takes pycocotools some 10 times as long, is done for metric coco alone.

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
    coco = None
    if metric == "coco":
        coco = coco_figures(pairs, annotations, len(classes), difficult)
    marked = _count_difficult(annotations, len(classes))
    per_class = tuple(
        _summarise(name, matches, found, int(marked[label]), metric, coco.per_class[label] if coco else None)
        for label, (name, (matches, found)) in enumerate(
            zip(classes, match(pairs, annotations, len(classes), settings), strict=True)
        )
    )
    warnings = cautions(records, annotations, per_class, metric)
    filled = sum(len(one.labels) > 0 for _, one in pairs)
    image_ids = tuple(one.image_id for one in annotations)
    return Evaluation(settings, per_class, image_ids, len(annotations) - filled, warnings, coco)


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


def _count_difficult(annotations: Sequence[AnnotatedImage], class_count: int) -> np.ndarray:
    """(L,) int64: objects of each class that are marked difficult."""
    marked = np.zeros(class_count, np.int64)
    for truth in annotations:
        np.add.at(marked, truth.labels[truth.difficult], 1)
    return marked


def _summarise(
    name: str, matches: Matches, found: ClassObjects, marked: int, metric: Metric, coco_ap: float | None
) -> ClassEvaluation:
    counts = matches.outcomes != IGNORED
    objects = int(found.counts.sum())
    precision, recall = precision_recall(matches.outcomes[counts] == TRUE_POSITIVE, objects)
    ap07, ap10 = (eleven_point_ap(precision, recall), area_ap(precision, recall)) if objects else (None, None)
    return ClassEvaluation(
        name=name,
        ap={"voc07": ap07, "voc10": ap10, "coco": coco_ap}[metric],
        ap07=ap07,
        ap10=ap10,
        objects=objects,
        difficult=marked,
        scores=matches.scores[counts],
        precision=precision,
        recall=recall,
        matches=matches,
        found=found,
    )
