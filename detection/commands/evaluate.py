"""Average precision, with intervals, of the detections of a run or of any detector's results on file.

With --run: what is found, missed and false at the thresholds of its detector, and RUN/evaluation/SPLIT.json. Any of
--detections, --annotations, --split, --metric and --iou replaces what the run has for this call: then nothing in the
run is changed.

Without: --detections and --annotations, of any detector and data set.

Detections are COCO results (.json), the devkit's comp4_det_SPLIT_CLASS.txt, Detectron2's CLASS.txt, or YOLO text files
(class x y width height confidence). --json OUT writes metric, mAP (a fraction, over the classes that have objects),
per_class (null without objects), settings, counts, intervals, of a run at_thresholds with the confusion matrix, and
what --diagnose and --compare find.
docs/evaluation.md explains all of it.

  sppnet evaluate --run runs/mine --diagnose
  sppnet evaluate --detections found.json --annotations photos --split test --json figures.json
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace
from rich.console import Console

from detection import evaluation
from detection.command_line import Parser, command, say, terminal
from detection.commands.session import experiment_command, never
from detection.data import Problems, read_class_names, read_dataset
from detection.data.formats.finding import find_set
from detection.data.results import ResultFiles, find_results, read_results
from detection.data.split_names import is_split_name, split_kind
from detection.evaluation import Evaluation, EvaluationSettings
from detection.evaluation.metrics import METRICS
from detection.pipeline.experiment import Experiment
from detection.pipeline.stages import evaluation as stage
from detection.pipeline.stages.misses import diagnosis
from detection.storage import write_json
from detection.storage.run import RunFolder
from detection.talking import LOG
from detection.types import AnnotatedImage

_FORMATS = {
    "coco": "COCO results",
    "devkit": "the devkit's text files",
    "classes": "text files of classes, as Detectron2's",
    "yolo": "YOLO text files",
}


def add_options(parser: ArgumentParser) -> None:
    """What the command takes beyond a run's settings."""
    add = parser.add_argument
    add("--detections", type=str | None, default=None, help="File or folder of results, or a run; without: the run's.")
    add(
        "--annotations", type=str | None, default=None, help="VOC folder, COCO json or YOLO folder; without: the run's."
    )
    add("--split", type=str | None, default=None, help="Split of the annotations, e.g. test; without: the only one.")
    known = ", ".join(METRICS)
    add("--metric", type=str | None, default=None, help=f"{known}; without: evaluation.metric.")
    add(
        "--iou",
        type=float | None,
        default=None,
        help="IoU that a match needs, 0 to 1; without: evaluation.iou_threshold.",
    )
    add("--json", type=str | None, default=None, help="File to write the figures to, besides the run's own.")
    add("--classes", type=str | None, default=None, help="Class names, one a line, by the numbers in the detections.")
    add("--compare", type=str | None, default=None, help="Another detector's results, or run: is it any better?")
    words = "Show where the detector fails: kinds of errors, missed objects; in a run, why they were missed."
    add("--diagnose", action="store_true", help=words)


@dataclass(frozen=True)
class Truth:
    """What detections are compared with.

    classes: in the order of the labels. numbers: class number -> name in COCO results, and in YOLO's; None: not known.
    split: name of the split, None where the set has none. source_ids: image id -> number in COCO results.
    from_user: the numbers are a user's choice, and hold for results in a run too.
    """

    images: Sequence[AnnotatedImage]
    classes: tuple[str, ...]
    coco_numbers: Mapping[int, str] | None
    yolo_numbers: Mapping[int, str] | None
    split: str | None
    source_ids: Mapping[str, str]
    from_user: bool = False


def run_classes(path: Path | str) -> tuple[str, ...] | None:
    """The class list of the run that a path is, or lies in as RUN/detections or a file there; None for any other."""
    run = _run_of(path)
    return None if run is None else run.fixed_classes()


def _run_of(path: Path | str) -> RunFolder | None:
    path = Path(path)
    for folder in (path, path.parent, path.parent.parent):
        run = RunFolder(folder)
        if run.record_file.is_file() and run.fixed_classes() is not None:
            return run
    return None


def _check_whole(found: ResultFiles) -> None:
    """Raise ValueError where a run's own detections are not as it wrote them."""
    run = _run_of(found.path)
    for path in () if run is None else found.files.values():
        if not run.are_whole(path):
            raise ValueError(f"{path}: damaged, or changed by hand, since the run wrote it; run sppnet detect")


