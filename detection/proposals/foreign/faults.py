"""Faults of proposals: what each is, which rows have it, and its remedy."""

import numpy as np

from detection.geometry import clip

# In the order in which they are repaired. A row may have several, but one that is not finite has no other.
FAULTS = ("not finite", "swapped", "outside", "empty", "duplicate")
# What repairing does to a row.
REMEDIES = {**dict.fromkeys(FAULTS, "dropped"), "swapped": "swapped", "outside": "clipped"}
# A proposal may reach so many px over the border before it counts as outside: a rounding, not a mistake.
OUTSIDE_TOLERANCE = 0.01


def faulty_rows(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(R,) bool: rows of half-open (R, 4) that are not finite, outside (height, width), or of no positive sides."""
    limits = np.array([size[1], size[0]], dtype=np.float64) + OUTSIDE_TOLERANCE
    with np.errstate(invalid="ignore"):
        good = (boxes[:, :2] >= -OUTSIDE_TOLERANCE) & (boxes[:, 2:] <= limits) & (boxes[:, 2:] > boxes[:, :2])
    return ~good.all(axis=1)


def find_faults(boxes: np.ndarray, size: tuple[int, int]) -> dict[str, np.ndarray]:
    """Fault -> int64 rows of half-open (R, 4) that have it, rising; faults without a row are left out.

    not finite: a NaN or infinite number. swapped: x1 > x2 or y1 > y2. outside: more than 0.01 px beyond the image of
    (height, width). empty: no area left inside the image, after swapping and clipping. duplicate: equal to an
    earlier row, after all that.
    """
    return _repair(np.asarray(boxes, dtype=np.float64).reshape(-1, 4), size)[1]


def repair_proposals(
    boxes: np.ndarray, size: tuple[int, int], duplicates: bool = True
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """(proposals (R', 4) float32 that a ``Proposals`` record takes, faults as `find_faults` tells them).

    Swapped corners are put in order, proposals outside are clipped, those that are not finite or have no area in
    float32 are dropped, and so are later ones of equal proposals unless `duplicates` is False. The order stays.
    """
    repaired, faults = _repair(np.asarray(boxes, dtype=np.float64).reshape(-1, 4), size)
    if not duplicates:
        faults.pop("duplicate", None)
    dropped = [rows for fault, rows in faults.items() if REMEDIES[fault] == "dropped"]
    return np.delete(repaired, np.concatenate([np.zeros(0, np.int64), *dropped]), axis=0), faults


def _repair(boxes: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """(all rows swapped and clipped, float32; faults)."""
    finite = np.isfinite(boxes).all(axis=1)
    boxes = np.where(finite[:, None], boxes, 0.0)
    low, high = np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])
    swapped = (boxes[:, :2] > boxes[:, 2:]).any(axis=1)
    limits = np.array([size[1], size[0]], dtype=np.float64) + OUTSIDE_TOLERANCE
    outside = finite & ((low < -OUTSIDE_TOLERANCE).any(axis=1) | (high > limits).any(axis=1))
    repaired = clip(np.concatenate([low, high], axis=1), size).astype(np.float32)
    empty = finite & ~(repaired[:, 2:] > repaired[:, :2]).all(axis=1)
    flags = (~finite, swapped, outside, empty, _repeated(repaired, finite & ~empty))
    rows = {fault: np.flatnonzero(flag) for fault, flag in zip(FAULTS, flags, strict=True)}
    return repaired, {fault: found for fault, found in rows.items() if len(found)}


def _repeated(boxes: np.ndarray, among: np.ndarray) -> np.ndarray:
    """(R,) bool: rows of `among` that equal an earlier one of them."""
    repeated, rows = np.zeros(len(boxes), dtype=bool), np.flatnonzero(among)
    # + 0.0 makes -0.0 and 0.0 the same bytes.
    _, first = np.unique(boxes[rows] + np.float32(0), axis=0, return_index=True)
    repeated[np.delete(rows, first)] = True
    return repeated
