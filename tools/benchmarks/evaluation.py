"""Evaluation and report of many photos: a made-up set of one picture, whose objects and detections are drawn.

Each step's wall seconds, and the most memory that the process held in it, all that is kept from the steps before
included. Detections of 7 in 10 objects lie near them and score high, all others anywhere.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from benchmarks.harness import Row, Tables, measured
from benchmarks.inputs import sample_paths
from jsonargparse.typing import PositiveInt

from detection.data import image_size, read_coco_results, write_coco_results, write_comp4
from detection.data.detection_columns import DetectionColumns, read_columns, write_columns
from detection.evaluation import IntervalSettings, at_thresholds, diagnose, evaluate, intervals
from detection.learning import Calibration
from detection.report import ReportRun, write_report
from detection.types import AnnotatedImage, Detections

OBJECTS, FOUND = 7, 0.7
# Sides of boxes in px.
LEAST_SIDE, MOST_SIDE = 10, 200


def made_up(photos: int, classes: int, each: int) -> tuple[list[AnnotatedImage], list[Detections]]:
    """(images with OBJECTS each, `each` detections of each image by descending score); seed 0."""
    rng, path = np.random.default_rng(0), sample_paths()[0]
    size = image_size(path)
    boxes, labels = _boxes(rng, photos * OBJECTS, size), rng.integers(0, classes, photos * OBJECTS)
    found_boxes, found_labels = _boxes(rng, photos * each, size), rng.integers(0, classes, photos * each)
    scores = rng.normal(-1, 0.5, photos * each).astype(np.float32)
    objects = np.flatnonzero(rng.random(photos * OBJECTS) < FOUND)
    rows = objects // OBJECTS * each + objects % OBJECTS
    found_boxes[rows], found_labels[rows] = boxes[objects] + rng.uniform(0, 2, (len(objects), 4)), labels[objects]
    found_boxes[rows] = np.minimum(found_boxes[rows], [*size[::-1]] * 2)
    scores[rows] += 2
    order = np.lexsort((-scores, np.repeat(np.arange(photos), each)))
    ids = tuple(f"{place:012d}" for place in range(photos))
    counts = np.full(photos, each)
    columns = DetectionColumns(ids, counts, found_boxes[order], scores[order], found_labels[order])
    easy = np.zeros(OBJECTS, bool)
    images = [
        AnnotatedImage(one, path, size, of_image, of_labels, easy)
        for one, of_image, of_labels in zip(
            ids, boxes.reshape(photos, OBJECTS, 4), labels.reshape(photos, OBJECTS), strict=True
        )
    ]
    return images, columns.records(ids)


def _boxes(rng: np.random.Generator, count: int, size: tuple[int, int]) -> np.ndarray:
    """(count, 4) float32 inside an image of `size` (height, width)."""
    sides = np.exp(rng.uniform(np.log(LEAST_SIDE), np.log(MOST_SIDE), (count, 2)))
    corners = rng.random((count, 2)) * (np.array(size[::-1]) - sides)
    return np.concatenate([corners, corners + sides], axis=1).astype(np.float32)


def benchmark(
    photos: tuple[PositiveInt, ...] = (1000, 10000),
    classes: PositiveInt = 80,
    detections: PositiveInt = 100,
    resamples: int = 1000,
    other_files: bool = True,
) -> Tables:
    """Measure evaluation and report; see the head of this file.

    Args:
        photos: Numbers of photos, a table each.
        classes: Classes.
        detections: Detections a photo.
        resamples: Of the intervals.
        other_files: Write and read the formats of other programs too: of 100,000 photos they take longer than the rest.
    """
    for count in photos:
        rows: list[Row] = []
        names = [f"class {label}" for label in range(classes)]
        with tempfile.TemporaryDirectory(prefix="benchmark-evaluation-") as name:
            order = Path(name), count, names, detections, IntervalSettings(resamples), other_files, rows
            for _ in _steps(*order):
                yield f"{count} photos, {classes} classes, {detections} detections a photo", rows


def _steps(
    folder: Path,
    count: int,
    names: list[str],
    each: int,
    settings: IntervalSettings,
    other_files: bool,
    rows: list[Row],
) -> Iterator[None]:
    """Take one step after the other, a row each."""
    images, found = measured("made up", lambda: made_up(count, len(names), each), rows)
    ids = [one.image_id for one in images]
    columns, results = folder / "test.safetensors", folder / "test.json"
    yield measured("detections written", lambda: write_columns(columns, found, "key"), rows)
    if other_files:
        yield measured("written as COCO results", lambda: write_coco_results(results, found), rows)
        yield measured("written as the devkit's files", lambda: write_comp4(folder, "test", found, names), rows)
        yield measured("COCO results read", lambda: len(read_coco_results(results, ids)), rows)
    found = measured("detections read", lambda: read_columns(columns, "key").records(ids), rows)
    result = measured("matching and AP", lambda: evaluate(found, images, names), rows)
    yield measured("the same with COCO's figures", lambda: evaluate(found, images, names, "coco").mean_ap, rows)
    bounds = measured("intervals", lambda: intervals(result, settings), rows)
    calibration = Calibration.fixed(len(names))
    yield measured("at thresholds", lambda: at_thresholds(result, calibration).line(), rows)
    errors = measured("kinds of errors", lambda: diagnose(result, images), rows)
    run = ReportRun("made up", images, result, bounds, errors, calibration)
    yield measured("report", lambda: write_report(folder / "report.html", run), rows)
