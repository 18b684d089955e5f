"""What the thresholds of a run's detector are worth on its test photos, against one margin for all classes."""

from dataclasses import replace

import numpy as np
from benchmarks.detectors import open_run
from benchmarks.harness import Row, Tables

from detection.evaluation import NOTHING, AtThresholds, Evaluation, at_thresholds
from detection.learning import Calibration
from detection.pipeline.detector_parts import run_calibration
from detection.pipeline.stages.evaluation import evaluation, shown

MARGINS = tuple(one / 10 for one in range(-10, 6))


def row_of(name: str, at: AtThresholds) -> Row:
    """The figures of one choice of thresholds."""
    found, false = int(at.found.sum()), int(at.false.sum())
    return {
        "thresholds": name,
        "found": found,
        "of": int(at.objects.sum()),
        "false": false,
        "false_an_image": at.false_per_image,
        "F1_all": 2 * found / max(int(at.objects.sum()) + found + false, 1),
        "F1_classes": float(np.nanmean(at.f1)),
    }


def rows_of(result: Evaluation, calibration: Calibration) -> list[Row]:
    """The chosen thresholds, and each single margin."""
    chosen = [row_of("chosen in training", at_thresholds(result, calibration))]
    for margin in MARGINS:
        single = replace(calibration, thresholds=np.full(len(calibration.thresholds), margin))
        chosen.append(row_of(f"margin {margin:+.1f}", at_thresholds(result, single)))
    return chosen


def benchmark(run: str | None = None) -> Tables:
    """Compare thresholds; see the head of this file.

    Args:
        run: Folder of a run with detections of its test photos.
    """
    if run is None:
        print("thresholds: left out without --run RUN")
        return
    experiment = open_run(run)
    yield "Found and false boxes by thresholds", rows_of(evaluation(experiment), run_calibration(experiment))
    at = shown(experiment)
    names = [*at.classes, NOTHING]
    yield (
        "What (rows) was found as what",
        [
            {"is": one, **dict(zip(names, row, strict=True))}
            for one, row in zip(names, at.confusion.tolist(), strict=True)
        ],
    )
