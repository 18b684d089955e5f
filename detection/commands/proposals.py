"""What tools/proposals.py does beside generating: windows in, out, checked, measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from detection.commands.proposals_check import check_windows, fault_counts, mended_windows, write_faults
from detection.commands.proposals_report import quality_of, report_table, write_report
from detection.data import split_ids
from detection.pipeline.imported_proposals import import_windows, windows_in_force
from detection.pipeline.inputs import ExperimentInputs
from detection.pipeline.keys import image_key
from detection.pipeline.proposal_files import FileWindows, ReadingOptions, read_file, run_windows
from detection.proposals import ProposalSettings, ProposalStore
from detection.proposals.foreign import WrittenFormat, write_windows
from detection.proposals.foreign.formats import written_convention
from detection.proposals.foreign.window_files import Base, End, Order
from detection.storage.run import RunFolder
from detection.types import AnnotatedImage, Proposals

Split = Literal["train", "test", "all"]

# Faults printed, image ids named; all are in the CSV file.
_PRINTED = 20
_NAMED = 5


def images_of(inputs: ExperimentInputs, split: Split) -> list[AnnotatedImage]:
    """The images of a split of the data set."""
    return {"train": lambda: inputs.train_images, "test": lambda: inputs.test_images}.get(
        split, lambda: inputs.images
    )()


def ids_of(inputs: ExperimentInputs, split: Split) -> list[str]:
    """The image ids of a split in its list's order. Raises ValueError for all: two lists have no common order."""
    if split == "all":
        raise ValueError("by position: expected the training or the test images alone, got both")
    settings = inputs.settings.dataset
    sources = settings.train_sources if split == "train" else settings.test_sources
    return split_ids(sources, inputs.work.problems)


def read_set(inputs: ExperimentInputs, split: Split, path: str, options: ReadingOptions) -> FileWindows:
    """The windows of a file for the images of a split; a doubt about its convention is printed."""
    ids = ids_of(inputs, split) if options.by_position else None
    found = read_file(path, images_of(inputs, split), options, ids)
    if found.doubt is not None:
        inputs.warn(found.doubt)
    return found


def import_files(inputs: ExperimentInputs, paths: Mapping[Split, Sequence[str]], options: ReadingOptions) -> None:
    """Put the windows of files, by split, into the run. Raises ValueError where there is no file."""
    files = [read_set(inputs, split, path, options) for split, some in paths.items() for path in some]
    if not files:
        raise ValueError("--windows: expected at least one file, got none")
    facts = import_windows(inputs, files)
    for file in files:
        _print(inputs, f"{file.path}: {len(file.boxes)} images, read as {file.convention}")
    _print(
        inputs,
        f"{inputs.run.proposals}: {facts['images']} images, {facts['windows_per_image']} windows an image; "
        f"{facts['missing']} images without",
    )


def export_set(
    inputs: ExperimentInputs,
    split: Split,
    out: Path,
    file_format: WrittenFormat | None = None,
    order: Order | None = None,
    base: Base | None = None,
    end: End | None = None,
) -> None:
    """Write the run's windows of a split to one file. Raises ValueError where an image has none yet."""
    images = images_of(inputs, split)
    windows, missing = run_windows(inputs.run, inputs.proposal_settings, images)
    if missing:
        raise ValueError(
            f"{inputs.run.proposals}: expected windows of {len(images)} images, found none of {len(missing)}: "
            f"{', '.join(missing[:_NAMED])}; run tools/proposals.py generate"
        )
    convention = written_convention(out, file_format).changed(order, base, end)
    write_windows(out, windows, file_format, convention)
    _print(inputs, f"{out}: {len(windows)} images, {sum(map(len, windows.values()))} windows, {convention}")


