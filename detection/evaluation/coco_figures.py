"""COCO's figures, by pycocotools."""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from detection.evaluation.matching import ReadOnlyArrays
from detection.evaluation.metrics import Metric
from detection.evaluation.settings import Difficult
from detection.types import AnnotatedImage, Detections

# Detections an image and class that COCO's AP looks at.
COCO_MOST = 100
# What pycocotools writes where there is nothing to measure.
_NOTHING = -1


@dataclass(frozen=True)
class CocoMatches(ReadOnlyArrays):
    """COCO's matching of one class, objects of any size. T IoU thresholds, N detections, G objects that count.

    images: (N,) int64, position among the annotations, by descending score. found: (T, N) bool, a true positive.
    ignored: (T, N) bool, matched to an ignored object. objects: (G,) int64, positions of the objects' images.
    """

    images: np.ndarray
    found: np.ndarray
    ignored: np.ndarray
    objects: np.ndarray


@dataclass(frozen=True)
class CocoFigures:
    """The twelve figures of COCOeval.summarize, fractions in [0, 1]; None where there is nothing to measure.

    ap: mean over the IoU thresholds, COCO's own 0.5 .. 0.95; ap50, ap75: at one threshold; small (area < 32^2 px),
    medium, large (>= 96^2): ap of objects of that size. recall_1, recall_10, recall_100: greatest recall, mean over the
    thresholds, with so many detections an image and class; recall_small, recall_medium, recall_large: of that size,
    with 100. per_class: ap of each class, in the class list's order. matches: how COCO matched, class by class.
    """

    ap: float | None
    ap50: float | None
    ap75: float | None
    ap_small: float | None
    ap_medium: float | None
    ap_large: float | None
    recall_1: float | None
    recall_10: float | None
    recall_100: float | None
    recall_small: float | None
    recall_medium: float | None
    recall_large: float | None
    per_class: tuple[float | None, ...]
    matches: tuple[CocoMatches, ...]

    def to_json(self) -> dict[str, float | None]:
        """The twelve figures by name."""
        return {one.name: getattr(self, one.name) for one in fields(self)[:12]}


def coco_figures(
    pairs: Sequence[tuple[int, Detections]],
    annotations: Sequence[AnnotatedImage],
    class_count: int,
    difficult: Difficult,
    metric: Metric,
) -> CocoFigures:
    """Figures of ``pycocotools.cocoeval.COCOeval`` for boxes, at the metric's IoU thresholds and recalls.

    pairs: (position of the image in `annotations`, its detections). difficult: ignored objects are COCO's crowds: a
    detection is ignored if at least the threshold's share of its own area is inside one. Objects are sorted by size as
    their annotations' `areas` say (COCO: of the masks), by their boxes' areas where those are None.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        truth, found = COCO(), COCO()
        truth.dataset = _truth(annotations, class_count, difficult)
        truth.createIndex()
        results = _results(pairs)
        # loadRes needs one detection.
        found.dataset = {**truth.dataset, "annotations": []}
        found.createIndex()
        run = COCOeval(truth, truth.loadRes(results) if results else found, "bbox")
        run.params.iouThrs, run.params.recThrs = np.array(metric.thresholds), np.array(metric.points)
        run.evaluate()
        run.accumulate()
        run.summarize()
    precision = run.eval["precision"][:, :, :, 0, -1]
    return CocoFigures(
        *(None if value == _NOTHING else float(value) for value in run.stats),
        per_class=tuple(_mean(precision[:, :, label]) for label in range(class_count)),
        matches=tuple(_matches(run, label, len(annotations)) for label in range(class_count)),
    )


def _truth(annotations: Sequence[AnnotatedImage], class_count: int, difficult: Difficult) -> dict[str, Any]:
    objects: list[dict[str, Any]] = []
    for position, one in enumerate(annotations):
        sides = one.boxes[:, 2:].astype(np.float64) - one.boxes[:, :2]
        own = sides.prod(axis=1) if one.areas is None else one.areas
        for row, label in enumerate(one.labels.tolist()):
            if one.difficult[row] and difficult == "drop":
                continue
            objects.append(
                {
                    "id": len(objects) + 1,
                    "image_id": position,
                    "category_id": label + 1,
                    "bbox": [*one.boxes[row, :2].tolist(), *sides[row].tolist()],
                    "area": float(own[row]),
                    "iscrowd": int(one.difficult[row] and difficult == "ignore"),
                }
            )
    return {
        "info": {},
        "images": [{"id": position} for position in range(len(annotations))],
        "categories": [{"id": label + 1} for label in range(class_count)],
        "annotations": objects,
    }


def _results(pairs: Sequence[tuple[int, Detections]]) -> list[dict[str, Any]]:
    keys, results = ("image_id", "category_id", "bbox", "score"), []
    for position, found in pairs:
        boxes = found.boxes.astype(np.float64)
        boxes[:, 2:] -= boxes[:, :2]
        rows = zip((found.labels + 1).tolist(), boxes.tolist(), found.scores.tolist(), strict=True)
        results += [dict(zip(keys, (position, *row), strict=True)) for row in rows]
    return results


def _mean(precision: np.ndarray) -> float | None:
    known = precision[precision > _NOTHING]
    return float(known.mean()) if known.size else None


def _matches(run: Any, label: int, image_count: int) -> CocoMatches:
    # One entry an image, class after class and within a class size after size, of which "all" is the first.
    start = label * len(run.params.areaRng) * image_count
    entries = [one for one in run.evalImgs[start : start + image_count] if one is not None]
    images = [np.full(len(one["dtScores"]), one["image_id"]) for one in entries]
    objects = [np.full(int((one["gtIgnore"] == 0).sum()), one["image_id"]) for one in entries]
    none, nothing = np.zeros(0, np.int64), np.zeros((len(run.params.iouThrs), 0))
    order = np.argsort(-np.concatenate([none, *(one["dtScores"] for one in entries)]), kind="stable")
    matched, ignored = (
        np.concatenate([nothing, *(one[name] for one in entries)], axis=1)[:, order] > 0
        for name in ("dtMatches", "dtIgnore")
    )
    images, objects = np.concatenate([none, *images])[order], np.concatenate([none, *objects])
    return CocoMatches(images, matched & ~ignored, ignored, objects)
