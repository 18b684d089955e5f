"""How good a detector gets with few training photos: mAP on a run's test split, mean and spread over draws of photos.

A draw puts the training photos into a random order and takes, for every class, the first so many that show it, or all
that there are; all objects in them are used. So a draw's photos of a smaller number are among those of a larger one,
and all ways of training see the same photos. SVMs are trained as tools/train_svm.py does, but to a wider duality gap,
and without box regression. Proposals and maps are the run's; those that are absent are made and kept, mirrored ones
too. The test photos are pooled once for all detectors of a draw, and every detector scores all of their proposals.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks import measure
from rich.console import Console

from detection import config
from detection.commands.session import open_experiment
from detection.engines import limit_threads
from detection.evaluation import evaluate
from detection.features import FeatureExtractor
from detection.learning import LinearSVMs, postprocess
from detection.pipeline.experiment import Experiment
from detection.pipeline.finetune import finetune_layers, write_head
from detection.pipeline.source import uses_finetuned
from detection.pipeline.train import train_linear_svms
from detection.types import AnnotatedImage, Detections, RegionFeatures

# Way of training -> settings of the SVMs beyond the run's.
JITTERED = 4
FINETUNED = "finetuned"
WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "mirrored": {"mirrored_positives": True},
    "jittered": {"jittered_positives": JITTERED},
    "both": {"mirrored_positives": True, "jittered_positives": JITTERED},
    FINETUNED: {},
}
FINETUNED_CONFIG = Path(__file__).resolve().parents[2] / "configs" / "finetuned.yaml"
ALL = "all"


@dataclass(frozen=True)
class Trained:
    """One detector: SVMs of a draw's photos. photos_a_class: a number or "all". extractor: of their vectors."""

    photos_a_class: int | str
    draw: int
    way: str
    photos: int
    objects: int
    svms: LinearSVMs
    extractor: FeatureExtractor


def draw_photos(
    images: Sequence[AnnotatedImage], num_classes: int, photos_a_class: int, seed: Sequence[int]
) -> list[AnnotatedImage]:
    """The photos of one draw, in the data set's order; see the head of this file."""
    order = np.random.default_rng(seed).permutation(len(images))
    chosen: set[int] = set()
    for label in range(num_classes):
        chosen.update([place for place in order if label in images[place].labels][:photos_a_class])
    return [images[place] for place in sorted(chosen)]


def scarce_classes(images: Sequence[AnnotatedImage], classes: Sequence[str], photos_a_class: int) -> dict[str, int]:
    """Class -> photos that show it, of the classes on fewer photos than asked for."""
    counts = {name: sum(label in one.labels for one in images) for label, name in enumerate(classes)}
    return {name: count for name, count in counts.items() if count < photos_a_class}


def train(
    experiment: Experiment, images: Sequence[AnnotatedImage], way: str, tolerance: float
) -> tuple[LinearSVMs, FeatureExtractor]:
    """SVMs trained on `images`, and the extractor of the vectors that they see."""
    settings = replace(experiment.settings.svm, tolerance=tolerance, **WAYS[way])
    source, count, work = experiment.source, len(experiment.classes), experiment.work
    layer = experiment.settings.features.layer
    with tempfile.TemporaryDirectory() as folder:
        if way == FINETUNED:
            wanted, _ = config.parse(config.build_parser(""), ["--config", str(FINETUNED_CONFIG)])
            layer, settings = wanted.features.layer, replace(settings, C=wanted.svm.C)
            features = replace(source.feature_settings, layer=layer, head=wanted.features.head)
            source = replace(source, feature_settings=features, head_file=Path(folder) / "head.safetensors")
            head, _ = finetune_layers(source, images, count, experiment.settings.finetune, Path(folder), way, work)
            write_head(source.head_file, head, way)
        svms, _ = train_linear_svms(source, images, count, settings, layer, work)
        return svms, source.extractor()


def detectors(
    experiment: Experiment, photos: Sequence[int | str], draw: int, ways: Sequence[str], tolerance: float
) -> list[Trained]:
    """Every way of training on one draw of every number of photos."""
    images, seed = experiment.usable_training_images(), [experiment.settings.svm.seed, draw]
    found = []
    for count in photos:
        chosen = images if count == ALL else draw_photos(images, len(experiment.classes), count, seed)
        objects = sum(len(one.labels) for one in chosen)
        for way in ways:
            done = f"draw {draw + 1}, training {len(found) + 1}/{len(photos) * len(ways)}"
            measure.progress(f"{done}: {count} photos a class, {way}")
            svms, extractor = train(experiment, chosen, way, tolerance)
            found.append(Trained(count, draw, way, len(chosen), objects, svms, extractor))
    return found


