"""What tools/proposals.py does beside generating: proposals in, out, checked, measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from detection.commands.proposals_check import check_proposals, fault_counts, repaired_proposals, write_faults
from detection.commands.proposals_report import quality_of, report_table, write_report
from detection.data import split_ids
from detection.pipeline.experiment import Experiment
from detection.pipeline.imported_proposals import import_proposals, proposal_settings_in_force
from detection.pipeline.keys import image_key
from detection.pipeline.proposal_files import FileProposals, ReadingOptions, read_file, run_proposals
from detection.proposals import ProposalSettings, ProposalStore
from detection.proposals.foreign import WrittenFormat, write_proposals
from detection.proposals.foreign.formats import written_convention
from detection.proposals.foreign.proposal_files import Base, End, Order
from detection.storage.run import RunFolder
from detection.types import AnnotatedImage, Proposals

Split = Literal["train", "test", "all"]

# Faults printed, image ids named; all are in the CSV file.
_PRINTED = 20
_NAMED = 5


def images_of(inputs: Experiment, split: Split) -> list[AnnotatedImage]:
    """The images of a split of the data set."""
    return {"train": lambda: inputs.train_images, "test": lambda: inputs.test_images}.get(
        split, lambda: inputs.images
    )()


def ids_of(inputs: Experiment, split: Split) -> list[str]:
    """The image ids of a split in its list's order. Raises ValueError for all: two lists have no common order."""
    if split == "all":
        raise ValueError("by position: expected the training or the test images alone, got both")
    settings = inputs.settings.dataset
    sources = settings.train_sources if split == "train" else settings.test_sources
    return split_ids(sources, inputs.work.problems)


def read_set(inputs: Experiment, split: Split, path: str, options: ReadingOptions) -> FileProposals:
    """The proposals of a file for the images of a split; a doubt about its convention is printed."""
    ids = ids_of(inputs, split) if options.by_position else None
    found = read_file(path, images_of(inputs, split), options, ids)
    if found.doubt is not None:
        inputs.warn(found.doubt)
    return found


def import_files(inputs: Experiment, paths: Mapping[Split, Sequence[str]], options: ReadingOptions) -> None:
    """Put the proposals of files, by split, into the run. Raises ValueError where there is no file."""
    files = [read_set(inputs, split, path, options) for split, some in paths.items() for path in some]
    if not files:
        raise ValueError("--windows: expected at least one file, got none")
    facts = import_proposals(inputs, files)
    for file in files:
        _print(inputs, f"{file.path}: {len(file.boxes)} images, read as {file.convention}")
    _print(
        inputs,
        f"{inputs.run.proposals}: {facts['images']} images, {facts['proposals_per_image']} proposals an image; "
        f"{facts['missing']} images without",
    )


def export_set(
    inputs: Experiment,
    split: Split,
    out: Path,
    file_format: WrittenFormat | None = None,
    order: Order | None = None,
    base: Base | None = None,
    end: End | None = None,
) -> None:
    """Write the run's proposals of a split to one file. Raises ValueError where an image has none yet."""
    images = images_of(inputs, split)
    proposals, missing = run_proposals(inputs.run, inputs.proposal_settings, images)
    if missing:
        raise ValueError(
            f"{inputs.run.proposals}: expected proposals of {len(images)} images, found none of {len(missing)}: "
            f"{', '.join(missing[:_NAMED])}; run tools/proposals.py generate"
        )
    convention = written_convention(out, file_format).changed(order, base, end)
    write_proposals(out, proposals, file_format, convention)
    _print(inputs, f"{out}: {len(proposals)} images, {sum(map(len, proposals.values()))} proposals, {convention}")


def check_set(
    inputs: Experiment,
    split: Split,
    path: str | None,
    options: ReadingOptions,
    fix: bool = False,
    out: str | None = None,
) -> int:
    """Print and list the faults of a file's proposals, or of the run's; the exit status: 1 if there are some."""
    images = images_of(inputs, split)
    if path is None:
        proposals: Mapping[str, np.ndarray] = run_proposals(inputs.run, inputs.proposal_settings, images)[0]
    else:
        proposals = read_set(inputs, split, path, options).boxes
    faults = check_proposals(proposals, images)
    total = sum(map(len, proposals.values()))
    counts = ", ".join(f"{count} {fault}" for fault, count in fault_counts(faults).items())
    _print(inputs, f"{path or inputs.run.proposals}: {len(images)} images, {total} proposals: {counts}")
    listed = inputs.run.path / "windows" / "faults.csv"
    write_faults(listed, faults)
    for one in faults[:_PRINTED]:
        _print(inputs, f"  {one}")
    if len(faults) > _PRINTED:
        _print(inputs, f"  ... all of them: {listed}")
    if fix:
        _fix(inputs, images, proposals, path, out)
    return 1 if faults else 0


