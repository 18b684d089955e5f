"""Stages: linear SVMs and box regressors from the vectors of a training set."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from detection.learning import (
    BoxRegressors,
    ExtraPositives,
    LinearSVMs,
    MiningCheckpoint,
    MiningEntry,
    MiningLog,
    NormSettings,
    RegressionSettings,
    SVMSettings,
    TrainingRegions,
    example_rows,
    norm_sample_images,
    norm_sample_proposals,
    thinned,
    train_regressors,
    train_svms,
)
from detection.pipeline.source import Choice, ImageSource
from detection.pipeline.work import Work, guarded, prefetch, progress
from detection.storage import write_text
from detection.types import AnnotatedImage

_COUNTS = ("added", "evicted", "left_out")
# Images whose vectors are made ahead, per thread: some 40 MB each, with 1,700 proposals of 6,048 values.
_AHEAD = 3
# (An image's position, the image) -> which of its proposals are pooled.
ChoiceOf = Callable[[int, AnnotatedImage], Choice]


def stream_images(
    source: ImageSource,
    images: Sequence[AnnotatedImage],
    layer: str,
    work: Work,
    advance: Callable[[], None],
    choice_of: ChoiceOf | None = None,
    after: str | None = None,
    extra: ExtraPositives | None = None,
    thin: Callable[[TrainingRegions], TrainingRegions] = lambda regions: regions,
) -> Iterator[TrainingRegions]:
    """Every image's vectors in order.

    choice_of: which proposals of an image are pooled; None: all of all. after: the images behind this one alone. extra:
    positives made of the objects. thin: leaves proposals out once they are pooled.
    """
    first = 0 if after is None else [one.image_id for one in images].index(after) + 1

    def task(item: tuple[int, AnnotatedImage]):
        position, image = item
        choose = None if choice_of is None else choice_of(position, image)
        return guarded(lambda one: thin(source.training_regions(one, layer, choose, extra)), image)

    # All threads while nobody learns, and a stock for the time that a classifier takes.
    threads = work.workers if work.workers > 1 else 0
    for regions, problem in prefetch(task, islice(enumerate(images), first, None), threads, _AHEAD * threads):
        advance()
        if problem is not None:
            work.problems.extend([problem])
        else:
            yield regions


_NONE = np.zeros(0, np.int64)


def objects_alone(count: int, settings: SVMSettings) -> ChoiceOf:
    """Of `count` images what the pass for the positives needs: no proposal but those of the sample of norms."""
    sampled = _NormRows(count, settings.norm)
    if not (settings.distinct_negatives or settings.negative_overlap is not None):
        return lambda position, _: lambda boxes: (_NONE, sampled.rows(position, len(boxes)))
    # The sample is drawn from the proposals that thinning leaves, which takes all of them.
    return lambda position, _: lambda boxes: (np.arange(len(boxes)) if position in sampled.images else _NONE, None)


def near_objects(count: int, settings: RegressionSettings) -> ChoiceOf:
    """Of `count` images what box regression needs: its examples, and the proposals of the sample of norms."""
    sampled = _NormRows(count, settings.norm)
    return lambda position, image: (
        lambda boxes: (
            example_rows(boxes, image.boxes, image.difficult, settings),
            sampled.rows(position, len(boxes)),
        )
    )


class _NormRows:
    """The proposals of `count` images that the sample of norms takes."""

    def __init__(self, count: int, settings: NormSettings) -> None:
        self.images, self._settings = frozenset(norm_sample_images(count, settings).tolist()), settings

    def rows(self, position: int, proposals: int) -> np.ndarray:
        """Those of the image at `position`, which has so many `proposals`."""
        return norm_sample_proposals(position, proposals, self._settings) if position in self.images else _NONE


def train_linear_svms(
    source: ImageSource,
    images: Sequence[AnnotatedImage],
    num_classes: int,
    settings: SVMSettings,
    layer: str,
    work: Work,
    checkpoint: MiningCheckpoint | None = None,
) -> tuple[LinearSVMs, MiningLog]:
    """Mine hard negatives over `images` and train one SVM a class on vectors of `layer`.

    images: those whose proposals and maps are there; they are gone through once for the positives and once a
    mining pass. checkpoint: where an interrupted training goes on, see ``learning.train_svms``. Classes are
    trained ``work.workers`` at a time.
    """
    positives = objects_alone(len(images), settings)
    done = checkpoint.images_done() if checkpoint else 0
    total = max((1 + settings.passes) * len(images), done)
    extra, thin = settings.extra_positives, partial(thinned, settings=settings)
    with progress(work.console, "SVMs", total, done) as advance, ThreadPoolExecutor(work.workers) as executor:

        def stream(after: str | None = None) -> Iterator[TrainingRegions]:
            return stream_images(source, images, layer, work, advance, after=after, thin=thin)

        def first_pass(after: str | None = None) -> Iterator[TrainingRegions]:
            return stream_images(source, images, layer, work, advance, positives, after, extra, thin)

        return train_svms(
            stream,
            num_classes,
            settings,
            first_pass=first_pass,
            executor=executor if work.workers > 1 else None,
            checkpoint=checkpoint,
        )


def train_box_regressors(
    source: ImageSource,
    images: Sequence[AnnotatedImage],
    num_classes: int,
    settings: RegressionSettings,
    work: Work,
) -> BoxRegressors:
    """Train one box regressor a class on pooled vectors (paper, section 4.1: pool5); `images` as for the SVMs."""
    near = near_objects(len(images), settings)
    with progress(work.console, "box regression", len(images)) as advance, ThreadPoolExecutor(work.workers) as executor:
        return train_regressors(
            lambda: stream_images(source, images, "pool5", work, advance, near),
            num_classes,
            settings,
            executor=executor if work.workers > 1 else None,
        )


# File of the samples in the folder of a detector, and what it holds.
SAMPLES = "samples.csv"
SAMPLE_COLUMNS = ("class", "kind", "image_id", "x1", "y1", "x2", "y2", "margin", "alpha")
POSITIVE, NEGATIVE = "positive", "negative"


def write_training_samples(path: Path, log: MiningLog, classes: Sequence[str], add: bool = False) -> None:
    """Write one CSV line for every sample that the SVMs kept: box in px of the image, half-open, margin and alpha.

    kind: positive or negative. alpha: dual variable; those above 0 are the support vectors. add: keep the lines of the
    other classes that the file has.
    """
    rows = [row for row in _sample_rows(path) if row[0] not in classes] if add else []
    for one in log.samples:
        for row, (image_id, box) in enumerate(zip(one.image_ids, one.boxes.tolist(), strict=True)):
            kind = POSITIVE if row < one.positives else NEGATIVE
            numbers = (*box, float(one.margins[row]), float(one.alphas[row]))
            rows.append([classes[one.label], kind, image_id, *(f"{number:.9g}" for number in numbers)])
    _write_samples(path, rows)


def rename_training_samples(path: Path, names: Mapping[str, str | None]) -> None:
    """Give classes in a file of samples other names, or none: their lines go."""
    if path.is_file():
        rows = [[names.get(row[0], row[0]), *row[1:]] for row in _sample_rows(path)]
        _write_samples(path, [row for row in rows if row[0] is not None])


def _sample_rows(path: Path) -> list[list[str]]:
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))[1:]


def _write_samples(path: Path, rows: Iterable[Sequence[str]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([SAMPLE_COLUMNS, *rows])
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


def mining_table(log: MiningLog, classes: Sequence[str]) -> str:
    """What each pass did to each class, one line each.

    negatives: kept after the pass. added, evicted: hard negatives found in the pass, and easy ones dropped.
    objective and gap (its duality gap, a part of it) are those of the pass's last training.
    """
    width = max([len("class"), *map(len, classes)])
    head = ("pass", "positives", "negatives", "added", "evicted", "objective", "gap")
    lines = [f"{'class':<{width}}  " + "  ".join(f"{name:>9}" for name in head)]
    groups: dict[tuple[int, int], list[MiningEntry]] = {}
    for entry in log.entries:
        groups.setdefault((entry.mining_pass, entry.label), []).append(entry)
    for (number, label), entries in sorted(groups.items()):
        last = entries[-1]
        added, evicted, left_out = (sum(getattr(one, key) for one in entries) for key in _COUNTS)
        counts = (number, last.positives, last.negatives - last.evicted, added, evicted)
        line = f"{classes[label]:<{width}}  " + "  ".join(f"{count:>9}" for count in counts)
        line += f"  {last.objective:>9.4g}  {last.gap / last.objective if last.objective else 0:>9.1e}"
        line += "" if last.converged else "  did not converge"
        lines.append(line + (f"  {left_out} left out for lack of memory" if left_out else ""))
    return "\n".join(lines)
