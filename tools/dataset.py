"""Data sets of VOC, COCO and YOLO files, and plain folders of photos with XML.

usage: python tools/dataset.py check | stats | convert | split | show PATH [options]

check      list every fault with its file and line: missing, orphan and unreadable files, sizes that differ, boxes that
           are outside, swapped, empty, doubled or out of range, unknown and misspelt classes, equal and rotated photos.
           Exit status 1 where training would be wrong. --fix FOLDER writes a repaired copy and the list of faults.
stats      objects by class and size, shapes, objects an image, and the recall selective search can have at each size.
convert    write the set as voc, folder, coco or yolo, and say what that format cannot hold.
split      write the set with a seeded split in trainval and test, stratified by class, equal photos together.
show       draw some photos with their boxes on one sheet.

PATH is a folder, a COCO json or a data.yaml; its format is found by looking. COMMAND --help tells a command's options.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from jsonargparse import ArgumentParser, Namespace

from detection.command_line import HelpFormatter, exit_status
from detection.commands import dataset as dataset_tool
from detection.commands.dataset import SetOptions
from detection.commands.dataset_stats import stats
from detection.pipeline.work import Work, default_workers, worker_processes
from detection.proposals import ProposalSettings


def add_out(parser: ArgumentParser, what: str) -> None:
    """Where a command writes a set."""
    parser.add_argument("--out", type=str, required=True, help=f"New folder for {what}; it must not hold anything.")
    parser.add_argument("--link", action="store_true", help="Let images be hard links to the originals, not copies.")


def add_check(parser: ArgumentParser) -> None:
    """Options of check."""
    parser.add_argument("--fix", type=str | None, default=None, help="New folder for a repaired copy and faults.txt.")


def add_stats(parser: ArgumentParser) -> None:
    """Options of stats."""
    parser.add_argument("--out", type=str | None, default=None, help="PNG or JPEG file for the picture of the figures.")
    parser.add_argument("--sample", type=int, default=200, help="Images that are searched for proposals; 0: none.")
    parser.add_argument("--seed", type=int, default=0, help="Seed of the choice of those images.")
    parser.add_class_arguments(ProposalSettings, "proposals")


def add_convert(parser: ArgumentParser) -> None:
    """Options of convert."""
    parser.add_argument("--to", type=str, required=True, help="Format to write: voc, folder, coco or yolo.")
    add_out(parser, "the converted set")


def add_split(parser: ArgumentParser) -> None:
    """Options of split."""
    parser.add_argument("--share", type=float, default=0.2, help="Share of the images that are held out as test.")
    parser.add_argument("--seed", type=int, default=0, help="Seed of the split: the same seed, the same split.")
    add_out(parser, "the set with its new split")


def add_show(parser: ArgumentParser) -> None:
    """Options of show."""
    parser.add_argument("--out", type=str, default="sheet.jpg", help="Image file to write the contact sheet to.")
    parser.add_argument("--count", type=int, default=24, help="Images on the sheet, chosen by --seed.")
    parser.add_argument("--columns", type=int, default=4, help="Images in a row of the sheet.")
    parser.add_argument("--seed", type=int, default=0, help="Seed of the choice of the images.")


def run_convert(options: SetOptions, work: Work, rest: Namespace) -> int:
    """The command convert."""
    return dataset_tool.convert(options, work, rest.to, rest.out, rest.link)


def run_stats(options: SetOptions, work: Work, rest: Namespace) -> int:
    """The command stats."""
    return stats(options, work, rest.out, rest.sample, rest.seed, rest.proposals)


Body = Callable[[SetOptions, Work, Namespace], int]
COMMANDS: dict[str, tuple[Body, Callable[[ArgumentParser], None]]] = {
    "check": (lambda options, work, rest: dataset_tool.check(options, work, rest.fix), add_check),
    "stats": (run_stats, add_stats),
    "convert": (run_convert, add_convert),
    "split": (lambda o, work, rest: dataset_tool.split(o, work, rest.out, rest.share, rest.seed, rest.link), add_split),
    "show": (lambda o, work, rest: dataset_tool.show(o, work, rest.out, rest.count, rest.columns, rest.seed), add_show),
}


def command_parser(command: str) -> ArgumentParser:
    """The command line of one command."""
    parser = ArgumentParser(prog=f"dataset.py {command}", description=__doc__, formatter_class=HelpFormatter)
    parser.add_class_arguments(SetOptions, as_positional=True)
    COMMANDS[command][1](parser)
    parser.add_argument("--workers", type=int, default=1, help="Processes over images; 0: one a processor, at most 4.")
    return parser


def run(command: str, arguments: list[str]) -> int:
    """Do a command."""
    parsed = command_parser(command).parse_args(arguments)
    options = SetOptions(**{name: parsed[name] for name in SetOptions.__dataclass_fields__})
    rest = command_parser(command).instantiate(parsed)
    workers = parsed.workers or default_workers()
    with worker_processes(workers) as executor:
        return COMMANDS[command][0](options, Work(workers, executor=executor), rest)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    command, *rest = (sys.argv[1:] if arguments is None else arguments) or [""]
    if command in ("-h", "--help"):
        command, rest = "check", ["--help"]
    if command not in COMMANDS:
        print(f"error: expected one of {', '.join(COMMANDS)}, got {command!r}\n\n{__doc__}", file=sys.stderr)
        return 2
    return exit_status(lambda: run(command, rest))


if __name__ == "__main__":
    sys.exit(main())