def check_set(
    inputs: ExperimentInputs,
    split: Split,
    path: str | None,
    options: ReadingOptions,
    fix: bool = False,
    out: str | None = None,
) -> int:
    """Print and list the faults of a file's windows, or of the run's; the exit status: 1 if there are some."""
    images = images_of(inputs, split)
    if path is None:
        windows: Mapping[str, np.ndarray] = run_windows(inputs.run, inputs.proposal_settings, images)[0]
    else:
        windows = read_set(inputs, split, path, options).boxes
    faults = check_windows(windows, images)
    total = sum(map(len, windows.values()))
    counts = ", ".join(f"{count} {fault}" for fault, count in fault_counts(faults).items())
    _print(inputs, f"{path or inputs.run.proposals}: {len(images)} images, {total} windows: {counts}")
    listed = inputs.run.path / "windows" / "faults.csv"
    write_faults(listed, faults)
    for one in faults[:_PRINTED]:
        _print(inputs, f"  {one}")
    if len(faults) > _PRINTED:
        _print(inputs, f"  ... all of them: {listed}")
    if fix:
        _fix(inputs, images, windows, path, out)
    return 1 if faults else 0


def _fix(
    inputs: ExperimentInputs,
    images: Sequence[AnnotatedImage],
    windows: Mapping[str, np.ndarray],
    path: str | None,
    out: str | None,
) -> None:
    mended = mended_windows(windows, images)
    if path is None and out is None:
        _rewrite(inputs, images, windows, mended)
        target = str(inputs.run.proposals)
    else:
        target = out or str(Path(path or inputs.run.proposals).with_suffix(".fixed.npz"))
        write_windows(target, mended)
    dropped = sum(map(len, windows.values())) - sum(map(len, mended.values()))
    changed = sum(
        len(mended[one]) != len(boxes) or not np.array_equal(mended[one], boxes) for one, boxes in windows.items()
    )
    _print(inputs, f"fixed: {target}: {dropped} windows dropped, {changed} images changed")


def _rewrite(
    inputs: ExperimentInputs,
    images: Sequence[AnnotatedImage],
    windows: Mapping[str, np.ndarray],
    mended: Mapping[str, np.ndarray],
) -> None:
    store = ProposalStore(inputs.run.proposals, inputs.proposal_settings)
    for image in images:
        boxes = mended.get(image.image_id)
        if boxes is not None and len(boxes) != len(windows[image.image_id]):
            key = image_key(image)
            found = store.read(image.image_id, key)
            if found is not None:
                store.write(Proposals(image.image_id, image.size, boxes, found.source), key)


def report_sets(
    inputs: ExperimentInputs, split: Split, sets: Sequence[str], options: ReadingOptions, out: str | None = None
) -> None:
    """Print figures of sets of windows (NAME=PATH or PATH; none: the run's own), and write PNG and CSV."""
    images = images_of(inputs, split)
    found = {}
    for name, path in _named(sets or [str(inputs.run.path)]).items():
        windows, missing = _windows_of(inputs, split, path, options)
        if missing:
            inputs.warn(f"{path}: no windows of {len(missing)} images: {', '.join(missing[:_NAMED])}")
        found[name] = quality_of(windows, images, inputs.classes)
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


def _windows_of(
    inputs: ExperimentInputs, split: Split, path: str, options: ReadingOptions
) -> tuple[Mapping[str, np.ndarray], Sequence[str]]:
    """(windows by image id, ids of images without) of a run folder or a file."""
    run = RunFolder(path)
    images = images_of(inputs, split)
    if run.path.resolve() == inputs.run.path.resolve():
        return run_windows(inputs.run, inputs.proposal_settings, images)
    if run.record_file.is_file():
        return run_windows(run, windows_in_force(_settings_of(run), run), images)
    found = read_set(inputs, split, path, options)
    return found.boxes, found.missing


def _settings_of(run: RunFolder) -> ProposalSettings:
    kept = (run.read()["settings"] or {}).get("proposals")
    known = {one.name for one in dataclasses.fields(ProposalSettings)}
    if kept is None or set(kept) - known:
        raise ValueError(f"{run.record_file}: expected the settings of windows, got {kept!r}")
    return ProposalSettings(**kept)


def _print(inputs: ExperimentInputs, text: str) -> None:
    inputs.work.console.print(text, highlight=False, markup=False, soft_wrap=True)
