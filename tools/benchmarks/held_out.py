"""What a way of making vectors of proposals is worth: learned on folds of a sample of photos, measured on the others.

Every way goes through the same steps: linear SVMs with mined negatives, box regression, suppression, VOC's mAP, on the
same photos, proposals and folds. C is chosen for each way from the same grid, by the mAP of the held-out detections
with box regression.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from benchmarks.measure import progress

from detection.data import DatasetSource, Problems, collect_classes, load_annotations, read_image
from detection.evaluation import Evaluation, evaluate
from detection.learning import (
    BoxRegressors,
    LinearSVMs,
    PostprocessSettings,
    RegressionSettings,
    SVMSettings,
    TrainingRegions,
    image_folds,
    postprocess,
    train_fold_svms,
    train_regressors,
    train_svms,
)
from detection.proposals import ProposalSettings, ProposalStore, propose
from detection.storage import file_fingerprint, fingerprint, read_arrays, write_arrays
from detection.types import AnnotatedImage, Detections, RegionFeatures

# (image, boxes (R, 4)) -> (R, D) float16: the vectors of an image's boxes under one way.
Vectors = Callable[[AnnotatedImage, np.ndarray], np.ndarray]
# Duality gap of the SVMs, as a part of the objective: they are compared and thrown away.
TOLERANCE = 5e-3
LAYER = "pool5"
# All that is the same for every way; C is each way's own.
SVMS = replace(SVMSettings(), tolerance=TOLERANCE)
LEARNING = (SVMS, RegressionSettings(), PostprocessSettings())


@dataclass(frozen=True)
class Sample:
    """Photos with the proposals that are looked at, the same for every way. boxes: image id -> (G + R, 4) float32, the
    objects first.
    """

    classes: tuple[str, ...]
    images: tuple[AnnotatedImage, ...]
    boxes: Mapping[str, np.ndarray]

    @property
    def key(self) -> str:
        """16 hex digits of everything in it."""
        facts = [
            (one.image_id, file_fingerprint(one.path), one.labels, self.boxes[one.image_id]) for one in self.images
        ]
        return fingerprint(self.classes, facts)


def draw_sample(source: DatasetSource, classes: Sequence[str], count: int, proposals: int, cache: Path) -> Sample:
    """The first `count` images of a split in the order of a hash of their ids, each with its first proposals.

    proposals: of selective search under the default settings, in its own order; they are kept in `cache`.
    """
    images = sorted(load_annotations([source], classes, Problems()), key=lambda one: fingerprint(one.image_id))[:count]
    boxes = {}
    for place, image in enumerate(images):
        found = proposals_of(image, cache)[:proposals]
        boxes[image.image_id] = np.concatenate([image.boxes, found])
        progress(f"proposals: {place + 1}/{len(images)} photos")
    progress("")
    return Sample(tuple(classes), tuple(images), boxes)


def proposals_of(image: AnnotatedImage, cache: Path) -> np.ndarray:
    """(R, 4) float32: all proposals of an image under the default settings, kept in `cache`."""
    store, key = ProposalStore(cache / "proposals", ProposalSettings()), file_fingerprint(image.path)
    found = store.read(image.image_id, key)
    if found is None:
        found = propose(image.image_id, read_image(image.path, image.size), ProposalSettings())
        store.write(found, key)
    return found.boxes


def training_classes(source: DatasetSource) -> tuple[str, ...]:
    """The class list of a training split."""
    return collect_classes([source], Problems())


@dataclass(frozen=True)
class Pool:
    """The vectors of a sample under one way. values: image id -> (G + R, D) float16."""

    sample: Sample
    values: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, sample: Sample, vectors: Vectors, label: str) -> Pool:
        """Compute them, with progress."""
        values = {}
        for place, image in enumerate(sample.images):
            values[image.image_id] = vectors(image, sample.boxes[image.image_id]).astype(np.float16)
            progress(f"{label}: vectors of {place + 1}/{len(sample.images)} photos")
        progress("")
        return cls(sample, values)

    def regions(self, image: AnnotatedImage) -> TrainingRegions:
        """What is learned from one image."""
        values, boxes = self.values[image.image_id].astype(np.float32), self.sample.boxes[image.image_id]
        objects, name = len(image.boxes), image.image_id
        return TrainingRegions(
            proposals=RegionFeatures(name, boxes[objects:], values[objects:], LAYER),
            objects=RegionFeatures(name, boxes[:objects], values[:objects], LAYER),
            labels=image.labels,
            difficult=image.difficult,
        )

    def stream(self, images: Sequence[AnnotatedImage]) -> Callable[[], Iterator[TrainingRegions]]:
        """What trainers read."""
        return lambda: map(self.regions, images)


@dataclass(frozen=True)
class Found:
    """Detections of every image of a sample, without and with box regression, and the C they are of."""

    C: float
    plain: tuple[Detections, ...]
    refined: tuple[Detections, ...]


def held_out(pool: Pool, costs: Sequence[float], folds: int, seed: int) -> Found:
    """Detections by SVMs and regressors of the other folds, at the C of `costs` that has the best mAP."""
    sample = pool.sample
    fold_of = image_folds([one.image_id for one in sample.images], folds, seed)
    settings = [replace(SVMS, C=one) for one in costs]
    machines, _ = train_fold_svms(pool.stream(sample.images), len(sample.classes), settings, fold_of)
    regressors = []
    for fold in range(folds):
        others = [one for one in sample.images if fold_of[one.image_id] != fold]
        regressors.append(train_regressors(pool.stream(others), len(sample.classes), RegressionSettings()))
    tried = [
        _detections(pool, cost, [of_folds[fold_of[one.image_id]] for one in sample.images],
                    [regressors[fold_of[one.image_id]] for one in sample.images])
        for cost, of_folds in zip(costs, machines, strict=True)
    ]  # fmt: skip
    return max(tried, key=lambda one: evaluated(sample, one.refined).mean_ap or 0.0)


def transferred(pool: Pool, others: Pool, cost: float) -> Found:
    """Detections in the images of `others` by SVMs and regressors of all images of `pool`."""
    settings = replace(SVMS, C=cost)
    stream, classes, count = pool.stream(pool.sample.images), len(pool.sample.classes), len(others.sample.images)
    machines, _ = train_svms(stream, classes, settings)
    regressors = train_regressors(stream, classes, RegressionSettings())
    return _detections(others, cost, [machines] * count, [regressors] * count)


def _detections(pool: Pool, cost: float, machines: Sequence[LinearSVMs], regressors: Sequence[BoxRegressors]) -> Found:
    """machines, regressors: one an image."""
    plain, refined = [], []
    for image, svms, boxes in zip(pool.sample.images, machines, regressors, strict=True):
        proposals = pool.regions(image).proposals
        scores = svms.region_scores(proposals)
        plain.append(postprocess(scores, image.size))
        refined.append(postprocess(boxes.refine(scores, proposals), image.size))
    return Found(cost, tuple(plain), tuple(refined))


def evaluated(sample: Sample, detections: Sequence[Detections]) -> Evaluation:
    """The evaluation of detections in a sample, VOC 2007's."""
    return evaluate(detections, sample.images, sample.classes)


def write_found(path: Path, found: Found) -> None:
    """Keep detections, so that a table can be made anew."""
    arrays = {}
    for name, records in (("plain", found.plain), ("refined", found.refined)):
        for field in ("boxes", "scores", "labels"):
            arrays[f"{name}.{field}"] = np.concatenate([getattr(one, field) for one in records])
        arrays[f"{name}.counts"] = np.array([len(one.scores) for one in records])
    write_arrays(path, arrays, {"C": repr(found.C)})


def read_found(path: Path, sample: Sample) -> Found:
    """The inverse of `write_found` for the sample it was of."""
    arrays, metadata = read_arrays(path)
    records = []
    for name in ("plain", "refined"):
        ends = np.cumsum(arrays[f"{name}.counts"])[:-1]
        parts = (np.split(arrays[f"{name}.{field}"], ends) for field in ("boxes", "scores", "labels"))
        ids = (one.image_id for one in sample.images)
        records.append(tuple(Detections(*one) for one in zip(ids, *parts, strict=True)))
    return Found(float(metadata["C"]), *records)
