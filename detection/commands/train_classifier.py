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

from dataclasses import replace
from itertools import product
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from detection.classification import classify
from detection.classification.classify import VIEW_SIZE, VIEWS
from detection.classification.settings import ClassifierSettings
from detection.command_line import text_table
from detection.commands.session import experiment_command
from detection.data import IMAGE_EXTENSIONS
from detection.data.formats import image_folders
from detection.evaluation import Difference, Intervals, difference, intervals
from detection.evaluation.table import fraction
from detection.features import FeatureSettings
from detection.pipeline.experiment import Experiment
from detection.pipeline.source import shared_extractor
from detection.storage import write_json


def add_options(parser: ArgumentParser) -> None:
    """What the command takes beyond a run's settings."""
    parser.add_class_arguments(ClassifierSettings, "classifier")
    add = parser.add_argument
    add("--folder", type=str | None, default=None, help="Folder with train/CLASS and test/CLASS, in place of a devkit.")
    add("--maps", type=str | None, default=None, help="The same with .npy maps (C, h, w) in place of images.")
    add("--onnx", action="store_true", help="Write RUN/classifier/classifier.onnx too: (N, 3, H, W) images, normalised "
        "as for the backbone, of any size from 64 px on, to logits (softmax; pip install sppnet[onnx]).")  # fmt: skip
    add("--views", nargs="+", choices=VIEWS, default=["full", "crop"], help="Views that are evaluated.")
    add("--sizes", type=int, nargs="+", default=[], help="Short sides in px evaluated at; none: those of training.")
    add("--pyramids", type=str, nargs="+", default=[], help="Compare pyramids, e.g. 1 2,1 3,2,1 6,3,2,1: for each one "
        "and each of --views (full, crop) a classifier of its own is trained and tested on that view.")  # fmt: skip
    add("--multi_sizes", type=int, nargs="+", default=[VIEW_SIZE], help="Short sides of the maps of the view multi; "
        "the paper's six are 224 256 300 360 448 560.")  # fmt: skip


def train_and_evaluate(experiment: Experiment, options: Namespace) -> None:
    """Train, evaluate, print and write."""
    if options.maps is not None and (options.classifier.method != "svm" or options.views != ["full"]):
        raise ValueError("--maps: expected --classifier.method svm and --views full with it")
    data = _data(experiment, options.folder, options.maps)
    if options.pyramids:
        results, path = _compare_pyramids(experiment, options, data), "pyramids.json"
    else:
        results, path = _train_one(experiment, options, data), "evaluation.json"
    first, chosen = results[0].evaluation, experiment.settings.intervals
    bounds = [intervals(one.evaluation, chosen) for one in results]
    gains = [None, *(difference(first, one.evaluation, chosen) for one in results[1:])]
    classes, train, test = data
    experiment.work.console.print(f"{len(train)} training and {len(test)} test images, {len(classes)} classes")
    header = ("view", "short side", "accuracy", "mAP", "interval", "against the first")
    experiment.work.console.print(text_table("", header, list(map(_row, results, bounds, gains))))
    content = [
        one.to_json()
        | {
            "intervals": bound.to_json(classes) if bound else None,
            "against_the_first": gain.to_json(classes) if gain else None,
        }
        for one, bound, gain in zip(results, bounds, gains, strict=True)
    ]
    write_json(experiment.run.path / "classifier" / path, content)


def _compare_pyramids(experiment: Experiment, options: Namespace, data) -> list[classify.ViewResult]:
    """A classifier of its own for each pyramid and view, evaluated on that view."""
    (classes, train, test), settings, work, results = data, options.classifier, experiment.work, []
    for levels, view in product(map(_levels, options.pyramids), options.views):
        source = _source(experiment, replace(experiment.settings.features, levels=levels))
        classifier = classify.train_classifier(source, train, len(classes), replace(settings, view=view), work)
        result = classify.evaluate_view(classifier, source, test, classes, view, settings.sizes[:1], work)
        results.append(replace(result, view=f"{view} {','.join(map(str, levels))}"))
    return results


def _train_one(experiment: Experiment, options: Namespace, data) -> list[classify.ViewResult]:
    """The classifier, kept in the run, on every view and size."""
    (classes, train, test), settings = data, options.classifier
    folder, features = experiment.run.path / "classifier", experiment.settings.features
    source = _source(experiment, features)
    classifier = classify.train_classifier(source, train, len(classes), settings, experiment.work, folder / "log.csv")
    classifier.save(folder / "classifier.safetensors", classes, settings, features)
    if options.onnx:
        classifier.export_onnx(folder / "classifier.onnx")
    each = [(size,) for size in options.sizes or settings.sizes]
    sides = {view: [tuple(options.multi_sizes)] if view == "multi" else each for view in options.views}
    shown = [(view, sizes) for view in options.views for sizes in sides[view]]
    return [classify.evaluate_view(classifier, source, test, classes, *one, experiment.work) for one in shown]


def _levels(text: str) -> tuple[int, ...]:
    """A pyramid as typed, 3,2,1. Raises ValueError for anything else."""
    try:
        return tuple(int(one) for one in text.split(","))
    except ValueError as error:
        raise ValueError(f"--pyramids: expected numbers with commas between them, e.g. 3,2,1, got {text!r}") from error


def _data(experiment: Experiment, folder: str | None, maps: str | None):
    """(classes, training images, test images)."""
    if folder is None and maps is None:
        classes, images = experiment.classes, (experiment.train_images, experiment.test_images)
        return classes, *(image_folders.labelled_images(one, len(classes)) for one in images)
    root, extensions = (Path(folder), IMAGE_EXTENSIONS) if maps is None else (Path(maps), image_folders.MAP_EXTENSIONS)
    classes = image_folders.image_folder_classes(root / "train")
    return classes, *(image_folders.read_image_folder(root / part, classes, extensions) for part in ("train", "test"))


def _source(experiment: Experiment, features: FeatureSettings) -> classify.ViewSource:
    """Where the maps of views are kept: with those of the run."""
    work = experiment.work
    weights = shared_extractor(features, work.device).backbone.weights_fingerprint
    return classify.ViewSource(experiment.run.features, features, weights, work.device, work.threads)


def _row(one: classify.ViewResult, bounds: Intervals | None, gains: Difference | None) -> tuple[str, ...]:
    bound, gain = bounds and bounds.mean_ap, gains and gains.mean_ap
    return (
        one.view,
        " ".join(map(str, one.sizes)),
        f"{one.accuracy:.3f}",
        fraction(one.evaluation.mean_ap),
        f"{bound.low:.3f} to {bound.high:.3f}" if bound else "-",
        f"{gain.value:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})" if gain else "-",
    )


main = experiment_command(__doc__, train_and_evaluate, add_options)