def read_truth(
    annotations: str,
    split: str | None,
    detections: str,
    classes_file: str | None,
    problems: Problems,
    usual: tuple[str, ...] | None = None,
    class_map: Mapping[str, str | None] | None = None,
) -> Truth:
    """The annotations at a path, and what class numbers in results mean.

    split: may be None in a set with one split or none. Classes are those of `classes_file`, else of the run that the
    detections are of, else the `usual` ones, else those that the annotations have, with those of the devkit's results
    behind. class_map: name in the annotations -> name of the class. Images need not be there where the annotations hold
    their sizes (VOC, COCO).
    """
    from_user = classes_file is not None
    given = read_class_names(classes_file) if from_user else run_classes(detections) or usual
    found = find_set(annotations)
    # A set that has only one split is that one, and is not to be divided: one json is meant whatever it is called, a
    # folder's split unless its name says that it is another.
    named = {split_kind(one) for one in (*found.splits, split) if one is not None and is_split_name(one)}
    is_another = bool(found.label_extension) and len(named) > 1
    asked = split if found.fixed_splits or len(found.splits) > 1 or is_another else None
    dataset = read_dataset(annotations, asked, "auto", given, problems, class_map, need_images=False)
    if given is not None:
        return Truth(dataset.images, given, *_by_place(given), split or dataset.split, dataset.source_ids, from_user)
    named = find_results(detections, split, _ids(dataset.images)).classes(split or dataset.split) or ()
    classes = (*dataset.classes, *(name for name in named if name not in dataset.classes))
    known, numbers = dataset.category_names, (None, None)
    if known is not None:
        coco, yolo = _by_place(dataset.classes)
        numbers = (known, yolo) if dataset.format == "coco" else (coco, known)
    return Truth(dataset.images, classes, *numbers, split or dataset.split, dataset.source_ids)


def _ids(images: Sequence[AnnotatedImage]) -> list[str]:
    return [one.image_id for one in images]


def _by_place(classes: Sequence[str]) -> tuple[dict[int, str], dict[int, str]]:
    """Numbers of COCO results, from 1, and of YOLO's, from 0."""
    return dict(enumerate(classes, start=1)), dict(enumerate(classes))


def evaluate_files(path: Path | str, truth: Truth, settings: EvaluationSettings, problems: Problems) -> Evaluation:
    """The evaluation of the results at a path; those in a run folder have that run's class numbers, unless
    the user gave others.

    Raises ValueError as `find_results`, `read_results` and `evaluate`.
    """
    found = find_results(path, truth.split, _ids(truth.images))
    _check_whole(found)
    own = None if truth.from_user else run_classes(path)
    coco, yolo = (truth.coco_numbers, truth.yolo_numbers) if own is None else _by_place(own)
    numbers = yolo if found.format == "yolo" else coco
    detections = read_results(found, truth.images, truth.classes, numbers, truth.split, problems, truth.source_ids)
    return evaluation.evaluate(detections, truth.images, truth.classes, **asdict(settings))


@dataclass(frozen=True)
class Subject:
    """Annotations, how detections are measured against them, and what else is asked for.

    settings: with evaluation, intervals and diagnosis. options: those of `add_options`.
    """

    truth: Truth
    settings: Any
    options: Namespace
    problems: Problems
    console: Console

    def evaluate(self, detections: str) -> Evaluation:
        """The evaluation of the results at a path."""
        return evaluate_files(detections, self.truth, self.settings.evaluation, self.problems)


def _evaluation_settings(options: Namespace, settings: EvaluationSettings) -> EvaluationSettings:
    """The settings with --metric and --iou in force."""
    iou = settings.iou_threshold if options.iou is None else options.iou
    return replace(settings, metric=options.metric or settings.metric, iou_threshold=iou)


def evaluate_run(experiment: Experiment, options: Namespace) -> None:
    """Evaluate in a run.

    As ``stages.evaluation.evaluate`` where no option replaces anything of the run; otherwise the run is left as it is.
    """
    kept, work = experiment.settings, experiment.work
    settings = replace(kept, evaluation=_evaluation_settings(options, kept.evaluation))
    subject = Subject(_truth(experiment, options), settings, options, work.problems, work.console)
    if any(options[name] is not None for name in ("detections", "annotations", "split", "classes")):
        evaluate_results(subject, options.detections or str(experiment.run.path))
        return
    experiment.settings, keep = settings, settings == kept
    result = stage.evaluate(experiment) if keep else stage.evaluation(experiment)
    found = diagnosis(experiment, keep) if options.diagnose else None
    _finish(subject, result, found, stage.shown(experiment), is_printed=keep)


