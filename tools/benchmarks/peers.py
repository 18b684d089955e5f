"""Against what a user would take instead: torchvision's Faster R-CNN and SSDlite on the same photos.

They begin with the ImageNet weights of the run's own EfficientNet-Lite, as the run does; nothing has seen COCO. Each is
trained for as long as the run took from nothing to its detector, by its record, and for so many times as long as
--times says, by the recipes of torchvision's references/detection, cut to fit two cores: `--help-all` has each cut. An
interrupted training goes on from its checkpoint in FOLDER/peers of `--out FOLDER`.

mAP is of the run's test photos, or with --share of a part of its training photos, on which neither a peer nor the SVMs
and regressors of the run, trained once more, have learned: choices are made there. No step is chosen by any of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np
from benchmarks import harness
from benchmarks.detectors import MEASURES, frozen_run, open_run
from benchmarks.harness import Row, Tables, progress, take_turns
from benchmarks.peer_recipes import FasterRCNNRecipe, Recipe, SSDLiteRecipe
from benchmarks.peer_training import PeerTraining, find, steps_in
from jsonargparse.typing import NonNegativeInt, PositiveFloat, PositiveInt
from torch import nn

from detection.backbones.names import PACKAGED_BACKBONES
from detection.backbones.networks import state_names
from detection.data.splitting import split_images
from detection.detector import Detector
from detection.engines import limit_threads
from detection.evaluation import IntervalSettings, evaluate, intervals
from detection.pipeline.experiment import Experiment
from detection.pipeline.keys import annotations_key
from detection.pipeline.stages import DETECTIONS, STAGES
from detection.pipeline.stages.detections import read_detections
from detection.pipeline.stages.images import usable
from detection.pipeline.stages.regressors import train_box_regressors
from detection.pipeline.stages.svms import train_linear_svms
from detection.storage import fingerprint
from detection.types import AnnotatedImage, Detections

OURS = "SPP-net, this run"
FASTER_RCNN, SSDLITE = FasterRCNNRecipe(), SSDLiteRecipe()
# To be raised when a change of the code changes what is trained.
_VERSION = 1


def checked_backbone(experiment: Experiment) -> str:
    """Name of the run's network. Raises ValueError where peers cannot begin with its weights."""
    features = experiment.settings.features
    if features.backbone not in PACKAGED_BACKBONES or features.weights != "default":
        known = ", ".join(PACKAGED_BACKBONES)
        raise ValueError(
            f"run: {experiment.run.path}: features.backbone: expected one of {known} with features.weights default, "
            f"got {features.backbone} with {features.weights}"
        )
    return features.backbone


def training_seconds(experiment: Experiment, photos: int) -> float:
    """Wall seconds from nothing to a detector that learns from so many photos, by the record of the run's stages.

    What was done of other photos, too, counts for as many. Raises ValueError where a stage has no time on record.
    """
    stages, total = experiment.run.read()["stages"], 0.0
    for name in (one.name for one in STAGES[: STAGES.index(DETECTIONS)] if one.wanted(experiment)):
        facts = {"made": len(experiment.train_images), **stages.get(name, {})}
        if "seconds" not in facts or not facts["made"]:
            raise ValueError(
                f"{experiment.run.record_file}: stages: {name}: expected the seconds that it took, found none; "
                "--minutes says how long the run took"
            )
        total += facts["seconds"] * photos / facts["made"]
    return total


def divided(experiment: Experiment, share: float | None) -> tuple[list[AnnotatedImage], list[AnnotatedImage]]:
    """(photos that are trained on, photos that are measured on); see --share. Equal photos are on one side."""
    images = usable(experiment, experiment.train_images)
    if share is None:
        return images, experiment.test_images
    names = {one.image_id: [experiment.classes[label] for label in one.labels] for one in images}
    sides = split_images(names, share, experiment.settings.dataset.seed, experiment.source.image_keys)
    by_id = {one.image_id: one for one in images}
    return tuple([by_id[image_id] for image_id in side] for side in sides)


def ours(
    experiment: Experiment, trained_on: Sequence[AnnotatedImage], measured: Sequence[AnnotatedImage] | None
) -> tuple[Detector, list[Detections]]:
    """The run's detector and its detections of the test photos; or, of the photos `measured`, of a detector whose SVMs
    and regressors are trained once more, on `trained_on`.
    """
    detector, source, work = Detector.load(experiment.run.detector), experiment.source, experiment.work
    if measured is None:
        return detector, read_detections(experiment)
    progress(f"{OURS}: SVMs and regressors of {len(trained_on)} photos")
    settings, count = experiment.settings, len(experiment.classes)
    svm = settings.svm.for_photos(len(trained_on))
    svms, _ = train_linear_svms(source, trained_on, count, svm, settings.features.layer, work)
    regressors = detector.regressors and train_box_regressors(source, trained_on, count, settings.regression, work)
    detector = replace(detector, svms=svms, regressors=regressors)
    how = detector.postprocess_settings
    return detector, [detector.detect_proposals(*source.inputs(image, how)) for image in measured]


