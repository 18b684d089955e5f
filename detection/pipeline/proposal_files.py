"""Sets of proposals for the images of a data set: of files, as the options say, and of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from detection.pipeline.keys import image_key
from detection.proposals import ProposalSettings, ProposalStore
from detection.proposals.foreign import (
    BoxConvention,
    ProposalFile,
    ProposalFormat,
    check_convention,
    match_proposals,
    read_proposals,
)
from detection.proposals.foreign.proposal_files import Base, End, Order
from detection.storage import fingerprint
from detection.storage.run import RunFolder
from detection.types import AnnotatedImage


@dataclass(frozen=True)
class ReadingOptions:
    """How files of proposals are read.

    Args:
        format: Format of the file: mat (R-CNN, SPP_net, Fast R-CNN), pkl (Detectron, mmdetection), json, csv, npz.
            None: what its extension says.
        order: Order of the four numbers: xyxy, yxyx (corners), xywh (corner, width, height). None: the format's.
        base: Number of the first pixel, 0 or 1. None: the format's.
        end: Whether the far corner names the last pixel (inclusive) or lies behind it. None: the format's.
        by_position: Match lists to the images of the split by their place, not by image id: for a file without ids.
            The counts must agree.
    """

    format: ProposalFormat | None = None
    order: Order | None = None
    base: Base | None = None
    end: End | None = None
    by_position: bool = False


@dataclass(frozen=True)
class FileProposals:
    """Proposals of a file for the images of a data set.

    boxes: image id -> (R, 4) float64, half-open, image frame, as the file has them: not clipped, faults left in.
    missing: ids of the images that the file has not. doubt: why the convention may be wrong, or None. identity: what
    decides `boxes`.
    """

    path: str
    convention: BoxConvention
    boxes: Mapping[str, np.ndarray]
    missing: tuple[str, ...]
    doubt: str | None
    identity: str


def read_file(
    path: str, images: Sequence[AnnotatedImage], options: ReadingOptions, ids: Sequence[str] | None = None
) -> FileProposals:
    """The proposals of a file for `images`. ids: all ids of the split in order, which matching by position needs.

    Raises FileNotFoundError, and ValueError naming the file: see `read_proposals`, `match_proposals`,
    `check_convention`.
    """
    file = read_proposals(path, options.format)
    convention = file.convention.changed(options.order, options.base, options.end)
    known = {one.image_id: one for one in images}
    place = match_proposals(file, list(known) if ids is None else ids, options.by_position)
    place = {one: index for one, index in place.items() if one in known}
    sizes = [known[one].size for one in place]
    doubt = check_convention(file.path, convention, [file.boxes[index] for index in place.values()], sizes)
    boxes = {one: convention.to_half_open(file.boxes[index]) for one, index in place.items()}
    missing = tuple(one for one in known if one not in place)
    return FileProposals(file.path, convention, boxes, missing, doubt, _identity(file, convention, place))


def _identity(file: ProposalFile, convention: BoxConvention, place: Mapping[str, int]) -> str:
    return fingerprint(convention, [[one, file.boxes[index]] for one, index in place.items()])


def run_proposals(
    run: RunFolder, settings: ProposalSettings, images: Sequence[AnnotatedImage]
) -> tuple[dict[str, np.ndarray], list[str]]:
    """(image id -> (R, 4) float32 of the images that have proposals in a run, ids of those that have not)."""
    store = ProposalStore(run.proposals, settings)
    found = {one.image_id: store.read(one.image_id, image_key(one)) for one in images}
    missing = [one for one, proposals in found.items() if proposals is None]
    return {one: proposals.boxes for one, proposals in found.items() if proposals is not None}, missing
