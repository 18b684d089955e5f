"""From detections and annotations to average precision, in one pass of matching."""

from collections.abc import Iterable, Sequence

import numpy as np

from detection.evaluation.cautions import cautions
from detection.evaluation.coco_figures import coco_figures
from detection.evaluation.matching import ClassObjects, Matches, match
from detection.evaluation.metrics import METRICS, VOC07, VOC10, Metric
from detection.evaluation.metrics.metric import precision_recall
from detection.evaluation.results import ClassEvaluation, Evaluation
from detection.evaluation.settings import Comparison, Difficult, EvaluationSettings
from detection.types import AnnotatedImage, Detections


def evaluate(
    detections: Iterable[Detections],
    annotations: Iterable[AnnotatedImage],
    classes: Sequence[str],
    metric: str = EvaluationSettings.metric,
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
    Both VOC metrics, counts, curves and best overlaps come of one pass of matching; COCO's own matching is done for a
    metric over several IoU thresholds alone.

    One class differs from the devkit: where every detection of it is ignored, the devkit divides 0 by 0 and
    its AP is NaN; here it is 0.

    Raises ValueError for a repeated image or class, a label outside the class list or a score that is not
    finite, each with the image's id.
    """
    settings = EvaluationSettings(metric, iou_threshold, difficult, comparison)
    chosen, annotations, classes, records = METRICS[metric], list(annotations), tuple(classes), list(detections)
    if len(set(classes)) != len(classes):
        raise ValueError(f"classes: expected each name once, got {list(classes)}")
    _check(annotations, len(classes), "annotations")
    _check(records, len(classes), "detections")
    _check_scores(records)

    positions = {one.image_id: position for position, one in enumerate(annotations)}
    pairs = [(positions[one.image_id], one) for one in records if one.image_id in positions]
    coco = coco_figures(pairs, annotations, len(classes), difficult, chosen) if chosen.thresholds else None
    coco_aps = coco.per_class if coco else [None] * len(classes)
    marked = np.concatenate([np.zeros(0, np.int64), *(one.labels[one.difficult] for one in annotations)])
    difficult_counts = np.bincount(marked, minlength=len(classes)).tolist()
    matched = match(pairs, annotations, len(classes), settings)
    of_classes = zip(classes, matched, difficult_counts, coco_aps, strict=True)
    per_class = tuple(_class_evaluation(*one, chosen) for one in of_classes)
    warnings = cautions(records, annotations, per_class, chosen)
    filled = sum(len(one.labels) > 0 for _, one in pairs)
    return Evaluation(settings, per_class, tuple(positions), len(annotations) - filled, warnings, coco)


def _check(records: Sequence[AnnotatedImage | Detections], class_count: int, what: str) -> None:
    seen: set[str] = set()
    for one in records:
        if one.image_id in seen:
            raise ValueError(f"{what}: expected one record an image, got two of {one.image_id!r}")
        if len(one.labels) and (one.labels.min() < 0 or one.labels.max() >= class_count):
            raise ValueError(
                f"{what} of image {one.image_id!r}: expected labels from 0 to {class_count - 1}, "
                f"got {int(one.labels.min())} to {int(one.labels.max())}"
            )
        seen.add(one.image_id)


def _check_scores(records: Sequence[Detections]) -> None:
    for one in records:
        for row in np.flatnonzero(~np.isfinite(one.scores)):
            raise ValueError(
                f"detections of image {one.image_id!r}: expected finite scores, got {one.scores[row]} in row {row}"
            )


def _class_evaluation(
    name: str, matched: tuple[Matches, ClassObjects], difficult: int, coco_ap: float | None, metric: Metric
) -> ClassEvaluation:
    matches, found = matched
    objects = int(found.counts.sum())
    curve = precision_recall(matches.hits, objects)
    ap07, ap10, own = (one.average(*curve) if objects else None for one in (VOC07, VOC10, metric))
    ap = coco_ap if metric.thresholds else own
    return ClassEvaluation(
        name, ap, ap07, ap10, objects, difficult, matches.scores[matches.counts], *curve, matches, found
    )
