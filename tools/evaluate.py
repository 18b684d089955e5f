"""Average precision, with intervals, of the detections of a run or of any detector's results on file.

With --run: a table, and RUN/evaluation/SPLIT.json. Any of --detections, --annotations, --split, --metric and --iou
replaces what the run has for one look: then nothing in the run is changed.

Without: python tools/evaluate.py --detections FILE_OR_FOLDER --annotations VOC_FOLDER|COCO_JSON|YOLO_FOLDER

Detections are COCO results (.json), the devkit's comp4_det_SPLIT_CLASS.txt, or YOLO text files (class x y width height
confidence). --json OUT writes metric, mAP (a fraction, over the classes that have objects), per_class (null without
objects), settings, counts, intervals, and what --diagnose and --compare find. docs/evaluation.md explains all of it.
"""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

from jsonargparse import ArgumentParser, Namespace
from rich.console import Console

from detection.commands.evaluate_files import read_truth
from detection.commands.evaluate_report import Report, Subject, evaluate_run, print_and_write
from detection.config import HelpFormatter, exit_status, run_tool
from detection.data import Problems
from detection.evaluation import DiagnosisSettings, EvaluationSettings, IntervalSettings
from detection.pipeline.experiment import Experiment


def add_options(parser: ArgumentParser) -> None:
    """What the tool takes beyond a run's settings."""
    add = parser.add_argument
    add("--detections", type=str | None, default=None, help="File or folder of results, or a run; null: the run's.")
    add("--annotations", type=str | None, default=None, help="VOC folder, COCO json or YOLO folder; null: the run's.")
    add("--split", type=str | None, default=None, help="Split of the annotations, e.g. test; null: the only one.")
    add("--metric", type=str | None, default=None, help="voc07, voc10 or coco; null: evaluation.metric.")
    add("--iou", type=float | None, default=None, help="IoU that a match needs; null: evaluation.iou_threshold.")
    add("--json", type=str | None, default=None, help="File to write the figures to, besides the run's own.")
    add("--classes", type=str | None, default=None, help="Class names, one a line, by the numbers in the detections.")
    add("--compare", type=str | None, default=None, help="Another detector's results, or run: is it any better?")
    add(
        "--diagnose",
        action="store_true",
        help="Show where the detector fails: kinds of errors, missed objects; in a run, why they were missed.",
    )


def report_options(options: Namespace) -> Report:
    """What to do beyond the table."""
    return Report(options.json, options.compare, options.diagnose)


def matching(options: Namespace, settings: EvaluationSettings) -> EvaluationSettings:
    """The settings with --metric and --iou in force."""
    changes: dict[str, Any] = {"metric": options.metric, "iou_threshold": options.iou}
    return dataclasses.replace(settings, **{key: value for key, value in changes.items() if value is not None})


def of_run(experiment: Experiment, options: Namespace) -> None:
    """Evaluate in a run."""
    changed = matching(options, experiment.settings.evaluation)
    given = {name: options[name] for name in ("detections", "annotations", "split", "classes")}
    evaluate_run(experiment, changed, given, report_options(options))


def of_files(options: Namespace) -> None:
    """Evaluate files, without a run."""
    problems, console = Problems(options.strict), Console()
    settings = matching(options, options.evaluation)
    try:
        truth = read_truth(options.annotations, options.split, options.detections, options.classes, problems)
        subject = Subject(truth, settings, options.intervals, options.diagnosis, problems, console)
        print_and_write(subject, options.detections, report_options(options))
    finally:
        for line in problems.summary():
            console.print(line, highlight=False, markup=False, soft_wrap=True)


def files_parser() -> ArgumentParser:
    """The command line without a run."""
    parser = ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    add_options(parser)
    parser.add_class_arguments(EvaluationSettings, "evaluation")
    parser.add_class_arguments(IntervalSettings, "intervals")
    parser.add_class_arguments(DiagnosisSettings, "diagnosis")
    parser.add_argument("--strict", action="store_true", help="Stop at the first fault in the files.")
    return parser


def refuse(given: str) -> None:
    """Raise ValueError for one half of what is needed without a run."""
    raise ValueError(f"{given}: expected --detections and --annotations, or one of them and --run, got it alone")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    names = {one.split("=")[0] for one in arguments}
    given, in_run = {"--detections", "--annotations"} & names, {"--run", "--config"} & names
    if len(given) == 2 and not in_run:
        parser = files_parser()
        options = parser.parse_args(arguments)
        return exit_status(lambda: of_files(parser.instantiate(options)))
    if given and not in_run:
        return exit_status(lambda: refuse(given.pop()))
    return run_tool(__doc__, of_run, arguments, add_options)


if __name__ == "__main__":
    sys.exit(main())
