"""COCO's figures: pycocotools' COCOeval for boxes, bit for bit, on columns of one class after the other.

pycocotools and faster-coco-eval ask for a dictionary a detection, which is some gigabytes where there are millions.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from detection.evaluation._kernels import coco_outcomes
from detection.evaluation.matching import Boxes, ReadOnlyArrays, list_boxes
from detection.evaluation.metrics import Metric
from detection.evaluation.settings import Difficult
from detection.types import AnnotatedImage, Detections

# Detections an image and class that COCO's AP looks at.
COCO_MOST = 100
# COCOeval's Params: most detections an image and class, the last for AP; bounds of the objects' areas in px^2.
_MOST = (1, 10, COCO_MOST)
_AREAS = ((0, 1e5**2), (0, 32**2), (32**2, 96**2), (96**2, 1e5**2))
# What stands where there is nothing to measure.
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
    found, objects = list_boxes(pairs, "scores", "f"), list_boxes([*enumerate(annotations)], "difficult", "?")
    given = [np.full(len(one.labels), np.nan) if one.areas is None else one.areas for one in annotations]
    areas = np.concatenate([np.zeros(0), *given])
    if difficult == "drop":
        objects, areas = Boxes(*(one[~objects.marks] for one in objects)), areas[~objects.marks]
    elif difficult == "count":
        objects = objects._replace(marks=np.zeros_like(objects.marks))
    thresholds, recalls = np.array(metric.thresholds), np.array(metric.points)
    precision = np.full((len(thresholds), len(recalls), class_count, len(_AREAS)), float(_NOTHING))
    recall = np.full((len(thresholds), class_count, len(_AREAS), len(_MOST)), float(_NOTHING))
    matches = []
    for label in range(class_count):
        one = _of_class(found, objects, areas, label)
        for place, area in enumerate(_AREAS):
            outcomes, count = _outcomes(one, area, thresholds)
            if count:
                found_by_rank = [(outcomes[:, one.ranks < most] == 1).sum(axis=1) for most in _MOST]
                recall[:, label, place] = np.stack(found_by_rank, axis=1) / count
                precision[:, :, label, place] = _precision(outcomes[:, one.ranked], count, recalls)
            if not place:
                matches.append(_matches(one, outcomes))
    return _figures(precision, recall, thresholds, matches)


class _OfClass(NamedTuple):
    """One class: at most COCO_MOST detections an image, image after image, and its objects alike.

    ranked: (N,) int64, rows of the detections by descending score over all images. ranks: (N,) int64, in the image.
    images: (N,) int64; boxes: (N, 4) float64 x, y, width, height; starts: (I + 1,) int64, of the images that have some
    of either; object_*: alike, areas in px^2, crowd (G,) bool.
    """

    ranked: np.ndarray
    ranks: np.ndarray
    images: np.ndarray
    boxes: np.ndarray
    starts: np.ndarray
    object_images: np.ndarray
    object_boxes: np.ndarray
    object_areas: np.ndarray
    object_starts: np.ndarray
    crowd: np.ndarray


def _of_class(found: Boxes, objects: Boxes, areas: np.ndarray, label: int) -> _OfClass:
    mine, own = np.flatnonzero(found.labels == label), np.flatnonzero(objects.labels == label)
    mine = mine[np.lexsort((-found.marks[mine], found.images[mine]))]
    ranks = np.arange(len(mine)) - np.searchsorted(found.images[mine], found.images[mine])
    mine, ranks = mine[ranks < COCO_MOST], ranks[ranks < COCO_MOST]
    images, object_images = found.images[mine], objects.images[own]
    used = np.append(np.union1d(images, object_images), np.iinfo(np.int64).max)
    boxes, object_boxes = _with_sides(found.boxes[mine]), _with_sides(objects.boxes[own])
    own_areas = np.where(np.isnan(areas[own]), object_boxes[:, 2] * object_boxes[:, 3], areas[own])
    return _OfClass(
        ranked=np.argsort(-found.marks[mine], kind="stable"),
        ranks=ranks,
        images=images,
        boxes=boxes,
        starts=np.searchsorted(images, used),
        object_images=object_images,
        object_boxes=object_boxes,
        object_areas=own_areas,
        object_starts=np.searchsorted(object_images, used),
        crowd=objects.marks[own],
    )


def _with_sides(boxes: np.ndarray) -> np.ndarray:
    """(N, 4) float32 corners as float64 x, y, width, height."""
    sides = boxes.astype(np.float64)
    sides[:, 2:] -= sides[:, :2]
    return sides


def _outcomes(one: _OfClass, area: tuple[float, float], thresholds: np.ndarray) -> tuple[np.ndarray, int]:
    """((T, N) int8: 0 false, 1 found, 2 ignored; how many objects count) for objects of an area in these bounds."""
    ignored = one.crowd | (one.object_areas < area[0]) | (one.object_areas > area[1])
    first = np.lexsort((ignored, one.object_images))
    outcomes = coco_outcomes(
        one.boxes, one.starts, one.object_boxes[first], one.crowd[first], ignored[first], one.object_starts, thresholds
    )
    own = one.boxes[:, 2] * one.boxes[:, 3]
    outcomes[(outcomes == 0) & ((own < area[0]) | (own > area[1]))] = 2
    return outcomes, int((~ignored).sum())


def _precision(ranked: np.ndarray, count: int, recalls: np.ndarray) -> np.ndarray:
    """(T, P) float64: the best precision at each recall or a greater one, 0 where none is; ranked: (T, N) outcomes."""
    result = np.zeros((len(ranked), len(recalls)))
    for line, outcomes in zip(result, ranked, strict=True):
        hits, misses = (np.cumsum(outcomes == one, dtype=np.float64) for one in (1, 0))
        best = np.maximum.accumulate((hits / (misses + hits + np.spacing(1)))[::-1])[::-1]
        at = np.searchsorted(hits / count, recalls, side="left")
        line[at < len(best)] = best[at[at < len(best)]]
    return result


def _matches(one: _OfClass, outcomes: np.ndarray) -> CocoMatches:
    ranked = outcomes[:, one.ranked]
    return CocoMatches(one.images[one.ranked], ranked == 1, ranked == 2, one.object_images[~one.crowd])


def _figures(
    precision: np.ndarray, recall: np.ndarray, thresholds: np.ndarray, matches: Sequence[CocoMatches]
) -> CocoFigures:
    """As COCOeval.summarize has them. precision: (T, P, L, areas). recall: (T, L, areas, numbers of detections)."""
    at = [np.flatnonzero(thresholds == one) for one in (0.5, 0.75)]
    return CocoFigures(
        _mean(precision[:, :, :, 0]),
        *(_mean(precision[one][:, :, :, 0]) for one in at),
        *(_mean(precision[:, :, :, place]) for place in range(1, len(_AREAS))),
        *(_mean(recall[:, :, 0, last]) for last in range(len(_MOST))),
        *(_mean(recall[:, :, place, -1]) for place in range(1, len(_AREAS))),
        per_class=tuple(_mean(precision[:, :, label, 0]) for label in range(precision.shape[2])),
        matches=tuple(matches),
    )


def _mean(values: np.ndarray) -> float | None:
    known = values[values > _NOTHING]
    return float(known.mean()) if known.size else None
