"""The command ``sppnet``: its first word says which command has the others. Nothing heavy is loaded for its help."""

import sys
from collections.abc import Sequence
from importlib import import_module, metadata
from typing import NamedTuple


class Command(NamedTuple):
    """text: what it does, one line. module: of this package, with its ``main``. first: its name there, where a module
    has several; it comes before the words that a user gives it. parts: the commands that it is of, one of which is its
    first word.
    """

    text: str
    module: str
    first: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()


# What a user wants to do -> name -> command.
GROUPS: dict[str, dict[str, Command]] = {
    "Start": {
        "demo": Command("the whole pipeline on embedded data: handwritten digits on photos", "demo"),
        "init": Command("write a YAML file of settings with comments, to be edited", "init"),
        "completion": Command(
            "the script by which a shell completes commands and options", "completion", parts=("bash", "zsh", "fish")
        ),
        "warmup": Command("compile what is compiled once on a machine, so that the first run need not", "warmup"),
        "download": Command("Pascal VOC 2007 trainval and test from the official archives", "download_voc"),
        "reproduce": Command("the paper's experiment on Pascal VOC 2007, beside the published figures", "reproduce"),
    },
    "Your data": {
        "check": Command("every fault of a data set, with file and line; --fix mends a copy", "dataset", ("check",)),
        "stats": Command("objects by class and size, and the recall that proposals can have", "dataset", ("stats",)),
        "convert": Command("write a data set as voc, folder, coco or yolo", "dataset", ("convert",)),
        "split": Command("write a data set with a split in trainval and test", "dataset", ("split",)),
        "show": Command("some photos with their boxes on one sheet", "dataset", ("show",)),
    },
    "Label": {
        "label": Command("a page to draw boxes on, whose detector learns from every photo", "labelling", ("label",)),
        "next": Command("the photos to label next, with the reason", "labelling", ("next",)),
        "suggest": Command("draft labels of the unlabelled photos, for a labelling tool", "labelling", ("suggest",)),
    },
    "Train": {
        "run": Command("the whole pipeline; each stage is passed over where it is done", "run_pipeline"),
        "proposals": Command(
            "proposals of a run: made, imported, exported, checked, measured",
            "proposals",
            parts=("generate", "import", "export", "check", "report"),
        ),
        "extract": Command("convolutional maps of a run's images; vectors of proposals or boxes", "extract_features"),
        "finetune": Command("fc6 and fc7 trained on the data set", "finetune"),
        "train": Command("linear SVMs with hard-negative mining; a class added, dropped, renamed", "train_svm"),
        "regress": Command("box regressors, added to the detector", "train_bbox"),
        "tune": Command("C and the weight of positives by cross-validation", "tune"),
        "calibrate": Command("probabilities of detections, and how reliable they are", "calibrate"),
        "classify": Command("a classifier of whole images", "train_classifier"),
    },
    "Use": {
        "detect": Command("detections in photos and videos with a saved detector, or of a run's test split", "detect"),
        "combine": Command("several runs' detectors together", "combine"),
        "compress": Command("fc6 and fc7 of a detector as low-rank layers", "compress"),
    },
    "Look and measure": {
        "evaluate": Command("average precision of a run, or of any detector's results on file", "evaluate"),
        "report": Command("the HTML report of a run, or of two", "report"),
        "inspect": Command("what filters respond to, why a box has its score", "visualize_features"),
        "maps": Command(
            "the cache of maps: its sets, damaged files, what is no longer used",
            "features",
            parts=("info", "verify", "prune"),
        ),
    },
}
COMMANDS = {name: one for group in GROUPS.values() for name, one in group.items()}
# Names of the version before -> names now, for this version.
OLD_NAMES = {
    "run_pipeline": "run",
    "download_voc": "download",
    "extract_features": "extract",
    "train_svm": "train",
    "train_bbox": "regress",
    "train_classifier": "classify",
    "visualize_features": "inspect",
    "features": "maps",
}
_HELP = ("-h", "--help", "help")


def usage() -> str:
    """What ``sppnet --help`` prints."""
    width = max(map(len, COMMANDS)) + 2
    lines = [
        "SPP-net object detection.",
        "",
        "usage: sppnet COMMAND [options]; sppnet COMMAND --help tells its options",
    ]
    for title, group in GROUPS.items():
        lines += ["", f"{title}:", *(f"  {name:<{width}}{one.text}" for name, one in group.items())]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    name, *rest = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name in _HELP:
        print(usage())
        return 0
    if name == "--version":
        print(metadata.version("sppnet"))
        return 0
    if name in OLD_NAMES:
        now = OLD_NAMES[name]
        print(f"sppnet {name} is called sppnet {now} now; the old name goes with the next version", file=sys.stderr)
        name = now
    if name not in COMMANDS:
        print(f"error: expected a command, got {name!r}\n\n{usage()}", file=sys.stderr)
        return 2
    chosen = COMMANDS[name]
    # What the command's own help calls it; one of several in a module is named there.
    sys.argv[0] = "sppnet" if chosen.first else f"sppnet {name}"
    return import_module(f"detection.commands.{chosen.module}").main([*chosen.first, *rest])
