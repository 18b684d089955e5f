"""Stage: what a run has on file, gathered for its report."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from detection.detector import Detector
from detection.evaluation import Diagnosis, Evaluation, Intervals
from detection.pipeline.inputs import ExperimentInputs
from detection.report import ReportRun

# Its own time is not known while it is written.
STAGE = "report"


def gather(
    inputs: ExperimentInputs, name: str, evaluation: Evaluation, intervals: Intervals | None, diagnosis: Diagnosis
) -> ReportRun:
    """A run for its report: its figures, and what its folder tells of settings, times and training."""
    record = inputs.run.read()
    problems = [f"{len(inputs.work.problems)} faults in the data: {line}" for line in inputs.work.problems.summary()]
    return ReportRun(
        name=name,
        images=inputs.test_images,
        evaluation=evaluation,
        intervals=intervals,
        diagnosis=diagnosis,
        settings=record["settings"] or {},
        versions=record["versions"],
        stages={stage: facts for stage, facts in record["stages"].items() if stage != STAGE},
        mining=read_mining_log(inputs.run.detector / "mining.csv"),
        probabilities=probabilities(Detector.load(inputs.run.detector), evaluation),
        notes=tuple(problems),
    )


def probabilities(detector: Detector, evaluation: Evaluation) -> tuple[np.ndarray | None, ...] | None:
    """The probability of each detection, by class in the order of its ``Matches``.

    None for a class without calibration; None for all where the detector has none.
    """
    calibration = detector.calibration
    if calibration is None:
        return None
    found = []
    for label, one in enumerate(evaluation.per_class):
        labels = np.full(one.detections, label)
        values = calibration.probabilities(one.matches.scores, labels) if calibration.trained[label] else None
        found.append(values)
    return tuple(found) if any(one is not None for one in found) else None


def read_mining_log(path: Path) -> tuple[tuple[str, ...], ...]:
    """Header and rows of a mining log; () where there is none."""
    if not path.is_file():
        return ()
    with path.open(encoding="utf-8", newline="") as file:
        return tuple(tuple(row) for row in csv.reader(file))


def run_names(first: Path, second: Path) -> tuple[str, str]:
    """What two runs are called: their folders' names, or more of their paths where these are the same."""
    one, two = first.resolve(), second.resolve()
    for count in range(1, max(len(one.parts), len(two.parts)) + 1):
        names = tuple(Path(*path.parts[-count:]).as_posix() for path in (one, two))
        if names[0] != names[1]:
            return names
    return f"{one.name}, first", f"{two.name}, second"
