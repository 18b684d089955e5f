"""Figures of a set of proposals: how many there are, and how well they cover the objects (IJCV 2013, section 5)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detection.geometry import area, iou

# Thresholds of recall and of average recall, its mean over them (COCO's ten).
IOU_THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
# The points of the curves: IoU, and the first so many proposals of each image.
CURVE_IOUS = tuple(round(0.5 + 0.01 * step, 2) for step in range(51))
CURVE_COUNTS = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)
# COCO's sizes, by the area in px^2 of the box: up to here small, up to here medium, larger ones large.
SIZE_LIMITS = (32.0**2, 96.0**2)
SIZE_NAMES = ("small", "medium", "large")


@dataclass(frozen=True)
class Coverage:
    """How well proposals cover some objects: their number, recall at IoU_THRESHOLDS, its mean, mean best overlap.

    NaN where there are no objects.
    """

    objects: int
    recall: tuple[float, ...]
    average_recall: float
    mean_best_overlap: float


@dataclass(frozen=True)
class ProposalQuality:
    """Figures of one set of proposals.

    counts: proposals of each image. all: coverage of all objects. by_class: class name -> coverage, of the classes that
    have objects. by_size: of SIZE_NAMES. mabo: mean over the classes of the mean best overlap (IJCV 2013, section 5).
    by_count: for each of CURVE_COUNTS, coverage by the first so many proposals of each image. iou_curve: recall at
    CURVE_IOUS.
    """

    counts: tuple[int, ...]
    all: Coverage
    by_class: dict[str, Coverage]
    by_size: dict[str, Coverage]
    mabo: float
    by_count: tuple[Coverage, ...]
    mabo_by_count: tuple[float, ...]
    iou_curve: tuple[float, ...]


def best_overlaps(proposals: Sequence[np.ndarray], objects: Sequence[np.ndarray]) -> np.ndarray:
    """Largest IoU of every object with the proposals of its image: (sum of G,) float64, image after image.

    proposals: one (R, 4) an image; objects: one (G, 4) an image. An object of an image without proposals has 0. Raises
    ValueError if the two have different lengths.
    """
    if len(proposals) != len(objects):
        raise ValueError(
            f"best_overlaps: expected proposals and objects of the same images, got {len(proposals)} and {len(objects)}"
        )
    best = [iou(found, proposals).max(axis=1, initial=0.0) for proposals, found in zip(proposals, objects, strict=True)]
    return np.concatenate(best) if best else np.zeros(0)


def recall_at(
    proposals: Sequence[np.ndarray], objects: Sequence[np.ndarray], thresholds: Sequence[float]
) -> np.ndarray:
    """Share of objects with a proposal of IoU >= threshold: (T,) float64; NaN without objects."""
    return _recall(best_overlaps(proposals, objects), thresholds)


def _recall(best: np.ndarray, thresholds: Sequence[float]) -> np.ndarray:
    if len(best) == 0:
        return np.full(len(thresholds), np.nan)
    return (best[None, :] >= np.asarray(thresholds, dtype=np.float64)[:, None]).mean(axis=1)


def mean_average_best_overlap(
    proposals: Sequence[np.ndarray], objects: Sequence[np.ndarray], labels: Sequence[np.ndarray]
) -> float:
    """MABO: best overlaps averaged within each class, then over the classes; NaN without objects.

    labels: one (G,) int64 an image, the classes of its objects.
    """
    best, classes = best_overlaps(proposals, objects), np.concatenate([np.zeros(0, np.int64), *labels])
    if len(classes) != len(best):
        raise ValueError(f"mean_average_best_overlap: expected a label an object, got {len(classes)} for {len(best)}")
    return _mabo(best, classes)


def overlaps_by_count(proposals: np.ndarray, objects: np.ndarray, counts: Sequence[int]) -> np.ndarray:
    """Largest IoU of each object with the first n proposals, for every n of `counts`, and with all: (G, N + 1)."""
    found = iou(objects, proposals)
    if found.shape[1] == 0:
        return np.zeros((len(objects), len(counts) + 1))
    so_far = np.maximum.accumulate(found, axis=1)
    last = [min(count, found.shape[1]) - 1 for count in counts]
    return so_far[:, [*last, found.shape[1] - 1]]


def _coverage(best: np.ndarray) -> Coverage:
    recall = tuple(_recall(best, IOU_THRESHOLDS).tolist())
    return Coverage(len(best), recall, float(np.mean(recall)), float(best.mean()) if len(best) else float("nan"))


def _mabo(best: np.ndarray, labels: np.ndarray) -> float:
    if len(best) == 0:
        return float("nan")
    return float(np.mean([best[labels == label].mean() for label in np.unique(labels)]))


def proposal_quality(
    proposals: Sequence[np.ndarray], objects: Sequence[np.ndarray], labels: Sequence[np.ndarray], classes: Sequence[str]
) -> ProposalQuality:
    """Figures of proposals, best first, over images: one (R, 4), one (G, 4) and one (G,) int64 an image.

    classes: names by label. Raises ValueError where the three have different lengths.
    """
    if not len(proposals) == len(objects) == len(labels):
        raise ValueError(
            f"proposal_quality: expected proposals, objects and labels of the same images, got {len(proposals)}, "
            f"{len(objects)} and {len(labels)}"
        )
    tables = [overlaps_by_count(one, found, CURVE_COUNTS) for one, found in zip(proposals, objects, strict=True)]
    table = np.concatenate([np.zeros((0, len(CURVE_COUNTS) + 1)), *tables])
    label = np.concatenate([np.zeros(0, np.int64), *labels])
    size = np.digitize(np.concatenate([np.zeros(0), *map(area, objects)]), SIZE_LIMITS, right=True)
    best = table[:, -1]
    return ProposalQuality(
        counts=tuple(map(len, proposals)),
        all=_coverage(best),
        by_class={classes[one]: _coverage(best[label == one]) for one in np.unique(label)},
        by_size={name: _coverage(best[size == place]) for place, name in enumerate(SIZE_NAMES)},
        mabo=_mabo(best, label),
        by_count=tuple(_coverage(column) for column in table[:, :-1].T),
        mabo_by_count=tuple(_mabo(column, label) for column in table[:, :-1].T),
        iou_curve=tuple(_recall(best, CURVE_IOUS).tolist()),
    )
