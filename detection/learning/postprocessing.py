"""From every class's score and box for every window to the detections of an image."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from detection.geometry import clip, iou, nms
from detection.types import Detections, RegionScores

# NMS first looks at this many boxes a detection asked for, and at twice as many while too few survive.
_BOXES_PER_DETECTION = 4


@dataclass(frozen=True)
class PostprocessSettings:
    """What becomes of scored windows.

    Args:
        nms_iou: a box is dropped if its IoU with a better one of its class is above this (R-CNN report,
            section 2.2: learned threshold; rcnn_test.m and spp_test.m: 0.3).
        max_per_class: detections kept an image and class, the best (R-CNN rcnn_test.m: 100).
        min_score: windows scored below this are dropped before NMS; null keeps all, as mAP wants (R-CNN; the
            released SPP-net spp_test.m: -1.5, its demo: -0.5). SVM margin.
        nms_before_regression: whether windows are suppressed and the best max_per_class chosen before their boxes are
            refined, and the refined ones suppressed once more. R-CNN (rcnn_test_bbox_regressor.m): false, regression
            comes first; released SPP-net (spp_test.m, spp_test_bbox_regressor.m): true.
    """

    nms_iou: float = 0.3
    max_per_class: int = 100
    min_score: float | None = None
    nms_before_regression: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.nms_iou <= 1:
            raise ValueError(f"postprocess.nms_iou: expected 0 .. 1, got {self.nms_iou}")
        if self.max_per_class < 1:
            raise ValueError(f"postprocess.max_per_class: expected >= 1, got {self.max_per_class}")


def postprocess(
    region_scores: RegionScores, size: tuple[int, int], settings: PostprocessSettings | None = None
) -> Detections:
    """Clip to the image, drop empty boxes, suppress per class, keep the best, join all classes.

    size: (height, width) of the image in px. Scores that are not finite (untrained classes) are dropped.
    Equal scores keep the order of windows within a class and of classes between them.
    """
    scores, boxes = region_scores.scores, clip(region_scores.boxes, size)
    windows, labels = _survivors(boxes, scores, settings or PostprocessSettings())
    order = np.argsort(-scores[windows, labels], kind="stable")
    windows, labels = windows[order], labels[order]
    return Detections(region_scores.image_id, boxes[windows, labels], scores[windows, labels], labels)


def suppressed(
    region_scores: RegionScores, size: tuple[int, int], settings: PostprocessSettings | None = None
) -> RegionScores:
    """The same windows with the score -inf for the classes that `postprocess` would not keep them for.

    What ``nms_before_regression`` asks for: refined afterwards, they are the only ones left to choose from.
    """
    scores = region_scores.scores
    windows, labels = _survivors(clip(region_scores.boxes, size), scores, settings or PostprocessSettings())
    kept = np.full_like(scores, -np.inf)
    kept[windows, labels] = scores[windows, labels]
    return RegionScores(region_scores.image_id, region_scores.boxes, kept)


def _survivors(boxes: np.ndarray, scores: np.ndarray, settings: PostprocessSettings) -> tuple[np.ndarray, np.ndarray]:
    """(windows (K,), labels (K,)) that are kept, class by class, of clipped boxes (R, L, 4)."""
    usable = _usable(boxes, scores, settings)
    kept = [_best_of_class(boxes[:, c], scores[:, c], usable[:, c], settings) for c in range(scores.shape[1])]
    windows = np.concatenate([*kept, np.zeros(0, np.int64)])
    return windows, np.repeat(np.arange(len(kept)), [len(one) for one in kept])


def _usable(boxes: np.ndarray, scores: np.ndarray, settings: PostprocessSettings) -> np.ndarray:
    """(R, L) bool: which of the clipped boxes (R, L, 4) can become detections."""
    usable = np.isfinite(scores) & (boxes[..., 2] > boxes[..., 0]) & (boxes[..., 3] > boxes[..., 1])
    if settings.min_score is not None:
        usable &= scores >= settings.min_score
    return usable


@dataclass(frozen=True)
class WindowFate:
    """What `postprocess` did with one window for one class.

    outcome: "kept" (a detection), "suppressed" (by a better box), "crowded out" (survived, but the image has
    `max_per_class` better ones) or "dropped" (its score is too low or not finite, or its box empty). rank: its place
    among the survivors from 1, or None. by: row of the box that suppressed it, or None; overlap: their IoU.
    """

    outcome: Literal["kept", "suppressed", "crowded out", "dropped"]
    rank: int | None = None
    by: int | None = None
    overlap: float = 0.0


def fate_of_window(
    region_scores: RegionScores,
    size: tuple[int, int],
    row: int,
    label: int,
    settings: PostprocessSettings | None = None,
) -> WindowFate:
    """Follow window `row` of class `label` through `postprocess`, which has the same arguments."""
    settings = settings or PostprocessSettings()
    boxes = clip(region_scores.boxes, size)
    usable = _usable(boxes, region_scores.scores, settings)
    if not usable[row, label]:
        return WindowFate("dropped")
    everything = replace(settings, max_per_class=len(boxes))
    scores = region_scores.scores[:, label]
    survivors = _best_of_class(boxes[:, label], scores, usable[:, label], everything).tolist()
    if row in survivors:
        rank = survivors.index(row) + 1
        return WindowFate("kept" if rank <= settings.max_per_class else "crowded out", rank)
    # Survivors are sorted by score, ties in the order of rows: those before it are the ones it was tested against.
    before = [one for one in survivors if (-scores[one], one) < (-scores[row], row)]
    overlaps = iou(boxes[row, label], boxes[before, label])[0]
    # NMS compares in float32: an IoU at the threshold itself may not lie above it here.
    above = np.flatnonzero(overlaps > settings.nms_iou)
    first = int(above[0]) if len(above) else int(overlaps.argmax())
    return WindowFate("suppressed", None, before[first], float(overlaps[first]))


def _best_of_class(boxes, scores, usable, settings: PostprocessSettings) -> np.ndarray:
    """Windows (K,) kept for one class, best first.

    NMS is greedy, so its result on the best boxes begins its result on all: few need to be looked at.
    """
    candidates = np.flatnonzero(usable)
    candidates = candidates[np.argsort(-scores[candidates], kind="stable")]
    count = settings.max_per_class * _BOXES_PER_DETECTION
    while True:
        best = candidates[:count]
        kept = best[nms(boxes[best], scores[best], settings.nms_iou)]
        if len(kept) >= settings.max_per_class or count >= len(candidates):
            return kept[: settings.max_per_class]
        count *= 2
