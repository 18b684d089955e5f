"""From every class's score and box for every proposal to the detections of an image."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from detection.geometry import clip, has_area, iou
from detection.geometry.nms import falling_order, suppress_sorted
from detection.learning.ranges import check_ranges
from detection.learning.scored_regions import Refine
from detection.learning.voting import voted
from detection.types import Detections, RegionScores

# NMS first takes this many boxes for each detection asked for, and while too few survive so many times as many.
_BOXES_PER_DETECTION, _GROWTH = 4, 2


@dataclass(frozen=True)
class PostprocessSettings:
    """How proposals are scored in detection, and what becomes of them.

    Args:
        nms_iou: a box is dropped if its IoU with a better one of its class is above this (R-CNN report,
            section 2.2: learned threshold; rcnn_test.m and spp_test.m: 0.3).
        max_per_class: detections kept an image and class, the best (R-CNN rcnn_test.m: 100).
        min_score: proposals scored below this are dropped before NMS; null keeps all, as mAP wants (R-CNN; the
            released SPP-net spp_test.m: -1.5, its demo: -0.5). SVM margin.
        nms_before_regression: whether proposals are suppressed and the best max_per_class chosen before their boxes are
            refined, and the refined ones suppressed once more. R-CNN (rcnn_test_bbox_regressor.m): false, regression
            comes first; released SPP-net (spp_test.m, spp_test_bbox_regressor.m): true.
        voting_iou: each box that NMS keeps becomes the mean of its class's refined boxes whose IoU with it is this and
            more, weighted by max(0, margin + 1)^2; its margin stays. null: it stays as it is. MR-CNN (arXiv 1505.01749,
            section 5): 0.5, and weights max(0, margin) (its released code: margin + 1.5).
        rounds: how often boxes are scored and refined. 2: refined boxes of a margin above -1 are pooled, scored and
            refined once more for their class, and join the others before NMS (MR-CNN, section 5: 2).
        mirrored: whether the image is looked at with left and right exchanged too; a region's margins, and its refined
            boxes, are the means of both. It costs the maps once more.
    """

    nms_iou: float = 0.3
    max_per_class: int = 100
    min_score: float | None = None
    nms_before_regression: bool = False
    voting_iou: float | None = None
    rounds: int = 1
    mirrored: bool = False

    def __post_init__(self) -> None:
        ranges = {"0 .. 1": ("nms_iou",), ">= 1": ("max_per_class", "rounds"), "> 0 and <= 1": ("voting_iou",)}
        check_ranges("postprocess.", vars(self), ranges)


def postprocess(
    region_scores: RegionScores,
    size: tuple[int, int],
    settings: PostprocessSettings | None = None,
    refine: Refine | None = None,
) -> Detections:
    """Clip to the image, drop empty boxes, suppress per class, keep the best, let the others vote, join all classes.

    size: (height, width) of the image in px. refine: gives the boxes in place of the record's; asked only for pairs of
    proposal and class whose scores are good enough, so that regression need not be computed for the others; the
    result is that of all boxes refined. Scores that are not finite (untrained classes) are dropped.
    Equal scores keep the order of proposals within a class and of classes between them. Voters are all boxes of a
    class, those below `min_score` too.
    """
    settings, boxes_of = settings or PostprocessSettings(), _clipped(region_scores, size, refine)
    proposals, labels, boxes = _survivors(region_scores, boxes_of, settings)
    if settings.voting_iou is not None:
        boxes = voted(boxes, labels, region_scores.scores, boxes_of, settings.voting_iou)
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
    proposals, labels, _ = _survivors(region_scores, _clipped(region_scores, size), settings or PostprocessSettings())
    kept = np.full_like(scores, -np.inf)
    kept[proposals, labels] = scores[proposals, labels]
    return RegionScores(region_scores.image_id, region_scores.boxes, kept)


def _clipped(region_scores: RegionScores, size: tuple[int, int], refine: Refine | None = None) -> Refine:
    """What gives the clipped boxes of pairs of proposal and class."""
    boxes_of = refine or (lambda proposals, labels: region_scores.boxes[proposals, labels])
    return lambda proposals, labels: clip(boxes_of(proposals, labels), size)


def _survivors(
    region_scores: RegionScores, boxes_of: Refine, settings: PostprocessSettings
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(proposals (K,), labels (K,), clipped boxes (K, 4)) that are kept, class by class, best first.

    NMS is greedy, so its result on the best boxes begins its result on all: of all classes the best ones are taken,
    then more of the classes that still lack detections.
    """
    ranked, counts = _ranked(region_scores.scores, settings)
    kept = [(np.zeros(0, np.int64), np.zeros((0, 4), np.float32)) for _ in counts]
    looked, stops = np.zeros_like(counts), np.minimum(counts, settings.max_per_class * _BOXES_PER_DETECTION)
    while len(open_classes := np.flatnonzero(looked < stops)):
        parts = [ranked[c, looked[c] : stops[c]] for c in open_classes]
        labels = np.repeat(open_classes, [len(one) for one in parts])
        boxes = boxes_of(np.concatenate(parts), labels)
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
    there = has_area(boxes)
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


@dataclass(frozen=True)
class NMSOutcome:
    """What `postprocess` did with one proposal for one class.

    outcome: "kept" (a detection), "suppressed" (by a better box), "over max_per_class" (survived, but the image has
    `max_per_class` better ones) or "dropped" (its score is too low or not finite, or its box empty). rank: its place
    among the survivors from 1, or None. by: row of the box that suppressed it, or None; overlap: their IoU. voted: x1,
    y1, x2, y2 of the detection that voting made of a kept one; None: there was none.
    """

    outcome: Literal["kept", "suppressed", "over max_per_class", "dropped"]
    rank: int | None = None
    by: int | None = None
    overlap: float = 0.0
    voted: tuple[float, float, float, float] | None = None


def nms_outcome(
    region_scores: RegionScores,
    size: tuple[int, int],
    row: int,
    label: int,
    settings: PostprocessSettings | None = None,
) -> NMSOutcome:
    """Follow proposal `row` of class `label` through `postprocess`, which has the same arguments."""
    settings = settings or PostprocessSettings()
    boxes_of = _clipped(region_scores, size)
    boxes = boxes_of(np.arange(len(region_scores.boxes)), label)
    ranked, counts = _ranked(region_scores.scores[:, [label]], settings)
    rows = ranked[0, : counts[0]]
    rows = rows[has_area(boxes[rows])]
    if row not in rows:
        return NMSOutcome("dropped")
    place = int(np.flatnonzero(rows == row)[0])
    survivors = suppress_sorted(boxes[rows], settings.nms_iou, len(rows))
    rank = int(np.searchsorted(survivors, place))
    if place in survivors and rank >= settings.max_per_class:
        return NMSOutcome("over max_per_class", rank + 1)
    if place in survivors:
        own = None
        if settings.voting_iou is not None:
            kept = boxes[[row]], np.array([label])
            own = tuple(voted(*kept, region_scores.scores, boxes_of, settings.voting_iou)[0].tolist())
        return NMSOutcome("kept", rank + 1, voted=own)
    # It was tested against the survivors of better scores.
    before = rows[survivors[:rank]]
    overlaps = iou(boxes[row], boxes[before])[0]
    # NMS compares in float32: an IoU at the threshold itself may not lie above it here.
    above = np.flatnonzero(overlaps > settings.nms_iou)
    first = int(above[0]) if len(above) else int(overlaps.argmax())
    return NMSOutcome("suppressed", None, int(before[first]), float(overlaps[first]))
