"""A classifier of whole images, of any size: convolutions, a spatial pyramid, and fc layers with a softmax, or SVMs.

Trained on the classes present in a VOC devkit (--dataset.root), or on folders of images named by class:
  --folder FOLDER     FOLDER/train/CLASS/image.jpg and FOLDER/test/CLASS/image.jpg
  --maps FOLDER       the same with dense maps of your own in place of images: name.npy, numbers of shape (C, h, w),
                      one C for all; by --classifier.method svm
The backbone, its weights, stages and levels are those of features; its convolutions stay as they are unless
--classifier.frozen false. Written to RUN/classifier/: classifier.safetensors (and .onnx: --onnx), log.csv,
evaluation.json.

Evaluated on the test images, by --views, at every one of --sizes:
  full   the full image with its short side at that size
  crop   its middle square of 224/256 of the short side, brought to that size
  ten    that square in the middle and the corners, and mirrored; scores are averaged
  multi  9 proposals of 224 px from the map of the full image, and mirrored, at all of --multi_sizes; averaged
mAP is over images (VOC 2007 classification: images with difficult objects alone of a class are ignored for it), with
an interval by bootstrap over images (--intervals.resamples); the last column compares with the first row.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace
from rich.console import Console
from rich.table import Table

from detection.classification.classify import (
    VIEW_SIZE,
    VIEWS,
    ViewResult,
    ViewSource,
    evaluate_view,
    train_classifier,
)
from detection.classification.settings import ClassifierSettings
from detection.config import run_tool
from detection.data import IMAGE_EXTENSIONS
from detection.data.formats.image_folders import (
    MAP_EXTENSIONS,
    image_folder_classes,
    labelled_images,
    read_image_folder,
)
from detection.evaluation import IntervalSettings, difference, intervals
from detection.features import FeatureSettings
from detection.pipeline.experiment import Experiment
from detection.pipeline.source import shared_extractor
from detection.storage import write_json


def add_options(parser: ArgumentParser) -> None:
    """The options of this tool."""
    parser.add_class_arguments(ClassifierSettings, "classifier")
    add = parser.add_argument
    add("--folder", type=str | None, default=None, help="Folder with train/CLASS and test/CLASS, in place of a devkit.")
    add("--maps", type=str | None, default=None, help="The same with .npy maps (C, h, w) in place of images.")
    add("--onnx", action="store_true", help="Write RUN/classifier/classifier.onnx too: (N, 3, H, W) images, normalised "
        "as for the backbone, of any size from 64 px on, to logits (softmax; pip install sppnet[onnx]).")  # fmt: skip
    add("--views", type=str, nargs="+", choices=VIEWS, default=["full", "crop"], help="Views that are evaluated.")
    add("--sizes", type=int, nargs="+", default=[], help="Short sides in px evaluated at; none: those of training.")
    add("--pyramids", type=str, nargs="+", default=[], help="Compare pyramids, e.g. 1 2,1 3,2,1 6,3,2,1: for each one "
        "and each of --views (full, crop) a classifier of its own is trained and tested on that view.")  # fmt: skip
    add("--multi_sizes", type=int, nargs="+", default=[VIEW_SIZE], help="Short sides of the maps of the view multi; "
        "the paper's six are 224 256 300 360 448 560.")  # fmt: skip


def body(experiment: Experiment, options: Namespace) -> None:
    """Train, evaluate, print and write."""
    settings = ClassifierSettings(**vars(options.classifier))
    features = experiment.settings.features
    if options.maps is not None and (settings.method != "svm" or options.views != ["full"]):
        raise ValueError("--maps: expected --classifier.method svm and --views full beside it")
    classes, train, test = data_of(experiment, options.folder, options.maps)
    folder, work = experiment.run.path / "classifier", experiment.work
    results = []
    if options.pyramids:
        for levels, view in product(map(levels_of, options.pyramids), options.views):
            source, own = source_of(experiment, replace(features, levels=levels)), replace(settings, view=view)
            classifier = train_classifier(source, train, len(classes), own, work)
            name = f"{view} {','.join(map(str, levels))}"
            result = evaluate_view(classifier, source, test, classes, view, settings.sizes[:1], work)
            results.append(replace(result, view=name))
        path = folder / "pyramids.json"
    else:
        source = source_of(experiment, features)
        classifier = train_classifier(source, train, len(classes), settings, work, folder / "log.csv")
        classifier.save(folder / "classifier.safetensors", classes, settings, features)
        if options.onnx:
            classifier.export_onnx(folder / "classifier.onnx")
        for view, sizes in views_of(options, settings):
            results.append(evaluate_view(classifier, source, test, classes, view, sizes, work))
        path = folder / "evaluation.json"
    chosen = experiment.settings.intervals
    work.console.print(f"{len(train)} training and {len(test)} test images, {len(classes)} classes")
    print_results(results, chosen, work.console)
    write_json(path, [as_json(one, results[0], chosen) for one in results])


def levels_of(text: str) -> tuple[int, ...]:
    """A pyramid as typed, 3,2,1. Raises ValueError for anything else."""
    try:
        return tuple(int(one) for one in text.split(","))
    except ValueError as error:
        raise ValueError(f"--pyramids: expected numbers with commas between them, e.g. 3,2,1, got {text!r}") from error


def views_of(options: Namespace, settings: ClassifierSettings) -> Iterator[tuple[str, tuple[int, ...]]]:
    """(view, short sides) of each row of the table."""
    for view in options.views:
        if view == "multi":
            yield view, tuple(options.multi_sizes)
        else:
            yield from ((view, (size,)) for size in options.sizes or settings.sizes)


def data_of(experiment: Experiment, folder: str | None, maps: str | None):
    """(classes, training images, test images)."""
    if folder is None and maps is None:
        count = len(experiment.classes)
        return experiment.classes, *(
            labelled_images(one, count) for one in (experiment.train_images, experiment.test_images)
        )
    root, extensions = (Path(folder), IMAGE_EXTENSIONS) if maps is None else (Path(maps), MAP_EXTENSIONS)
    classes = image_folder_classes(root / "train")
    return classes, *(read_image_folder(root / part, classes, extensions) for part in ("train", "test"))


def source_of(experiment: Experiment, features: FeatureSettings) -> ViewSource:
    """Where the maps of views are kept: with those of the run."""
    backbone = shared_extractor(features, experiment.work.device).backbone
    work = experiment.work
    return ViewSource(experiment.run.features, features, backbone.weights_fingerprint, work.device, work.threads)


def print_results(results: list[ViewResult], settings: IntervalSettings, console: Console) -> None:
    """A table, a row a view and size."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("view", "short side", "accuracy", "mAP", "interval", "against the first"):
        table.add_column(name)
    for one in results:
        bound, gain = intervals(one.evaluation, settings), None
        if one is not results[0]:
            gain = difference(results[0].evaluation, one.evaluation, settings)
        mean = one.evaluation.mean_ap
        table.add_row(
            one.view,
            " ".join(map(str, one.sizes)),
            f"{one.accuracy:.3f}",
            "-" if mean is None else f"{mean:.3f}",
            f"{bound.mean_ap.low:.3f} to {bound.mean_ap.high:.3f}" if bound and bound.mean_ap else "-",
            f"{gain.mean_ap.value:+.3f} ({gain.mean_ap.low:+.3f} to {gain.mean_ap.high:+.3f})"
            if gain and gain.mean_ap
            else "-",
        )
    console.print(table)


def as_json(one: ViewResult, first: ViewResult, settings: IntervalSettings) -> dict:
    """A result with its intervals, as plain data."""
    classes, bound = one.evaluation.classes, intervals(one.evaluation, settings)
    gain = None if one is first else difference(first.evaluation, one.evaluation, settings)
    return one.to_json() | {
        "intervals": bound.to_json(classes) if bound else None,
        "against_the_first": gain.to_json(classes) if gain else None,
    }


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    return run_tool(__doc__, body, arguments, add_options)


if __name__ == "__main__":
    sys.exit(main())
