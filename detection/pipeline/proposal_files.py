"""Sets of proposals for the images of a data set: of files, as the options say, and of runs; files put into a run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from detection.pipeline.experiment import Experiment
from detection.pipeline.imported_proposals import FORMAT_VERSION, record_file
from detection.pipeline.keys import image_key
from detection.proposals import ProposalSettings, ProposalStore
from detection.proposals.foreign import (
    REMEDIES,
    BoxConvention,
    ProposalFile,
    ProposalFormat,
    check_convention,
    match_proposals,
    read_proposals,
    repair_proposals,
)
from detection.proposals.foreign.proposal_files import Base, End, Order
from detection.storage import fingerprint, write_sealed_json
from detection.storage.run import RunFolder
from detection.types import AnnotatedImage, Proposals


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
    path: str,
    images: Sequence[AnnotatedImage],
    options: ReadingOptions,
    ids: Sequence[str] | None = None,
    numbers: Mapping[str, str] | None = None,
) -> FileProposals:
    """The proposals of a file for `images`. ids: all ids of the split in order, which matching by position needs.
    numbers: see `match_proposals`.

    Raises FileNotFoundError, and ValueError naming the file: see `read_proposals`, `match_proposals`,
    `check_convention`.
    """
    file = read_proposals(path, options.format)
    convention = file.convention.changed(options.order, options.base, options.end)
    known = {one.image_id: one for one in images}
    place = match_proposals(file, list(known) if ids is None else ids, options.by_position, numbers)
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


def import_proposals(experiment: Experiment, files: Sequence[FileProposals]) -> dict[str, Any]:
    """Put the proposals of files into the run and let its settings say so; returns figures.

    Proposals are kept as they are, in the files' order, but for what `repair_proposals` repairs (listed in
    ``experiment.work.problems``; equal proposals stay); images without proposals in the files are listed, and get none.
    Raises ValueError where two files have proposals of one image.
    """
    found = _joined(files)
    settings = replace(
        experiment.settings.proposals, method="imported", imported=fingerprint([one.identity for one in files])
    )
    record = record_file(experiment.run)
    record.unlink(missing_ok=True)
    store = ProposalStore(experiment.run.proposals, settings)
    images, count, missing = experiment.images, 0, 0
    with experiment.work.progress("import", len(images)) as advance:
        for image in images:
            if image.image_id in found:
                count += _keep(image, found[image.image_id], store, experiment)
            else:
                missing += 1
                experiment.work.problems.skip(
                    "no imported proposals", image.image_id, "expected proposals of this image in the files, found none"
                )
            advance()
    facts = {"fingerprint": settings.imported, "files": [one.path for one in files]}
    write_sealed_json(record, {"format_version": FORMAT_VERSION, **facts})
    if experiment.record is not None:
        proposals = {**experiment.record["proposals"], "method": "imported"}
        experiment.run.write_settings({**experiment.record, "proposals": proposals})
    done = len(images) - missing
    return {"images": done, "missing": missing, "proposals_per_image": round(count / max(done, 1), 1)}


def _joined(files: Sequence[FileProposals]) -> Mapping[str, tuple[Any, str]]:
    """Image id -> (boxes, file)."""
    found: dict[str, tuple[Any, str]] = {}
    for file in files:
        for image_id, boxes in file.boxes.items():
            if image_id in found:
                raise ValueError(
                    f"image {image_id!r}: expected proposals in one file, got {found[image_id][1]}, {file.path}"
                )
            found[image_id] = boxes, file.path
    return found


def _keep(image: AnnotatedImage, found: tuple[Any, str], store: ProposalStore, experiment: Experiment) -> int:
    boxes, path = found
    proposals, faults = repair_proposals(boxes, image.size, duplicates=False)
    for fault, rows in faults.items():
        message = f"{len(rows)} of {len(boxes)} proposals of {path} {REMEDIES[fault]}"
        experiment.work.problems.repair(f"proposals {fault}", image.image_id, message)
    store.write(Proposals(image.image_id, image.size, proposals, "imported"), image_key(image))
    return len(proposals)
