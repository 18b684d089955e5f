"""Proposals of files put into a run, so that its later stages use them unchanged."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from detection.pipeline.keys import image_key
from detection.pipeline.proposal_files import FileProposals
from detection.pipeline.work import progress
from detection.proposals import ProposalSettings, ProposalStore
from detection.proposals.foreign import REMEDIES, repair_proposals
from detection.storage import fingerprint, read_json, write_json
from detection.storage.run import RunFolder
from detection.types import AnnotatedImage, Proposals

if TYPE_CHECKING:
    from detection.pipeline.inputs import ExperimentInputs

FORMAT_VERSION = 1
# In the folder of proposals: what they were imported from.
_RECORD = "imported.json"


def imported_record(run: RunFolder) -> dict[str, Any] | None:
    """What the proposals of a run were imported from, or None. Keys: fingerprint, files. Raises ValueError."""
    path = run.proposals / _RECORD
    if not path.is_file():
        return None
    record = read_json(path)
    version = record.get("format_version") if isinstance(record, dict) else None
    if version != FORMAT_VERSION:
        raise ValueError(f"{path}: expected format_version {FORMAT_VERSION}, got {version!r}")
    return record


def proposal_settings_in_force(settings: ProposalSettings, run: RunFolder) -> ProposalSettings:
    """The settings, with the fingerprint of the run's imported proposals where the method is ``imported``.

    Raises ValueError where the run has none, and where it has some but the settings would make others in their place.
    """
    record = imported_record(run)
    if settings.method == "imported":
        if record is None:
            raise ValueError(
                f"proposals.method imported: expected imported proposals in {run.proposals}, found none; "
                "run tools/proposals.py import"
            )
        return dataclasses.replace(settings, imported=record["fingerprint"])
    if record is not None:
        raise ValueError(
            f"{run.proposals} holds proposals imported from {', '.join(record['files'])}: expected "
            f"--proposals.method imported, got {settings.method}; for proposals of another method use another --run, "
            "or remove the folder"
        )
    return settings


def import_proposals(inputs: ExperimentInputs, files: Sequence[FileProposals]) -> dict[str, Any]:
    """Put the proposals of files into the run and let its settings say so; returns figures.

    Proposals are kept as they are, in the files' order, but for what `repair_proposals` repairs (listed in
    ``inputs.work.problems``; equal proposals stay); images without proposals in the files are listed, and get none.
    Raises ValueError where two files have proposals of one image.
    """
    found = _joined(files)
    settings = dataclasses.replace(
        inputs.settings.proposals, method="imported", imported=fingerprint([one.identity for one in files])
    )
    record = inputs.run.proposals / _RECORD
    record.unlink(missing_ok=True)
    store = ProposalStore(inputs.run.proposals, settings)
    images, count, missing = inputs.images, 0, 0
    with progress(inputs.work.console, "import", len(images)) as advance:
        for image in images:
            if image.image_id in found:
                count += _keep(image, found[image.image_id], store, inputs)
            else:
                missing += 1
                inputs.work.problems.skip(
                    "no imported proposals", image.image_id, "expected proposals of this image in the files, found none"
                )
            advance()
    facts = {"fingerprint": settings.imported, "files": [one.path for one in files]}
    write_json(record, {"format_version": FORMAT_VERSION, **facts})
    if inputs.record is not None:
        proposals = {**inputs.record["proposals"], "method": "imported"}
        inputs.run.write_settings({**inputs.record, "proposals": proposals})
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


def _keep(image: AnnotatedImage, found: tuple[Any, str], store: ProposalStore, inputs: ExperimentInputs) -> int:
    boxes, path = found
    proposals, faults = repair_proposals(boxes, image.size, duplicates=False)
    for fault, rows in faults.items():
        message = f"{len(rows)} of {len(boxes)} proposals of {path} {REMEDIES[fault]}"
        inputs.work.problems.repair(f"proposals {fault}", image.image_id, message)
    store.write(Proposals(image.image_id, image.size, proposals, "imported"), image_key(image))
    return len(proposals)
