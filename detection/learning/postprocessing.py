"""From every class's score and box for every proposal to the detections of an image."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from detection.geometry import clip, iou
from detection.geometry.nms import falling_order, suppress_sorted
from detection.learning.ranges import check_ranges
from detection.types import Detections, RegionScores

# NMS first takes this many boxes for each detection asked for, and while too few survive so many times as many.
_BOXES_PER_DETECTION, _GROWTH = 4, 2

# (proposals (N,), labels (N,)) int64 -> boxes (N, 4) float32 of these pairs.
Refine = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class PostprocessSettings:
    """What becomes of scored proposals.

    Args:
        nms_iou: a box is dropped if its IoU with a better one of its class is above this (R-CNN report,
            section 2.2: learned threshold; rcnn_test.m and spp_test.m: 0.3).
        max_per_class: detections kept an image and class, the best (R-CNN rcnn_test.m: 100).
        min_score: proposals scored below this are dropped before NMS; null keeps all, as mAP wants (R-CNN; the
            released SPP-net spp_test.m: -1.5, its demo: -0.5). SVM margin.
        nms_before_regression: whether proposals are suppressed and the best max_per_class chosen before their boxes are
            refined, and the refined ones suppressed once more. R-CNN (rcnn_test_bbox_regressor.m): false, regression
            comes first; released SPP-net (spp_test.m, spp_test_bbox_regressor.m): true.
    """

    nms_iou: float = 0.3
    max_per_class: int = 100
    min_score: float | None = None
    nms_before_regression: bool = False

    def __post_init__(self) -> None:
        check_ranges("postprocess.", vars(self), {"0 .. 1": ("nms_iou",), ">= 1": ("max_per_class",)})


def postprocess(
    region_scores: RegionScores,
    size: tuple[int, int],
    settings: PostprocessSettings | None = None,
    refine: Refine | None = None,
) -> Detections:
    """Clip to the image, drop empty boxes, suppress per class, keep the best, join all classes.

    size: (height, width) of the image in px. refine: gives the boxes in place of the record's; asked only for pairs of
    proposal and class whose scores are good enough, so that regression need not be computed for the others; the
    result is that of all boxes refined. Scores that are not finite (untrained classes) are dropped.
    Equal scores keep the order of proposals within a class and of classes between them.
    """
    proposals, labels, boxes = _survivors(region_scores, size, settings or PostprocessSettings(), refine)
    scores = region_scores.scores[proposals, labels]
    order = falling_order(scores)
    return Detections(region_scores.image_id, boxes[order], scores[order], labels[order])


def suppressed(
    region_scores: RegionScores, size: tuple[int, int], settings: PostprocessSettings | None = None
) -> RegionScores:
    """The same proposals with the score -inf for the classes that `postprocess` would not keep them for.

    What ``nms_before_regression`` asks for: refined afterwards, they are the only ones left to choose from.
    """
    scores = region_scores.scores
    proposals, labels, _ = _survivors(region_scores, size, settings or PostprocessSettings())
    kept = np.full_like(scores, -np.inf)
    kept[proposals, labels] = scores[proposals, labels]
    return RegionScores(region_scores.image_id, region_scores.boxes, kept)


def _survivors(
    region_scores: RegionScores, size: tuple[int, int], settings: PostprocessSettings, refine: Refine | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(proposals (K,), labels (K,), clipped boxes (K, 4)) that are kept, class by class, best first.

    NMS is greedy, so its result on the best boxes begins its result on all: of all classes the best ones are taken,
    then more of the classes that still lack detections.
    """
    ranked, counts = _ranked(region_scores.scores, settings)
    boxes_of = refine or (lambda proposals, labels: region_scores.boxes[proposals, labels])
    kept = [(np.zeros(0, np.int64), np.zeros((0, 4), np.float32)) for _ in counts]
    looked, stops = np.zeros_like(counts), np.minimum(counts, settings.max_per_class * _BOXES_PER_DETECTION)
    while len(open_classes := np.flatnonzero(looked < stops)):
        parts = [ranked[c, looked[c] : stops[c]] for c in open_classes]
        labels = np.repeat(open_classes, [len(one) for one in parts])
        boxes = clip(boxes_of(np.concatenate(parts), labels), size)
        for c, rows in zip(open_classes, parts, strict=True):
            kept[c] = _suppress(*kept[c], rows, boxes[labels == c], settings)
        looked = stops
        lacking = np.array([len(rows) < settings.max_per_class for rows, _ in kept])
        stops = np.where(lacking, np.minimum(counts, _GROWTH * stops), stops)
    labels = np.repeat(np.arange(len(kept)), [len(rows) for rows, _ in kept])
    empty = np.zeros(0, np.int64), np.zeros((0, 4), np.float32)
    rows, boxes = (np.concatenate(parts) for parts in zip(empty, *kept, strict=True))
    return rows, labels, boxes


