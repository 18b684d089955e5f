"""A classifier of whole images, of any size: convolutions, a spatial pyramid, and fc layers with a softmax, or SVMs.

Trained on the classes present in a VOC devkit (--dataset.root), or on FOLDER/train/CLASS/image.jpg. The backbone, its
weights, stages and levels are those of features; its convolutions stay as they are unless --classifier.frozen false.
Written to RUN/classifier/: classifier.safetensors (and .onnx: --onnx), log.csv, evaluation.json.

Evaluated on the test images, by --views, at every one of --sizes:
  full   the full image with its short side at that size
  crop   its middle square of 224/256 of the short side, brought to that size
  ten    that square in the middle and the corners, and mirrored; scores are averaged
  multi  9 windows of 224 px from the map of the full image, and mirrored, at all --multi_sizes

mAP is over images, as in VOC 2007's classification, with an interval by bootstrap; the last column compares with the
first row.

  sppnet classify --folder photos --run runs/mine --views full ten
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from jsonargparse import ArgumentParser, Namespace
from rich.console import Console

from detection.classification.classify import ViewResult, evaluate_view, train_classifier
from detection.classification.settings import ClassifierSettings
from detection.classification.views import VIEW_SIZE, VIEWS, ViewSource
from detection.command_line import text_table
from detection.commands.session import experiment_command
from detection.data import IMAGE_EXTENSIONS
from detection.data.formats import image_folders
from detection.evaluation import difference, intervals
from detection.evaluation.intervals import Difference, Intervals
from detection.features import FeatureSettings
from detection.pipeline.experiment import Experiment
from detection.pipeline.source import shared_extractor
from detection.storage import write_json
from detection.types import ClassificationImage

# Classes, training images, test images.
Data = tuple[tuple[str, ...], list[ClassificationImage], list[ClassificationImage]]
# A row of the table: the result, its intervals, and its difference to the first row's.
Row = tuple[ViewResult, Intervals | None, Difference | None]


def add_options(parser: ArgumentParser) -> None:
    """The options of this tool."""
    parser.add_class_arguments(ClassifierSettings, "classifier")
    add = parser.add_argument
    add("--folder", type=str | None, default=None, help="Folder with train/CLASS and test/CLASS, in place of a devkit.")
    add(
        "--maps",
        type=str | None,
        default=None,
        help="The same with dense maps, .npy of shape (C, h, w), C alike; needs --classifier.method svm.",
    )
    add("--onnx", action="store_true", help="Write RUN/classifier/classifier.onnx too: (N, 3, H, W) images, normalised "
        "as for the backbone, of any size from 64 px on, to logits (softmax; pip install sppnet[onnx]).")  # fmt: skip
    add("--views", nargs="+", choices=VIEWS, default=["full", "crop"], help="Views that are evaluated.")
    add("--sizes", type=int, nargs="+", default=[], help="Short sides in px evaluated at; without: those of training.")
    add("--pyramids", type=str, nargs="+", default=[], help="Compare pyramids, e.g. 1 2,1 3,2,1 6,3,2,1: for each one "
        "and each of --views (full, crop) a classifier of its own is trained and tested on that view.")  # fmt: skip
    add("--multi_sizes", type=int, nargs="+", default=[VIEW_SIZE], help="Short sides of the maps of the view multi; "
        "the paper's six are 224 256 300 360 448 560.")  # fmt: skip


def body(experiment: Experiment, options: Namespace) -> None:
    """Train, evaluate, print and write."""
    settings = ClassifierSettings(**vars(options.classifier))
    if options.maps is not None and (settings.method != "svm" or options.views != ["full"]):
        raise ValueError("--maps: expected --classifier.method svm and --views full with it")
    data = classes, train, test = data_of(experiment, options)
    folder, console = experiment.run.path / "classifier", experiment.work.console
    compute = compare_pyramids if options.pyramids else train_and_evaluate
    results = list(compute(experiment, options, settings, data, folder))
    chosen, first = experiment.settings.intervals, results[0].evaluation
    rows = [
        (one, intervals(one.evaluation, chosen), difference(first, one.evaluation, chosen) if number else None)
        for number, one in enumerate(results)
    ]
    experiment.say(f"{len(train)} training and {len(test)} test images, {len(classes)} classes")
    print_results(rows, console)
    write_json(folder / ("pyramids.json" if options.pyramids else "evaluation.json"), [as_json(*row) for row in rows])


def compare_pyramids(
    experiment: Experiment, options: Namespace, settings: ClassifierSettings, data: Data, folder: Path
) -> Iterator[ViewResult]:
    """Train and evaluate a classifier for each pyramid and view; none is kept in `folder`."""
    (classes, train, test), work = data, experiment.work
    for levels, view in product(map(levels_of, options.pyramids), options.views):
        source = source_of(experiment, replace(experiment.settings.features, levels=levels))
        classifier = train_classifier(source, train, len(classes), replace(settings, view=view), work)
        result = evaluate_view(classifier, source, test, classes, view, settings.sizes[:1], work)
        yield replace(result, view=f"{view} {','.join(map(str, levels))}")


def train_and_evaluate(
    experiment: Experiment, options: Namespace, settings: ClassifierSettings, data: Data, folder: Path
) -> Iterator[ViewResult]:
    """Train one classifier, write it, and evaluate it on each view and size."""
    (classes, train, test), features, work = data, experiment.settings.features, experiment.work
    source = source_of(experiment, features)
    classifier = train_classifier(source, train, len(classes), settings, work, folder / "log.csv")
    classifier.save(folder / "classifier.safetensors", classes, features)
    if options.onnx:
        classifier.export_onnx(folder / "classifier.onnx")
    for view in options.views:
        sizes = [(size,) for size in options.sizes or settings.sizes]
        for chosen in [tuple(options.multi_sizes)] if view == "multi" else sizes:
            yield evaluate_view(classifier, source, test, classes, view, chosen, work)


def levels_of(text: str) -> tuple[int, ...]:
    """A pyramid as typed, 3,2,1. Raises ValueError for anything else."""
    try:
        return tuple(int(one) for one in text.split(","))
    except ValueError as error:
        raise ValueError(f"--pyramids: expected numbers with commas between them, e.g. 3,2,1, got {text!r}") from error


def data_of(experiment: Experiment, options: Namespace) -> Data:
    """The run's data set, or the folders that the options name.

    Raises ValueError where classes of the run were added or dropped: its training labels count in the list before.
    """
    given = options.folder if options.maps is None else options.maps
    if given is None:
        if changed := [f"{kind} {name}" for kind, name, *_ in experiment.edits if kind != "rename"]:
            raise ValueError(
                f"{experiment.run.path}: classes were changed ({', '.join(changed)}): classify in a run of its own, "
                "with another --run"
            )
        parts = experiment.train_images, experiment.test_images
        return experiment.classes, *(image_folders.labelled_images(one, len(experiment.classes)) for one in parts)
    root, extensions = (
        Path(given).absolute(),
        IMAGE_EXTENSIONS if options.maps is None else image_folders.MAP_EXTENSIONS,
    )
    classes = image_folders.image_folder_classes(root / "train")
    return classes, *(image_folders.read_image_folder(root / part, classes, extensions) for part in ("train", "test"))


def source_of(experiment: Experiment, features: FeatureSettings) -> ViewSource:
    """Where the maps of views are kept: with those of the run."""
    work = experiment.work
    weights = shared_extractor(features, work.device).backbone.weights_fingerprint
    return ViewSource(experiment.run.features, features, weights, work.device, work.threads)


def print_results(rows: list[Row], console: Console) -> None:
    """A table, a row a view and size."""
    shown = []
    for one, bounds, gain in rows:
        mean, bound, change = one.evaluation.mean_ap, bounds and bounds.mean_ap, gain and gain.mean_ap
        figures = f"{one.accuracy:.3f}", "-" if mean is None else f"{mean:.3f}"
        interval = f"{bound.low:.3f} to {bound.high:.3f}" if bound else "-"
        against = f"{change.value:+.3f} ({change.low:+.3f} to {change.high:+.3f})" if change else "-"
        shown.append((one.view, " ".join(map(str, one.sizes)), *figures, interval, against))
    header = ("view", "short side", "accuracy", "mAP", "interval", "against the first")
    console.print(text_table("Views of the test images", header, shown))


def as_json(one: ViewResult, bounds: Intervals | None, gain: Difference | None) -> dict[str, Any]:
    """A row of the table as plain data."""
    classes = one.evaluation.classes
    return {
        "view": one.view,
        "sizes": list(one.sizes),
        "accuracy": None if np.isnan(one.accuracy) else one.accuracy,
        "mAP": one.evaluation.mean_ap,
        "per_class": {each.name: each.ap for each in one.evaluation.per_class},
        "intervals": bounds.to_json(classes) if bounds else None,
        "against_the_first": gain.to_json(classes) if gain else None,
    }


main = experiment_command(__doc__, body, add_options)
