"""Every fault of a set of windows, and the set without them."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from detection.proposals.foreign import FAULTS, find_faults, mend_windows
from detection.storage import write_text
from detection.types import AnnotatedImage

NO_WINDOWS = "no windows"
_HEADER = ("image_id", "fault", "row", "x1", "y1", "x2", "y2")


@dataclass(frozen=True)
class WindowFault:
    """One fault: of a window (its row from 0 and its box, half-open, as it stands), or of an image without windows."""

    image_id: str
    fault: str
    row: int | None = None
    box: tuple[float, ...] = ()

    def __str__(self) -> str:
        at = "" if self.row is None else f", window {self.row}: {', '.join(f'{one:g}' for one in self.box)}"
        return f"{self.fault}: {self.image_id}{at}"


def check_windows(windows: Mapping[str, np.ndarray], images: Sequence[AnnotatedImage]) -> list[WindowFault]:
    """All faults of half-open windows (image id -> (R, 4)), image after image; ids without a list have no windows."""
    faults: list[WindowFault] = []
    for image in images:
        boxes = windows.get(image.image_id, np.zeros((0, 4)))
        if len(boxes) == 0:
            faults.append(WindowFault(image.image_id, NO_WINDOWS))
        for fault, rows in find_faults(boxes, image.size).items():
            faults += [WindowFault(image.image_id, fault, int(row), tuple(boxes[row].tolist())) for row in rows]
    return faults


def mended_windows(windows: Mapping[str, np.ndarray], images: Sequence[AnnotatedImage]) -> dict[str, np.ndarray]:
    """The windows of the images that have some, without faults: swapped, clipped, or dropped. (R, 4) float32."""
    sizes = {one.image_id: one.size for one in images}
    return {one: mend_windows(boxes, sizes[one])[0] for one, boxes in windows.items() if one in sizes}


def fault_counts(faults: Sequence[WindowFault]) -> dict[str, int]:
    """Fault -> how many, every kind."""
    counts = Counter(one.fault for one in faults)
    return {fault: counts[fault] for fault in (*FAULTS, NO_WINDOWS)}


def write_faults(path: Path | str, faults: Sequence[WindowFault]) -> None:
    """Write one line a fault as CSV, atomically: image_id, fault, row, x1, y1, x2, y2."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_HEADER)
    writer.writerows([one.image_id, one.fault, "" if one.row is None else one.row, *one.box] for one in faults)
    write_text(path, text.getvalue())
