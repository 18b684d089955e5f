"""Tables of the detections that are shown, for spreadsheets."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from detection.storage import csv_text, write_text
from detection.types import Detections

# The files of `write_shown_tables`.
SHOWN_TABLES = ("detections.csv", "counts.csv")
_COLUMNS = ("photo", "class", "probability", "calibrated", "margin", "x1", "y1", "x2", "y2")


def write_shown_tables(
    folder: Path, shown: Sequence[Detections], classes: Sequence[str], calibrated: np.ndarray
) -> None:
    """Write ``detections.csv`` and ``counts.csv`` of the shown detections: a record a photo or frame.

    ``detections.csv``: a line a detection: photo, class, probability, whether that is calibrated, SVM margin, and box
    x1, y1, x2, y2 in px of the photo, half-open. ``counts.csv``: how many there are, a line a photo, a column a class.
    shown: with their probabilities. calibrated: (L,) bool.
    """
    rows, counts = [], []
    for one in shown:
        for label, chance, margin, box in zip(
            one.labels.tolist(), one.probabilities, one.scores, one.boxes.tolist(), strict=True
        ):
            known = "yes" if calibrated[label] else "no"
            rows.append(
                [one.image_id, classes[label], f"{chance:.4f}", known, f"{margin:.4f}", *(f"{x:.2f}" for x in box)]
            )
        counts.append([one.image_id, *np.bincount(one.labels, minlength=len(classes)).tolist()])
    for name, table in zip(SHOWN_TABLES, ([_COLUMNS, *rows], [("photo", *classes), *counts]), strict=True):
        write_text(folder / name, csv_text(table))