def detect(experiment: Experiment, trained: Sequence[Trained]) -> list[list[Detections]]:
    """[detector][image]: what each detector finds in the test images."""
    images, source, classes = experiment.test_images, experiment.source, len(experiment.classes)
    # Detectors that see the same vectors are one with all of their classes.
    groups: dict[int, list[int]] = {}
    for place, one in enumerate(trained):
        groups.setdefault(id(one.extractor), []).append(place)
    joined = {key: reduce(LinearSVMs.joined, (trained[place].svms for place in group)) for key, group in groups.items()}
    found: list[list[Detections]] = [[] for _ in trained]
    for number, image in enumerate(images):
        pool5 = source.pooling_extractor().pool(source.pyramid(image), source.proposals(image).boxes)
        for key, group in groups.items():
            vectors = _vectors(trained[group[0]].extractor, pool5, joined[key].layer)
            scores = joined[key].region_scores(vectors)
            every = postprocess(scores, image.size, experiment.settings.postprocess)
            for place, part in zip(group, split_classes(every, classes, len(group)), strict=True):
                found[place].append(part)
        measure.progress(f"test photos: {number + 1}/{len(images)}")
    measure.progress("")
    return found


def _vectors(extractor: FeatureExtractor, pool5: RegionFeatures, layer: str) -> RegionFeatures:
    return pool5 if layer == "pool5" else extractor.head(pool5, layer)


def split_classes(found: Detections, classes: int, parts: int) -> Iterable[Detections]:
    """Detections of `parts` detectors joined class by class, each detector's apart, with its own labels."""
    for part in range(parts):
        rows = found.labels // classes == part
        yield Detections(found.image_id, found.boxes[rows], found.scores[rows], found.labels[rows] - part * classes)


def measured(experiment: Experiment, trained: Sequence[Trained]) -> list[dict[str, Any]]:
    """A row a detector: what it was trained on, and its mAP."""
    rows = []
    for one, found in zip(trained, detect(experiment, trained), strict=True):
        result = evaluate(found, experiment.test_images, experiment.classes, **vars(experiment.settings.evaluation))
        row = {name: getattr(one, name) for name in ("photos_a_class", "draw", "way", "photos", "objects")}
        rows.append(row | {"mAP": float(result.mean_ap or 0.0)})
    return rows


def means(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row a number of photos: mean mAP of every way over the draws, its standard deviation, mean number of photos."""
    found: dict[int | str, dict[str, Any]] = {}
    for count, way in dict.fromkeys((row["photos_a_class"], row["way"]) for row in rows):
        of_both = [row for row in rows if (row["photos_a_class"], row["way"]) == (count, way)]
        values, photos = [row["mAP"] for row in of_both], float(np.mean([row["photos"] for row in of_both]))
        mean = found.setdefault(count, {"photos_a_class": count, "photos": photos, "draws": len(values)})
        mean[way] = float(np.mean(values))
        if len(values) > 1:
            mean[f"{way}_error"] = float(np.std(values, ddof=1))
    return list(found.values())


def benchmark(
    run: str | None = None,
    photos: list[int] = [],  # noqa: B006 (jsonargparse reads it, nothing changes it)
    draws: int = 5,
    ways: list[str] = ["plain", "mirrored"],  # noqa: B006
    everything: bool = False,
    tolerance: float = 1e-3,
    out: str = "runs/benchmark",
) -> None:
    """Measure mAP with few training photos; see the head of this file. Takes minutes to hours.

    Args:
        run: Folder of a run that has proposals and maps, e.g. after tools/extract_features.py; its settings are used.
        photos: Numbers of photos a class, e.g. [5,10,20,50].
        draws: Random draws of each number.
        ways: plain (as the run's settings say), mirrored, jittered (4 boxes beside each object), both; finetuned: fc6
            and fc7 trained on the same photos, with layer, head and C of configs/finetuned.yaml.
        everything: Train on all photos too.
        tolerance: Largest duality gap of a trained class, as a part of its objective.
        out: Folder of benchmark.json and benchmark.md.
    """
    unknown = [way for way in ways if way not in WAYS]
    if unknown or not ways:
        raise ValueError(f"ways: expected some of {', '.join(WAYS)}, got {unknown or ways}")
    if draws < 1 or any(count < 1 for count in photos):
        raise ValueError(f"draws, photos: expected numbers >= 1, got {draws} and {photos}")
    if run is None or not (photos or everything):
        print("few_photos: left out without --run RUN and --photos [5,10,20,50]: it takes long")
        measure.keep(out, "few_photos", {})
        return
    settings, _ = config.parse(config.build_parser("benchmark"), [f"--run={run}", "--workers=1"])
    if uses_finetuned(settings.features):
        raise ValueError(f"run: {run}: expected one without fine-tuned layers, which have seen all of its photos")
    experiment = open_experiment(settings, console=Console(file=io.StringIO()))
    scarce = scarce_classes(experiment.usable_training_images(), experiment.classes, max(photos, default=0))
    for name, count in scarce.items():
        print(f"{name} is on {count} photos: all of them are used where more are asked for")
    rows: list[dict[str, Any]] = []
    for draw in range(draws if photos else 1):
        numbers = [*photos, ALL] if everything and not draw else photos
        with limit_threads(experiment.work.threads):
            rows += measured(experiment, detectors(experiment, numbers, draw, ways, tolerance))
        # After every draw: an interrupted measurement has those before.
        measure.keep(
            out, "few_photos", {"mAP, mean and standard deviation over the draws": means(rows), "Every detector": rows}
        )


def main(arguments: list[str]) -> int:
    """Run the command line; returns the exit status."""
    return measure.run(benchmark, "few_photos", arguments)
