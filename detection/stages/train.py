"""Stages: linear SVMs and box regressors from the vectors of a training set."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path

from detection.learning import (
    BoxRegressors,
    LinearSVMs,
    MiningEntry,
    MiningLog,
    RegressionSettings,
    SVMSettings,
    TrainingRegions,
    norm_sample_images,
    train_regressors,
    train_svms,
)
from detection.stages.source import ImageSource
from detection.stages.work import Work, guarded, prefetch, progress
from detection.storage import write_text
from detection.types import AnnotatedImage


def _stream(
    source: ImageSource,
    images: Sequence[AnnotatedImage],
    layer: str,
    work: Work,
    advance: Callable[[], None],
    sampled: frozenset[int] | None = None,
) -> Iterator[TrainingRegions]:
    """Every image's vectors in order; windows are left out where `sampled` lacks the image's position."""

    def task(item: tuple[int, AnnotatedImage]):
        position, image = item
        with_windows = sampled is None or position in sampled
        return guarded(lambda one: source.training_regions(one, layer, with_windows), image)

    for regions, problem in prefetch(task, enumerate(images), ahead=work.workers - 1):
        advance()
        if problem is not None:
            work.problems.extend([problem])
        else:
            yield regions


def train_linear_svms(
    source: ImageSource,
    images: Sequence[AnnotatedImage],
    num_classes: int,
    settings: SVMSettings,
    layer: str,
    work: Work,
) -> tuple[LinearSVMs, MiningLog]:
    """Mine hard negatives over `images` and train one SVM a class on vectors of `layer`.

    images: those whose windows and maps are there; they are gone through once for the positives and once a
    mining pass.
    """
    sampled = frozenset(norm_sample_images(len(images), settings.norm).tolist())
    with progress(work.console, "SVMs", (1 + settings.passes) * len(images)) as advance:
        return train_svms(
            lambda: _stream(source, images, layer, work, advance),
            num_classes,
            settings,
            first_pass=lambda: _stream(source, images, layer, work, advance, sampled),
        )


def train_box_regressors(
    source: ImageSource,
    images: Sequence[AnnotatedImage],
    num_classes: int,
    settings: RegressionSettings,
    work: Work,
) -> BoxRegressors:
    """Train one box regressor a class on pooled vectors (paper, section 4.1: pool5); `images` as for the SVMs."""
    with progress(work.console, "box regression", len(images)) as advance:
        return train_regressors(lambda: _stream(source, images, "pool5", work, advance), num_classes, settings)


SAMPLE_COLUMNS = ("class", "kind", "image_id", "x1", "y1", "x2", "y2", "margin", "alpha")
POSITIVE, NEGATIVE = "positive", "negative"


def write_training_samples(path: Path, log: MiningLog, classes: Sequence[str]) -> None:
    """Write one CSV line for every sample that the SVMs kept: box in px of the image, half-open, margin and alpha.

    kind: positive or negative. alpha: dual variable; those above 0 are the support vectors.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(SAMPLE_COLUMNS)
    for one in log.samples:
        for row, (image_id, box) in enumerate(zip(one.image_ids, one.boxes.tolist(), strict=True)):
            kind = POSITIVE if row < one.positives else NEGATIVE
            numbers = (*box, float(one.margins[row]), float(one.alphas[row]))
            writer.writerow([classes[one.label], kind, image_id, *(f"{number:.9g}" for number in numbers)])
    write_text(path, text.getvalue())


def write_mining_log(path: Path, log: MiningLog, classes: Sequence[str]) -> None:
    """Write one CSV line for every time that a class was trained: columns as in ``learning.MiningEntry``."""
    names = [one.name for one in fields(MiningEntry)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["class", *names[1:]])
    for entry in log.entries:
        writer.writerow([classes[entry.label], *(getattr(entry, name) for name in names[1:])])
    write_text(path, text.getvalue())
