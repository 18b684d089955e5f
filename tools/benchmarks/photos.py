"""Mining and box regression over many photos, whose boxes and vectors are made up when they are asked for.

A proposal's vector has its best object's pattern, as strong as they overlap, in noise. Both are stopped at random
images and go on from what they kept on disk, as a run does. Memory is the most that the process held, with the file of
rows that mining maps into it.
"""

import gc
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
from benchmarks.harness import Row, Tables, measured
from benchmarks.inputs import random_boxes
from jsonargparse.typing import NonNegativeInt, PositiveInt

from detection.geometry import iou
from detection.learning import (
    BoxRegressors,
    LinearSVMs,
    MiningCheckpoint,
    MiningLog,
    RegressionCheckpoint,
    RegressionSettings,
    SVMSettings,
    TrainingRegions,
    train_regressors,
    train_svms,
)
from detection.types import RegionFeatures

SIZE, OBJECTS, PROPOSALS = (375, 500), 3, 24
# Part of a side by which a proposal lies beside its object, and standard deviation of the noise.
MOVED, NOISE = 0.25, 0.3
# Between two states of regression: stops come sooner here than in a minute.
SECONDS = 1.0
Learned = TypeVar("Learned")
OnProgress = Callable[[str, int], None]
# Boxes to draw from.
POOL = random_boxes(10_000, SIZE)


class StoppedError(Exception):
    """A learner was interrupted on purpose."""


class MadeUp:
    """So many photos of so many classes, with vectors of `length` values: the same whenever they are asked for."""

    def __init__(self, photos: int, classes: int, length: int) -> None:
        self.photos, self.patterns = photos, np.random.default_rng(1).normal(0, 1, (classes, length))

    def __call__(self, after: str | None = None) -> Iterator[TrainingRegions]:
        """The photos behind `after`, None: all."""
        for number in range(0 if after is None else int(after) + 1, self.photos):
            yield self.photo(number)

    def photo(self, number: int) -> TrainingRegions:
        """The photo of a number."""
        rng = np.random.default_rng([0, number])
        objects, others = np.split(POOL[rng.integers(0, len(POOL), OBJECTS + PROPOSALS)], [OBJECTS])
        near = np.tile(objects, (PROPOSALS // (2 * OBJECTS), 1))
        sides = np.tile(near[:, 2:] - near[:, :2], 2)
        others[: len(near)] = near + (rng.uniform(-MOVED, MOVED, near.shape) * sides / 2).astype(np.float32)
        labels = rng.integers(0, len(self.patterns), OBJECTS)
        vectors = [
            self._vectors(rng, name, boxes, objects, labels) for name, boxes in ((number, others), (number, objects))
        ]
        return TrainingRegions(*vectors, labels, np.zeros(OBJECTS, bool))

    def _vectors(self, rng, number: int, boxes: np.ndarray, objects: np.ndarray, labels: np.ndarray) -> RegionFeatures:
        pairs = iou(boxes, objects)
        values = self.patterns[labels[pairs.argmax(axis=1)]] * pairs.max(axis=1)[:, None]
        values += rng.normal(0, NOISE, values.shape)
        return RegionFeatures(str(number), boxes, values.astype(np.float32), "pool5")


def interrupted(learn: Callable[[OnProgress], Learned], images: int, stops: int) -> tuple[Learned, int]:
    """(what `learn` returns, how often it was stopped): at random, `stops` times in the mean of so many images."""
    rng, stopped = np.random.default_rng(2), 0
    while True:
        # A stop needs one image of progress at least, or chance could go on for ever.
        left = images + 1 if stopped >= 2 * stops else int(rng.exponential(images / stops)) + images // (4 * stops) + 8
        try:
            return learn(_stopping(left)), stopped
        except StoppedError:
            stopped += 1
        # A run that goes on is another process, which has nothing of the stopped one in memory.
        gc.collect()


def mined(source: MadeUp, settings: SVMSettings, stops: int, folder: Path) -> tuple[tuple[LinearSVMs, MiningLog], int]:
    """((SVMs, log), how often it was stopped)."""
    checkpoint = MiningCheckpoint(folder / "mining", "key")
    return interrupted(
        lambda stopping: train_svms(source, len(source.patterns), settings, stopping, checkpoint=checkpoint),
        source.photos * (1 + settings.least_passes),
        stops,
    )


def regressed(source: MadeUp, settings: RegressionSettings, stops: int, folder: Path) -> tuple[BoxRegressors, int]:
    """(regressors, how often the pass was stopped)."""

    def learn(stopping: OnProgress) -> BoxRegressors:
        checkpoint = RegressionCheckpoint(folder / "regression", "key")
        checkpoint.SECONDS = SECONDS
        return train_regressors(source, len(source.patterns), settings, stopping, checkpoint=checkpoint)

    return interrupted(learn, source.photos, stops)


def _stopping(images: int) -> OnProgress:
    """Progress that stops a learner after so many images."""
    left = iter(range(images))

    def on_progress(*_: object) -> None:
        if next(left, None) is None:
            raise StoppedError

    return on_progress


def benchmark(
    photos: tuple[PositiveInt, ...] = (1000, 10000),
    classes: tuple[PositiveInt, ...] = (20, 80),
    length: PositiveInt = 128,
    max_positives: PositiveInt = 300,
    max_examples: PositiveInt = 300,
    memory_mib: PositiveInt = 64,
    stops: NonNegativeInt = 4,
) -> Tables:
    """Measure how learning grows with the photos; see the head of this file.

    Args:
        photos: Numbers of photos; 100,000 take some minutes.
        classes: Numbers of classes.
        length: Values of a vector.
        max_positives: Positives that a class keeps, as svm.max_positives.
        max_examples: Examples of regression that a class keeps, as regression.max_examples.
        memory_mib: As svm.memory_mib.
        stops: How often each is interrupted, in the mean; 0: never.
    """
    rows: list[Row] = []
    settings = SVMSettings(max_positives=max_positives, memory_mib=memory_mib)
    for count in classes:
        for number in sorted(photos):
            source, steps = MadeUp(number, count, length), []
            with tempfile.TemporaryDirectory(prefix="benchmark-photos-") as name:
                folder, regression = Path(name), RegressionSettings(max_examples=max_examples)
                (_, log), stopped = measured("mining", lambda: mined(source, settings, stops, folder), steps)  # noqa: B023
                _, again = measured("regression", lambda: regressed(source, regression, stops, folder), steps)  # noqa: B023
            facts = {"stopped": f"{stopped}, {again}", "positives": sum(log.positives), "rows": log.peak_rows}
            rows.append({"classes": count, "photos": number, **facts})
            for step in steps:
                rows[-1] |= {
                    f"{step['step']}_ms_a_photo": 1000 * step["s"] / number,
                    f"{step['step']}_MiB": step["peak_MiB"],
                }
            yield f"Learning from made-up photos, vectors of {length} values", rows
