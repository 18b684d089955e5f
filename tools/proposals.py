"""Proposals of a data set's images.

usage: python tools/proposals.py generate | import | export | check | report --config FILE --run RUN

generate   make the proposals of every training and test image: RUN/proposals/, one file an image; images that
           have theirs are passed over, so an interrupted run goes on where it was.
import     put the proposals of old files into RUN/proposals/ instead; the run then uses them
           (proposals.method imported).
export     write the proposals of the run to one file: .npz, .json, .csv, or Fast R-CNN's .mat.
check      list every proposal that is outside its image, empty, swapped, repeated or not finite, and every image
           without proposals, of the run or of --windows; with --fix, write the proposals without their faults.
           Exit status 1 if there were some.
report     proposals an image, recall at IoU 0.5 to 0.95, average recall, MABO by class and size, curves; of the
           run, or of several --windows side by side.

COMMAND --help tells a command's options.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from jsonargparse import ArgumentParser, Namespace

from detection.commands.proposals import check_set, export_set, import_files, report_sets
from detection.config import run_tool
from detection.pipeline.experiment import Experiment
from detection.pipeline.proposal_files import ReadingOptions
from detection.pipeline.stages.images import PROPOSALS
from detection.proposals.foreign import WrittenFormat
from detection.proposals.foreign.proposal_files import Base, End, Order

FORMAT_HELP = "json, csv, npz or mat (Fast R-CNN's cells); null: what the extension says."


def add_split(parser: ArgumentParser, default: str) -> None:
    """Which images a command is about."""
    parser.add_argument(
        "--split", type=Literal["train", "test", "all"], default=default, help="Images of the training or test set."
    )


def add_reading(parser: ArgumentParser) -> None:
    """How a file is read."""
    parser.add_class_arguments(ReadingOptions, skip={"by_position"})
    parser.add_argument(
        "--by_position",
        action="store_true",
        help="Match the lists of a file to the images of the split by their place, not by image id (for a file "
        "without ids); the counts must agree.",
    )


def add_import(parser: ArgumentParser) -> None:
    """Options of import."""
    parser.add_argument(
        "--windows", nargs="+", type=str, default=[], help="Files, or folders of files, with proposals of any images."
    )
    parser.add_argument("--train_proposals", nargs="+", type=str, default=[], help="The same, of the training images.")
    parser.add_argument("--test_proposals", nargs="+", type=str, default=[], help="The same, of the test images.")
    add_reading(parser)


def add_export(parser: ArgumentParser) -> None:
    """Options of export."""
    parser.add_argument("--out", type=str | None, default=None, help="File to write; has to be given.")
    parser.add_argument("--format", type=WrittenFormat | None, default=None, help=FORMAT_HELP)
    parser.add_argument(
        "--order", type=Order | None, default=None, help="Order of the four numbers; null: the format's."
    )
    parser.add_argument("--base", type=Base | None, default=None, help="Number of the first pixel; null: the format's.")
    parser.add_argument(
        "--end", type=End | None, default=None, help="Whether the far corner is in; null: the format's."
    )
    add_split(parser, "all")


def add_check(parser: ArgumentParser) -> None:
    """Options of check."""
    parser.add_argument("--windows", type=str | None, default=None, help="File, or folder of files; null: the run's.")
    parser.add_argument("--fix", action="store_true", help="Clip, swap, drop: to --out, or in place for the run's own.")
    parser.add_argument(
        "--out",
        type=str | None,
        default=None,
        help="Where --fix writes a file's proposals (npz, json, csv, mat); null: its name with .fixed.npz.",
    )
    add_reading(parser)
    add_split(parser, "all")


def add_report(parser: ArgumentParser) -> None:
    """Options of report."""
    parser.add_argument(
        "--windows",
        nargs="+",
        type=str,
        default=[],
        help="Sets, as NAME=PATH or PATH: run folders, files, or folders of files. None: the run's own.",
    )
    parser.add_argument("--out", type=str | None, default=None, help="Folder of PNG and CSV; null: RUN/proposals.")
    add_reading(parser)
    add_split(parser, "test")


def reading(options: Namespace) -> ReadingOptions:
    """The reading options of a command line."""
    names = ("format", "order", "base", "end", "by_position")
    return ReadingOptions(**{name: options[name] for name in names})


def run_import(experiment: Experiment, options: Namespace) -> int | None:
    """The command import."""
    paths = {"all": options.windows, "train": options.train_proposals, "test": options.test_proposals}
    return import_files(experiment, paths, reading(options))


def run_export(experiment: Experiment, options: Namespace) -> int | None:
    """The command export."""
    if options.out is None:
        raise ValueError("--out: expected the file to write, got none")
    names = ("format", "order", "base", "end")
    return export_set(experiment, options.split, Path(options.out), *(options[name] for name in names))


def run_check(experiment: Experiment, options: Namespace) -> int | None:
    """The command check."""
    return check_set(experiment, options.split, options.windows, reading(options), options.fix, options.out)


def run_report(experiment: Experiment, options: Namespace) -> int | None:
    """The command report."""
    return report_sets(experiment, options.split, options.windows, reading(options), options.out)


Body = Callable[[Experiment, Namespace], int | None]
COMMANDS: dict[str, tuple[Body, Callable[[ArgumentParser], None] | None]] = {
    "generate": (lambda experiment, _: PROPOSALS.make(experiment), None),
    "import": (run_import, add_import),
    "export": (run_export, add_export),
    "check": (run_check, add_check),
    "report": (run_report, add_report),
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    command, *rest = (sys.argv[1:] if arguments is None else arguments) or [""]
    if command in ("-h", "--help"):
        body, add_options = COMMANDS["generate"]
        return run_tool(__doc__, body, [command], add_options)
    if command not in COMMANDS:
        print(f"error: expected one of {', '.join(COMMANDS)}, got {command!r}\n\n{__doc__}", file=sys.stderr)
        return 2
    body, add_options = COMMANDS[command]
    return run_tool(__doc__, body, rest, add_options)


if __name__ == "__main__":
    sys.exit(main())
