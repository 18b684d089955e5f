"""Proposals of a data set's images: the boxes that are scored.

generate   make the proposals of every training and test image
import     put the proposals of old files, or of other programs, into the run
export     write the proposals of the run to one file
check      every fault of proposals; --fix writes them without
report     recall and other figures of proposals, of several sets side by side
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Literal

import numpy as np
from jsonargparse import ArgumentParser, Namespace

from detection.command_line import say, subcommands
from detection.commands.proposals_report import quality_of, report_table, write_report
from detection.commands.session import always, experiment_command, images_of, never
from detection.data import result_numbers, split_ids
from detection.option_parser import described
from detection.pipeline.experiment import Experiment
from detection.pipeline.imported_proposals import proposal_settings_in_force
from detection.pipeline.keys import image_key
from detection.pipeline.proposal_files import FileProposals, ReadingOptions, import_proposals, read_file, run_proposals
from detection.pipeline.stages.images import PROPOSALS
from detection.proposals import ProposalSettings, ProposalStore
from detection.proposals.foreign import FAULTS, WrittenFormat, find_faults, repair_proposals, write_proposals
from detection.proposals.foreign.formats import written_convention
from detection.proposals.foreign.proposal_files import Base, End, Order
from detection.storage import csv_text, write_text
from detection.storage.run import RunFolder
from detection.types import AnnotatedImage

# Faults printed, image ids named; all are in the CSV file.
_PRINTED = 20
_NAMED = 5
_NO_PROPOSALS = "no proposals"
# (image id, fault, row of the proposal or nothing, its half-open box as it stands)
Fault = tuple[str, str, int | str, tuple[float, ...]]


def _add_split(parser: ArgumentParser, default: str) -> None:
    kind = Literal["train", "test", "all"]
    parser.add_argument("--split", type=kind, default=default, help="Images of the training or test set.")


def _add_reading(parser: ArgumentParser) -> None:
    parser.add_class_arguments(ReadingOptions, skip={"by_position"})
    parser.add_argument(
        "--by_position",
        action="store_true",
        help="Match the lists of a file to the images of the split by their place, not by image id (for a file "
        "without ids); the counts must agree.",
    )


def _add_import(parser: ArgumentParser) -> None:
    words = {"nargs": "+", "type": str, "default": [], "metavar": "PATH"}
    parser.add_argument("--windows", **words, help="Files, or folders of files, with proposals of any images.")
    parser.add_argument("--train_proposals", **words, help="The same, of the training images.")
    parser.add_argument("--test_proposals", **words, help="The same, of the test images.")
    _add_reading(parser)


def _add_export(parser: ArgumentParser) -> None:
    add = parser.add_argument
    words = "json, csv, npz or mat (Fast R-CNN's cells); without: what the extension says."
    add("--out", type=str | None, default=None, help="File to write (needed).")
    add("--format", type=WrittenFormat | None, default=None, help=words)
    add("--order", type=Order | None, default=None, help="Order of the four numbers; without: the format's.")
    add("--base", type=Base | None, default=None, help="Number of the first pixel; without: the format's.")
    add("--end", type=End | None, default=None, help="Whether the far corner is in; without: the format's.")
    _add_split(parser, "all")


def _add_check(parser: ArgumentParser) -> None:
    add = parser.add_argument
    words = "Where --fix writes a file's proposals (npz, json, csv, mat); without: its name with .fixed.npz."
    add("--windows", type=str | None, default=None, help="File, or folder of files; without: the run's.")
    add("--fix", action="store_true", help="Clip, swap, drop: to --out, or in place for the run's own.")
    add("--out", type=str | None, default=None, help=words)
    _add_reading(parser)
    _add_split(parser, "all")


def _add_report(parser: ArgumentParser) -> None:
    add = parser.add_argument
    words = "Sets, as NAME=PATH or PATH: run folders, files, or folders of files; without: the run's own."
    add("--windows", nargs="+", type=str, default=[], help=words)
    add("--out", type=str | None, default=None, help="Folder of PNG and CSV; without: RUN/proposals.")
    _add_reading(parser)
    _add_split(parser, "test")


def generate(experiment: Experiment, options: Namespace) -> None:
    """Make the proposals of every training and test image: RUN/proposals/, one file an image.

    Images that have theirs are passed over, so that an interrupted call goes on where it was.

      sppnet proposals generate --config custom --dataset.root photos --run runs/mine
    """
    PROPOSALS.make(experiment)


def import_files(experiment: Experiment, options: Namespace) -> None:
    """Put the proposals of old files, or of other programs, into RUN/proposals/; the run uses them from then on.

    The run is to be told so: --proposals.method imported.

      sppnet proposals import --windows voc_2007.mat --run runs/mine

    Raises ValueError where there is no file.
    """
    paths = {"all": options.windows, "train": options.train_proposals, "test": options.test_proposals}
    files = [_read(experiment, options, split, path) for split, some in paths.items() for path in some]
    if not files:
        raise ValueError("--windows: expected at least one file, got none")
    facts = import_proposals(experiment, files)
    say(
        experiment.work.console,
        *(f"{file.path}: {len(file.boxes)} images, read as {file.convention}" for file in files),
        f"{experiment.run.proposals}: {facts['images']} images, {facts['proposals_per_image']} proposals an image; "
        f"{facts['missing']} images without",
    )


def _read(experiment: Experiment, options: Namespace, split: str, path: str) -> FileProposals:
    """The proposals of a file for the images of a split; a doubt about its convention is printed.

    Raises ValueError by position for all images: two lists have no common order.
    """
    settings, ids = experiment.settings.dataset, None
    sources = {"train": settings.train_sources, "test": settings.test_sources}
    if options.by_position:
        if split == "all":
            raise ValueError("by position: expected the training or the test images alone, got both")
        ids = split_ids(sources[split], experiment.work.problems)
    numbers = result_numbers(sources.get(split, sum(sources.values(), ())), experiment.work.problems)
    reading = ReadingOptions(**{one.name: options[one.name] for one in fields(ReadingOptions)})
    found = read_file(path, images_of(experiment, split), reading, ids, numbers)
    if found.doubt is not None:
        experiment.warn(found.doubt)
    return found


def export(experiment: Experiment, options: Namespace) -> None:
    """Write the proposals of the run to one file: .npz, .json, .csv, or Fast R-CNN's .mat.

      sppnet proposals export --out proposals.mat --run runs/mine

    Raises ValueError where an image has none yet.
    """
    if options.out is None:
        raise ValueError("--out: expected the file to write, got none")
    images = images_of(experiment, options.split)
    proposals, missing = run_proposals(experiment.run, experiment.proposal_settings, images)
    if missing:
        raise ValueError(
            f"{experiment.run.proposals}: expected proposals of {len(images)} images, found none of {len(missing)}: "
            f"{', '.join(missing[:_NAMED])}; run sppnet proposals generate"
        )
    out = Path(options.out)
    convention = written_convention(out, options.format).changed(options.order, options.base, options.end)
    write_proposals(out, proposals, options.format, convention)
    count = sum(map(len, proposals.values()))
    say(experiment.work.console, f"{out}: {len(proposals)} images, {count} proposals, {convention}")


def check(experiment: Experiment, options: Namespace) -> int:
    """Every proposal that is outside its image, empty, swapped, repeated or not finite, and every image without any.

    Of the run, or of --windows; RUN/proposals/faults.csv lists all. --fix writes the proposals without their faults.
    Exit status 1 if there were some.

      sppnet proposals check --windows voc_2007.mat --run runs/mine
    """
    images, console = images_of(experiment, options.split), experiment.work.console
    if options.windows is None:
        proposals = run_proposals(experiment.run, experiment.proposal_settings, images)[0]
    else:
        proposals = _read(experiment, options, options.split, options.windows).boxes
    faults = list(find_all_faults(proposals, images))
    found = Counter(fault for _, fault, *_ in faults)
    counts = ", ".join(f"{found[fault]} {fault}" for fault in (*FAULTS, _NO_PROPOSALS))
    total, name = sum(map(len, proposals.values())), options.windows or experiment.run.proposals
    say(console, f"{name}: {len(images)} images, {total} proposals: {counts}")
    listed, header = experiment.run.proposals / "faults.csv", ("image_id", "fault", "row", "x1", "y1", "x2", "y2")
    write_text(listed, csv_text([header, *((*place, *box) for *place, box in faults)]))
    for image_id, fault, row, box in faults[:_PRINTED]:
        where = f", proposal {row}: {', '.join(f'{one:g}' for one in box)}" if box else ""
        say(console, f"  {fault}: {image_id}{where}")
    if len(faults) > _PRINTED:
        say(console, f"  ... all of them: {listed}")
    if options.fix:
        _fix(experiment, options, images, proposals)
    return 1 if faults else 0


def find_all_faults(proposals: Mapping[str, np.ndarray], images: Sequence[AnnotatedImage]) -> Iterator[Fault]:
    """All faults of half-open proposals (image id -> (R, 4)), in the images' order; one without proposals has one."""
    for image in images:
        boxes = proposals.get(image.image_id, np.zeros((0, 4)))
        if len(boxes) == 0:
            yield image.image_id, _NO_PROPOSALS, "", ()
        for fault, rows in find_faults(boxes, image.size).items():
            yield from ((image.image_id, fault, int(row), tuple(boxes[row].tolist())) for row in rows)