def _fix(
    inputs: Experiment,
    images: Sequence[AnnotatedImage],
    proposals: Mapping[str, np.ndarray],
    path: str | None,
    out: str | None,
) -> None:
    repaired = repaired_proposals(proposals, images)
    if path is None and out is None:
        _rewrite(inputs, images, proposals, repaired)
        target = str(inputs.run.proposals)
    else:
        target = out or str(Path(path or inputs.run.proposals).with_suffix(".fixed.npz"))
        write_proposals(target, repaired)
    dropped = sum(map(len, proposals.values())) - sum(map(len, repaired.values()))
    changed = sum(
        len(repaired[one]) != len(boxes) or not np.array_equal(repaired[one], boxes) for one, boxes in proposals.items()
    )
    _print(inputs, f"fixed: {target}: {dropped} proposals dropped, {changed} images changed")


def _rewrite(
    inputs: Experiment,
    images: Sequence[AnnotatedImage],
    proposals: Mapping[str, np.ndarray],
    repaired: Mapping[str, np.ndarray],
) -> None:
    store = ProposalStore(inputs.run.proposals, inputs.proposal_settings)
    for image in images:
        boxes = repaired.get(image.image_id)
        if boxes is not None and len(boxes) != len(proposals[image.image_id]):
            key = image_key(image)
            found = store.read(image.image_id, key)
            if found is not None:
                store.write(Proposals(image.image_id, image.size, boxes, found.source), key)


def report_sets(
    inputs: Experiment, split: Split, sets: Sequence[str], options: ReadingOptions, out: str | None = None
) -> None:
    """Print figures of sets of proposals (NAME=PATH or PATH; none: the run's own), and write PNG and CSV."""
    images = images_of(inputs, split)
    found = {}
    for name, path in _named(sets or [str(inputs.run.path)]).items():
        proposals, missing = _proposals_of(inputs, split, path, options)
        if missing:
            inputs.warn(f"{path}: no proposals of {len(missing)} images: {', '.join(missing[:_NAMED])}")
        found[name] = quality_of(proposals, images, inputs.classes)
    inputs.work.console.print(report_table(found))
    for path in write_report(Path(out) if out else inputs.run.path / "windows", found):
        _print(inputs, str(path))


def _named(sets: Sequence[str]) -> dict[str, str]:
    """Name -> path. Raises ValueError where two sets have one name."""
    named: dict[str, str] = {}
    for one in sets:
        # A path may hold a "=" of its own; one that is there is no NAME=PATH.
        name, _, path = ("", "", one) if Path(one).exists() else one.rpartition("=")
        name = name or Path(path).name
        if name in named:
            raise ValueError(f"--windows: expected sets of different names, got {name} more than once; use NAME=PATH")
        named[name] = path
    return named


def _proposals_of(
    inputs: Experiment, split: Split, path: str, options: ReadingOptions
) -> tuple[Mapping[str, np.ndarray], Sequence[str]]:
    """(proposals by image id, ids of images without) of a run folder or a file."""
    run = RunFolder(path)
    images = images_of(inputs, split)
    if run.path.resolve() == inputs.run.path.resolve():
        return run_proposals(inputs.run, inputs.proposal_settings, images)
    if run.record_file.is_file():
        return run_proposals(run, proposal_settings_in_force(_settings_of(run), run), images)
    found = read_set(inputs, split, path, options)
    return found.boxes, found.missing


def _settings_of(run: RunFolder) -> ProposalSettings:
    kept = (run.read()["settings"] or {}).get("proposals")
    known = {one.name for one in dataclasses.fields(ProposalSettings)}
    if kept is None or set(kept) - known:
        raise ValueError(f"{run.record_file}: expected the settings of proposals, got {kept!r}")
    return ProposalSettings(**kept)


def _print(inputs: Experiment, text: str) -> None:
    inputs.work.console.print(text, highlight=False, markup=False, soft_wrap=True)
