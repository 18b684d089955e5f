"""Which proposals belong to which objects."""

import numpy as np

from detection.geometry import iou


def max_overlaps(proposals: np.ndarray, objects: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Each proposal's largest IoU with an instance of each class.

    proposals: (R, 4) and objects: (G, 4), one frame. labels: (G,) in 0 .. num_classes - 1. Returns (R, L)
    float64 in [0, 1]; 0 for a class without an instance. Raises ValueError for a label out of range.
    """
    labels = np.asarray(labels)
    if len(labels) != len(objects):
        raise ValueError(f"max_overlaps: expected one label an object, got {len(labels)} and {len(objects)}")
    if len(labels) and not (labels.min() >= 0 and labels.max() < num_classes):
        raise ValueError(
            f"max_overlaps: expected labels in 0 .. {num_classes - 1}, got {labels.min()} .. {labels.max()}"
        )
    pairs = iou(proposals, objects)
    overlaps = np.zeros((len(proposals), num_classes))
    for one, label in enumerate(labels):
        np.maximum(overlaps[:, label], pairs[:, one], out=overlaps[:, label])
    return overlaps


def negatives_of(overlaps: np.ndarray, negative_iou: float) -> np.ndarray:
    """(R, L) bool: proposals whose IoU with every instance of the class is below `negative_iou`.

    overlaps: (R, L) of `max_overlaps`. Proposals at or above are neither negative nor positive (R-CNN report,
    section 2.3: positives are the ground-truth boxes alone).
    """
    return overlaps < negative_iou


def best_objects(proposals: np.ndarray, objects: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(index (R,) int64, IoU (R,) float64) of the object each proposal overlaps most; the first of equals.

    Without objects every index is -1 and every IoU 0.
    """
    if not len(objects):
        return np.full(len(proposals), -1, np.int64), np.zeros(len(proposals))
    pairs = iou(proposals, objects)
    best = pairs.argmax(axis=1)
    return best, pairs[np.arange(len(proposals)), best]
