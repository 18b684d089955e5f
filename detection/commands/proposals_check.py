"""Every fault of a set of proposals, and the set without them."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from detection.proposals.foreign import FAULTS, find_faults, repair_proposals
from detection.storage import write_text
from detection.types import AnnotatedImage

NO_PROPOSALS = "no proposals"
_HEADER = ("image_id", "fault", "row", "x1", "y1", "x2", "y2")


@dataclass(frozen=True)
class ProposalFault:
    """One fault: of a proposal (row from 0, half-open box as it stands), or of an image without proposals."""

    image_id: str
    fault: str
    row: int | None = None
    box: tuple[float, ...] = ()

    def __str__(self) -> str:
        at = "" if self.row is None else f", proposal {self.row}: {', '.join(f'{one:g}' for one in self.box)}"
        return f"{self.fault}: {self.image_id}{at}"


def check_proposals(proposals: Mapping[str, np.ndarray], images: Sequence[AnnotatedImage]) -> list[ProposalFault]:
    """All faults of half-open proposals (image id -> (R, 4)), in order; ids without a list have none."""
    faults: list[ProposalFault] = []
    for image in images:
        boxes = proposals.get(image.image_id, np.zeros((0, 4)))
        if len(boxes) == 0:
            faults.append(ProposalFault(image.image_id, NO_PROPOSALS))
        for fault, rows in find_faults(boxes, image.size).items():
            faults += [ProposalFault(image.image_id, fault, int(row), tuple(boxes[row].tolist())) for row in rows]
    return faults


def repaired_proposals(proposals: Mapping[str, np.ndarray], images: Sequence[AnnotatedImage]) -> dict[str, np.ndarray]:
    """The proposals of the images that have some, without faults: swapped, clipped, or dropped. (R, 4) float32."""
    sizes = {one.image_id: one.size for one in images}
    return {one: repair_proposals(boxes, sizes[one])[0] for one, boxes in proposals.items() if one in sizes}


def fault_counts(faults: Sequence[ProposalFault]) -> dict[str, int]:
    """Fault -> how many, every kind."""
    counts = Counter(one.fault for one in faults)
    return {fault: counts[fault] for fault in (*FAULTS, NO_PROPOSALS)}


def write_faults(path: Path | str, faults: Sequence[ProposalFault]) -> None:
    """Write one line a fault as CSV, atomically: image_id, fault, row, x1, y1, x2, y2."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_HEADER)
    writer.writerows([one.image_id, one.fault, "" if one.row is None else one.row, *one.box] for one in faults)
    write_text(path, text.getvalue())
