"""What may be learned from a photo in which not every object is drawn."""

from collections.abc import Sequence

import numpy as np

from detection.geometry import area, iou, overlap_areas

# Share of a proposal's area in a drawn box from which on it is of that object.
_INSIDE = 0.5
# IoU from which on a proposal is what a drawn or rejected box is.
_SAME = 0.5


def sure_negatives(
    proposals: np.ndarray,
    boxes: np.ndarray,
    labels: np.ndarray,
    rejected: Sequence[tuple[int, Sequence[float]]],
    num_classes: int,
) -> np.ndarray:
    """(R, L) bool: proposals that are wrong for a class by what was drawn and rejected, wherever else objects are.

    proposals: (R, 4); boxes: (G, 4) and labels: (G,) of drawn objects; rejected: (label, box). Wrong for a class are
    proposals at least half of which lies in a drawn box of it: parts of the object, unless they overlap it enough to be
    no negatives at all, which mining sees to; those of IoU 0.5 with a drawn box of another class; and those of IoU 0.5
    with a box that was rejected for the class.
    """
    found = np.zeros((len(proposals), num_classes), bool)
    inside = overlap_areas(proposals, boxes) >= _INSIDE * area(proposals)[:, None]
    same = iou(proposals, boxes) >= _SAME
    for place, label in enumerate(labels.tolist()):
        others = np.arange(num_classes) != label
        found[:, label] |= inside[:, place]
        found[:, others] |= same[:, [place]]
    for label, box in rejected:
        found[:, label] |= iou(proposals, np.array([box]))[:, 0] >= _SAME
    return found