def run_truth(experiment: Experiment) -> Truth:
    """The run's own annotations and classes."""
    classes = experiment.classes
    return Truth(experiment.test_images, classes, *_by_place(classes), experiment.split, {})


def _truth(experiment: Experiment, options: Namespace) -> Truth:
    """The run's own annotations, or others with the run's class list."""
    if options.annotations is None and options.split is None and options.classes is None:
        return run_truth(experiment)
    root = options.annotations or experiment.settings.dataset.root
    detections, class_map = options.detections or str(experiment.run.path), experiment.settings.dataset.class_map
    own = experiment.work.problems, experiment.classes, experiment.named(class_map)
    return read_truth(root, options.split, detections, options.classes, *own)


def evaluate_results(subject: Subject, detections: str) -> None:
    """Evaluate the results at a path against the subject's annotations, print, and write what is asked for."""
    files = find_results(detections, subject.truth.split, _ids(subject.truth.images))
    more = "s" if len(files.files) > 1 else ""
    LOG.info(f"{files.path}: {_FORMATS[files.format]}, {len(files.files)} file{more}")
    result, found = subject.evaluate(detections), None
    if subject.options.diagnose:
        found = evaluation.diagnose(result, subject.truth.images, subject.settings.diagnosis)
    _finish(subject, result, found)


def _finish(
    subject: Subject,
    result: Evaluation,
    found: evaluation.Diagnosis | None,
    shown: evaluation.AtThresholds | None = None,
    is_printed: bool = False,
) -> None:
    """Print and write what is asked for. shown: what a detector's own thresholds show of the result."""
    content: dict[str, Any] = result.to_json()
    bounds = evaluation.intervals(result, subject.settings.intervals)
    if not is_printed:
        table = evaluation.table(result, bounds) if shown is None else evaluation.shown_table(shown, result, bounds)
        subject.console.print(table)
    if bounds is not None:
        content["intervals"] = bounds.to_json(result.classes)
    if shown is not None:
        content["at_thresholds"] = shown.to_json()
    if found is not None:
        subject.console.print("", evaluation.diagnosis_table(found), sep="\n")
        content["diagnosis"] = found.to_json()
    if subject.options.compare is not None:
        content["compare"] = _compare(subject, result, subject.options.compare)
    if subject.options.json is not None:
        write_json(subject.options.json, content)
        LOG.info(f"figures: {subject.options.json}")


def _compare(subject: Subject, first: Evaluation, path: str) -> dict[str, Any]:
    second = subject.evaluate(path)
    change = evaluation.difference(first, second, subject.settings.intervals)
    say(subject.console, f"\nfirst: as above; second: {path}")
    subject.console.print(evaluation.comparison_table(first, second, change))
    content = {"mAP": second.mean_ap, "per_class": {one.name: one.ap for one in second.per_class}}
    return content | ({} if change is None else {"difference": change.to_json(first.classes)})


def _needs_run(options: Namespace) -> bool:
    """Results on file can be measured before there is a run, with a --config that tells the data."""
    return options.detections is None or not options.config


def _run(arguments: list[str]) -> int:
    names = {one.split("=")[0] for one in arguments}
    if not {"--detections", "--annotations"} & names or {"--run", "--config"} & names:
        return experiment_command(__doc__, evaluate_run, add_options, never, _needs_run)(arguments)
    parser = Parser(description=__doc__)
    add_options(parser)
    parser.add_class_arguments(EvaluationSettings, "evaluation")
    parser.add_class_arguments(evaluation.IntervalSettings, "intervals")
    parser.add_class_arguments(evaluation.DiagnosisSettings, "diagnosis")
    parser.add_argument("--strict", action="store_true", help="Stop at the first fault in the files.")
    options = parser.instantiate(parser.parse_args(arguments))
    given = [name for name in ("--detections", "--annotations") if options[name[2:]] is not None]
    if len(given) == 1:
        raise ValueError(f"{given[0]}: expected --detections and --annotations, or one of them and --run, got it alone")
    problems, console = Problems(options.strict), terminal()
    options.evaluation = _evaluation_settings(options, options.evaluation)
    try:
        truth = read_truth(options.annotations, options.split, options.detections, options.classes, problems)
        evaluate_results(Subject(truth, options, options, problems, console), options.detections)
        return 0
    finally:
        if problems:
            LOG.info("\n".join(problems.summary()))


main = command(_run)