@dataclass(frozen=True)
class Comparison:
    """What peers are trained and measured on, and for how many times `seconds`. folder: of their checkpoints."""

    experiment: Experiment
    trained_on: Sequence[AnnotatedImage]
    measured: Sequence[AnnotatedImage]
    seconds: float
    threads: int
    seed: int
    folder: Path

    def trained(self, recipe: Recipe, times: float) -> PeerTraining:
        """A peer, trained so many times as long; goes on from its checkpoint, which is named by all that decides it."""
        backbone, classes = checked_backbone(self.experiment), self.experiment.classes
        photos, seconds = annotations_key(self.trained_on, self.experiment.source.image_keys), times * self.seconds
        key = fingerprint(_VERSION, recipe, backbone, list(classes), photos, seconds, self.threads, self.seed)
        file = self.folder / f"{recipe.name}-{times:g}-{key}.safetensors"
        build = partial(PeerTraining, recipe, backbone, self.trained_on, len(classes), self.seed)
        training = build()
        if not training.resume(file):
            steps, training = steps_in(seconds, training), build()
            training.steps = steps
        training.run(file, f"{recipe.name}, {times:g} times as long")
        return training

    def row(self, name: str, found: Sequence[Detections], **facts: Any) -> Row:
        """A row of the table: the facts, and mAP by each measure with its interval."""
        row: Row = {"detector": name, **facts}
        for measure, how in MEASURES.items():
            result = evaluate(found, self.measured, self.experiment.classes, **how)
            bounds = intervals(result, IntervalSettings()).mean_ap
            shown = f"{bounds.low:.3f} to {bounds.high:.3f}" if bounds else ""
            row |= {measure: result.mean_ap, f"{measure}_interval": shown}
        return row

    def row_of_peer(self, training: PeerTraining, times: float) -> Row:
        """The row of a trained peer."""
        name, found = training.recipe.name, []
        for image in usable(self.experiment, self.measured):
            found.append(find(training.model, image))
            progress(f"{name}: {len(found)}/{len(self.measured)} photos")
        facts = {"minutes": training.seconds / 60, "steps": training.done}
        facts |= {"epochs": training.done / training.steps_an_epoch}
        sizes = (int(np.prod(shape)) for shape in state_names(training.model).values())
        return self.row(name, found, times=times, **facts, parameters_M=sum(sizes) / 1e6)


def parameters_of(detector: Detector) -> float:
    """10^6 numbers that a detector has learned or was given."""
    parts = [one.to_arrays()[0] for one in (detector.svms, detector.regressors) if one is not None]
    return sum(value.size for part in (*parts, detector.extractor.state()) for value in part.values()) / 1e6


def cost(
    detector: Detector, peers: Mapping[str, nn.Module], images: Sequence[AnnotatedImage], repeats: int
) -> list[Row]:
    """A row a detector: CPU milliseconds of one thread for a photo, from its file to its detections."""
    finders = {OURS: lambda image: detector.detect(image.path, threads=1)}
    finders |= {name: partial(find, model) for name, model in peers.items()}
    methods = {name: lambda one=one: [one(image) for image in images] for name, one in finders.items()}
    with limit_threads(1):
        timings = take_turns(methods, repeats, "ms a photo")
    return [{"detector": name, "cpu_ms": 1000 * one.cpu_s / len(images)} for name, one in timings.items()]


def benchmark(
    run: str | None = None,
    times: tuple[PositiveFloat, ...] = (),
    minutes: PositiveFloat | None = None,
    peers: tuple[Literal["faster_rcnn", "ssdlite"], ...] = (FASTER_RCNN.name, SSDLITE.name),
    share: float | None = None,
    faster_rcnn: FasterRCNNRecipe = FASTER_RCNN,
    ssdlite: SSDLiteRecipe = SSDLITE,
    threads: PositiveInt = 2,
    seed: int = 0,
    photos: NonNegativeInt = 10,
    repeats: PositiveInt = 3,
    out: str = harness.OUT,
) -> Tables:
    """Compare with detectors of torchvision; see the head of this file. Takes hours.

    Args:
        run: Folder of a finished run, e.g. with --preset balanced and as many --workers as peers have threads.
        times: How many times as long as the run each peer is trained, each of these anew, e.g. [1,10].
        minutes: How long the run took, from nothing to its detector; None: by its record.
        peers: Of faster_rcnn and ssdlite.
        share: Part of the training photos, stratified by class, to measure on in place of the test photos. None: the
            run's own split.
        faster_rcnn: How it is trained.
        ssdlite: How it is trained.
        threads: Threads that train.
        seed: Of new layers, order and change of photos, and samples.
        photos: Photos that are timed; 0: none.
        repeats: Runs of each timing.
        out: Folder in which checkpoints are kept.
    """
    if run is None or not times:
        print("peers: left out without --run RUN and --times [1,10]: it takes hours")
        return
    experiment = open_run(run) if share is None else frozen_run("peers", run)
    checked_backbone(experiment)
    trained_on, measured = divided(experiment, share)
    seconds = 60 * minutes if minutes else training_seconds(experiment, len(trained_on))
    comparison = Comparison(experiment, trained_on, measured, seconds, threads, seed, Path(out) / "peers")
    where = "test photos" if share is None else "training photos held out"
    title = f"mAP on {len(measured)} {where}, {len(trained_on)} trained on, {threads} threads, seed {seed}"
    recipes, models = {one.name: one for one in (faster_rcnn, ssdlite)}, {}
    with limit_threads(threads):
        detector, found = ours(experiment, trained_on, None if share is None else measured)
        facts = {"times": 1.0, "minutes": seconds / 60, "steps": "", "epochs": ""}
        rows = [comparison.row(OURS, found, **facts, parameters_M=parameters_of(detector))]
        yield title, rows
        for factor, name in product(times, peers):
            training = comparison.trained(recipes[name], factor)
            models[f"{name}, {factor:g} times"] = training.model
            rows.append(comparison.row_of_peer(training, factor))
            yield title, rows
    if photos:
        yield "CPU time of a photo, one thread", cost(detector, models, usable(experiment, measured)[:photos], repeats)
    progress("")
