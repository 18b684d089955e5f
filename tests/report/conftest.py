"""Small runs to report on, and a browser to look at their pages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detection.evaluation import IntervalSettings, MissCause, diagnose, difference, evaluate, intervals, missed_rows
from detection.learning import Calibration
from detection.report import Comparison, ReportRun, write_report
from detection.types import AnnotatedImage, Detections

SIZE = (90, 120)
RECORD = {
    "settings": {"dataset": {"root": "photos", "test": [{"year": "VOC2007", "split": "test"}]}, "svm": {"C": 0.01}},
    "versions": {"python": "3.11"},
    "stages": {
        "svms": {"seconds": 12.5, "finished": "2026-01-02T03:04:05+0000", "peak_memory_mib": 900},
        "detections": {"seconds": 4.0, "finished": "2026-01-02T03:05:05+0000", "seconds_per_image": 0.25},
    },
}
MINING = (("class", "positives", "gap", "converged"), ("a", "10", "1.5e-06", "True"), ("b", "9", "", "False"))


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Some photos of 90x120 px."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("photos")
    paths = [folder / f"{i}.jpg" for i in range(12)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)).save(path, quality=60)
    return paths


@pytest.fixture(scope="session")
def make_run(photos: list[Path]) -> Callable[..., ReportRun]:
    """``make_run(classes, detected=True, ...)``: a run with three objects an image, most of them detected."""

    def make(
        classes: Sequence[str],
        detected: bool = True,
        seed: int = 0,
        resamples: int = 40,
        calibrated: bool = True,
        name: str = "run",
    ) -> ReportRun:
        # The same objects whatever the seed, so that runs can be compared.
        truth, rng = np.random.default_rng(7), np.random.default_rng(seed)
        images = [_image(i, path, len(classes), truth) for i, path in enumerate(photos)]
        found = [_detections(one, len(classes), rng) for one in images] if detected else []
        evaluation = evaluate(found, images, classes)
        causes = {
            (image_id, row): MissCause("no proposal", None, 0.0, None, 0.0, None)
            for image_id, rows in missed_rows(evaluation, images).items()
            for row in rows
        }
        return ReportRun(
            name=name,
            images=images,
            evaluation=evaluation,
            intervals=intervals(evaluation, IntervalSettings(resamples)),
            diagnosis=diagnose(evaluation, images, causes=causes),
            calibration=chosen(len(classes)) if calibrated else Calibration.fixed(len(classes)),
            mining=MINING,
            notes=("one note",),
            **RECORD,
        )

    return make


def chosen(count: int, threshold: float = -0.75) -> Calibration:
    """Of `count` classes; a margin of 0 is a probability of a half."""
    ones = np.ones(count)
    return Calibration(ones, 0 * ones, ones.astype(bool), threshold * ones)


def _image(place: int, path: Path, classes: int, rng: np.random.Generator) -> AnnotatedImage:
    boxes = np.array([[4, 6, 44, 60], [50, 10, 80, 80], [84, 30, 118, 88]], dtype=np.float32)
    labels = np.array([(3 * place + i) % classes for i in range(3)]) if place else rng.integers(0, classes, 3)
    return AnnotatedImage(f"image {place}", path, SIZE, boxes, labels.astype(np.int64), np.zeros(3, bool))


def _detections(image: AnnotatedImage, classes: int, rng: np.random.Generator) -> Detections:
    """One near each object, of its class or another; scores rise with both."""
    moved = image.boxes + rng.normal(0, 4, image.boxes.shape)
    boxes = np.clip(moved, 0, [SIZE[1], SIZE[0]] * 2).astype(np.float32)
    wrong = rng.random(len(boxes)) < 0.3
    labels = np.where(wrong, rng.integers(0, classes, len(boxes)), image.labels)
    scores = rng.normal(0, 1, len(boxes)) - wrong
    order = np.argsort(-scores)
    return Detections(image.image_id, boxes[order], scores[order].astype(np.float32), labels[order])


@pytest.fixture(scope="session")
def two(make_run: Callable[..., ReportRun]) -> tuple[ReportRun, Comparison]:
    """A run, and a second one with what they differ by."""
    first, second = (make_run(["cat", "dog"], seed=i, name=f"run{i}") for i in range(2))
    return first, Comparison(second, difference(first.evaluation, second.evaluation, IntervalSettings(60)))


@pytest.fixture(scope="session")
def written(
    make_run: Callable[..., ReportRun], tmp_path_factory: pytest.TempPathFactory
) -> tuple[ReportRun, list[Path]]:
    """(run, all files of its report)."""
    run = make_run(["cat", "dog", "cow"])
    return run, write_report(tmp_path_factory.mktemp("report") / "mine.html", run)