def _suppress(
    kept: np.ndarray, kept_boxes: np.ndarray, rows: np.ndarray, boxes: np.ndarray, settings: PostprocessSettings
) -> tuple[np.ndarray, np.ndarray]:
    """NMS goes on with the next proposals (N,) and their clipped boxes (N, 4): survivors survive again."""
    there = _has_area(boxes)
    rows, boxes = np.concatenate([kept, rows[there]]), np.concatenate([kept_boxes, boxes[there]])
    survivors = suppress_sorted(boxes, settings.nms_iou, settings.max_per_class)
    return rows[survivors], boxes[survivors]


def _ranked(scores: np.ndarray, settings: PostprocessSettings) -> tuple[np.ndarray, np.ndarray]:
    """Of scores (R, L): (L, R) proposals by falling score, and how many of a class (L,) count at all."""
    usable = np.isfinite(scores)
    if settings.min_score is not None:
        usable &= scores >= settings.min_score
    falling = falling_order(np.ascontiguousarray(np.where(usable, scores, -np.inf).T.astype(np.float32)))
    return falling, usable.sum(axis=0)


def _has_area(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])


@dataclass(frozen=True)
class NMSOutcome:
    """What `postprocess` did with one proposal for one class.

    outcome: "kept" (a detection), "suppressed" (by a better box), "over max_per_class" (survived, but the image has
    `max_per_class` better ones) or "dropped" (its score is too low or not finite, or its box empty). rank: its place
    among the survivors from 1, or None. by: row of the box that suppressed it, or None; overlap: their IoU.
    """

    outcome: Literal["kept", "suppressed", "over max_per_class", "dropped"]
    rank: int | None = None
    by: int | None = None
    overlap: float = 0.0


def nms_outcome(
    region_scores: RegionScores,
    size: tuple[int, int],
    row: int,
    label: int,
    settings: PostprocessSettings | None = None,
) -> NMSOutcome:
    """Follow proposal `row` of class `label` through `postprocess`, which has the same arguments."""
    settings = settings or PostprocessSettings()
    boxes = clip(region_scores.boxes[:, label], size)
    ranked, counts = _ranked(region_scores.scores[:, [label]], settings)
    rows = ranked[0, : counts[0]]
    rows = rows[_has_area(boxes[rows])]
    if row not in rows:
        return NMSOutcome("dropped")
    place = int(np.flatnonzero(rows == row)[0])
    survivors = suppress_sorted(boxes[rows], settings.nms_iou, len(rows))
    rank = int(np.searchsorted(survivors, place))
    if place in survivors:
        return NMSOutcome("kept" if rank < settings.max_per_class else "over max_per_class", rank + 1)
    # It was tested against the survivors of better scores.
    before = rows[survivors[:rank]]
    overlaps = iou(boxes[row], boxes[before])[0]
    # NMS compares in float32: an IoU at the threshold itself may not lie above it here.
    above = np.flatnonzero(overlaps > settings.nms_iou)
    first = int(above[0]) if len(above) else int(overlaps.argmax())
    return NMSOutcome("suppressed", None, int(before[first]), float(overlaps[first]))
