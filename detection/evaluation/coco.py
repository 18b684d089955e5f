"""COCO's figures, by pycocotools."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CocoFigures:
    """The twelve figures of COCOeval.summarize, fractions in [0, 1]; None where there is nothing to measure.

    ap: mean over IoU 0.5 .. 0.95; ap50, ap75: at one threshold; small (area < 32^2 px), medium, large (>= 96^2): ap
    of objects of that size. recall_1, recall_10, recall_100: greatest recall, mean over the thresholds, with so many
    detections an image and class; recall_small, recall_medium, recall_large: of that size, with 100.
    per_class: ap of each class, in the class list's order.
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