def _fix(
    experiment: Experiment, options: Namespace, images: Sequence[AnnotatedImage], proposals: Mapping[str, np.ndarray]
) -> None:
    """Write proposals without their faults: swapped, clipped or dropped, to --out or in place for the run's own."""
    sizes = {one.image_id: one.size for one in images}
    repaired = {one: repair_proposals(boxes, sizes[one])[0] for one, boxes in proposals.items()}
    if options.windows is None and options.out is None:
        target, store = experiment.run.proposals, ProposalStore(experiment.run.proposals, experiment.proposal_settings)
        for image in images:
            found = store.read(image.image_id, image_key(image))
            if found is not None and len(repaired[image.image_id]) != len(found.boxes):
                store.write(replace(found, boxes=repaired[image.image_id]), image_key(image))
    else:
        target = options.out or Path(options.windows).with_suffix(".fixed.npz")
        write_proposals(target, repaired)
    dropped = sum(len(boxes) - len(repaired[one]) for one, boxes in proposals.items())
    changed = sum(not np.array_equal(repaired[one], boxes) for one, boxes in proposals.items())
    say(experiment.work.console, f"fixed: {target}: {dropped} proposals dropped, {changed} images changed")


def report(experiment: Experiment, options: Namespace) -> None:
    """Proposals an image, recall at IoU 0.5 to 0.95, average recall, MABO by class and size, and curves.

    Of the run, or of several --windows in columns.

      sppnet proposals report --windows fast=runs/fast diverse=runs/diverse --run runs/fast
    """
    images, found = images_of(experiment, options.split), {}
    for name, path in _named(options.windows or [str(experiment.run.path)]).items():
        proposals, missing = _proposals_of(experiment, options, path, images)
        if missing:
            experiment.warn(f"{path}: no proposals of {len(missing)} images: {', '.join(missing[:_NAMED])}")
        found[name] = quality_of(proposals, images, experiment.classes)
    experiment.work.console.print(report_table(found))
    say(experiment.work.console, *map(str, write_report(Path(options.out or experiment.run.proposals), found)))


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
    experiment: Experiment, options: Namespace, path: str, images: Sequence[AnnotatedImage]
) -> tuple[Mapping[str, np.ndarray], Sequence[str]]:
    """(proposals by image id, ids of images without) of a run folder or a file."""
    run = RunFolder(path)
    if run.path.resolve() == experiment.run.path.resolve():
        return run_proposals(experiment.run, experiment.proposal_settings, images)
    if run.record_file.is_file():
        kept = (run.read()["settings"] or {}).get("proposals")
        if kept is None or set(kept) - {one.name for one in fields(ProposalSettings)}:
            raise ValueError(f"{run.record_file}: expected the settings of proposals, got {kept!r}")
        return run_proposals(run, proposal_settings_in_force(ProposalSettings(**kept), run), images)
    found = _read(experiment, options, options.split, path)
    return found.boxes, found.missing


def _needs_run(options: Namespace) -> bool:
    """Files of proposals can be looked at before there is a run."""
    return not options.windows


main = subcommands(
    __doc__,
    {
        "generate": experiment_command(described(generate), generate),
        "import": experiment_command(described(import_files), import_files, _add_import),
        "export": experiment_command(described(export), export, _add_export, never, always),
        "check": experiment_command(described(check), check, _add_check, lambda options: options.fix, _needs_run),
        "report": experiment_command(described(report), report, _add_report, never, _needs_run),
    },
)
