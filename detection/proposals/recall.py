"""How well proposals cover objects: recall at overlaps, and mean average best overlap (IJCV 2013, section 5)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from detection.geometry import iou


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
    best = best_overlaps(proposals, objects)
    if len(best) == 0:
        return np.full(len(thresholds), np.nan)
    return (best[None, :] >= np.asarray(thresholds, dtype=np.float64)[:, None]).mean(axis=1)


def mean_average_best_overlap(
    proposals: Sequence[np.ndarray], objects: Sequence[np.ndarray], labels: Sequence[np.ndarray]
) -> float:
    """MABO: best overlaps averaged within each class, then over the classes; NaN without objects.

    labels: one (G,) int64 an image, the classes of its objects.
    """
    best = best_overlaps(proposals, objects)
    classes = np.concatenate([np.asarray(one) for one in labels]) if len(labels) else np.zeros(0, np.int64)
    if len(classes) != len(best):
        raise ValueError(f"mean_average_best_overlap: expected a label an object, got {len(classes)} for {len(best)}")
    if len(best) == 0:
        return float("nan")
    return float(np.mean([best[classes == c].mean() for c in np.unique(classes)]))
