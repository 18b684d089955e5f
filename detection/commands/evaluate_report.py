"""Stage: an evaluation printed and written, with intervals, a diagnosis and a comparison where they are asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from detection.commands.evaluate_files import Truth, describe, evaluate_files, read_truth
from detection.data import Problems
from detection.data.results import find_results
from detection.evaluation import (
    Diagnosis,
    DiagnosisSettings,
    Evaluation,
    EvaluationSettings,
    Intervals,
    IntervalSettings,
    comparison_table,
    diagnose,
    diagnosis_table,
    difference,
    intervals,
    table,
)
from detection.pipeline.experiment import Experiment
from detection.pipeline.stages.evaluation import evaluate, evaluation
from detection.pipeline.stages.misses import diagnosis
from detection.storage import write_json


@dataclass(frozen=True)
class Report:
    """What is wanted beyond the table. json: file to write. compare: path of other results. diagnose: errors too."""

    json: str | None = None
    compare: str | None = None
    diagnose: bool = False


@dataclass(frozen=True)
class Subject:
    """Annotations, and how detections are measured against them."""

    truth: Truth
    evaluation: EvaluationSettings
    intervals: IntervalSettings
    diagnosis: DiagnosisSettings
    problems: Problems
    console: Console


def evaluate_run(
    experiment: Experiment, settings: EvaluationSettings, given: Mapping[str, str | None], report: Report
) -> Evaluation:
    """Evaluate in a run. given: detections, annotations, split, classes in place of the run's, None for those it has.

    As ``stages.evaluation.evaluate`` where nothing is replaced, `settings` included; else the run is left as it is.
    """
    run, console = experiment.run, experiment.work.console
    replaced = any(value is not None for value in given.values())
    truth = _truth(experiment, given)
    subject = Subject(
        truth, settings, experiment.settings.intervals, experiment.settings.diagnosis, experiment.work.problems, console
    )
    if replaced:
        return print_and_write(subject, given["detections"] or str(run.path), report)
    keep = settings == experiment.settings.evaluation
    if keep:
        result = evaluate(experiment)
        bounds = intervals(result, subject.intervals)
    else:
        experiment.settings = dataclasses.replace(experiment.settings, evaluation=settings)
        result = evaluation(experiment)
        bounds = intervals(result, subject.intervals)
        console.print(table(result, bounds))
    found = diagnosis(experiment, keep) if report.diagnose else None
    _finish(subject, result, bounds, found, report)
    return result


def _truth(experiment: Experiment, given: Mapping[str, str | None]) -> Truth:
    """The run's own annotations, or others with the run's class list."""
    classes = experiment.classes
    if given["annotations"] is None and given["split"] is None and given["classes"] is None:
        images, split = experiment.test_images, experiment.split
        return Truth(images, classes, dict(enumerate(classes, start=1)), dict(enumerate(classes)), split, {})
    root = given["annotations"] or experiment.settings.dataset.root
    detections = given["detections"] or str(experiment.run.path)
    return read_truth(root, given["split"], detections, given["classes"], experiment.work.problems, experiment.classes)


def print_and_write(subject: Subject, detections: str, report: Report) -> Evaluation:
    """Evaluate the results at a path against the subject's annotations, print, and write what is asked for."""
    subject.console.print(describe(find_results(detections, subject.truth.split)), highlight=False, markup=False)
    result = evaluate_files(detections, subject.truth, subject.evaluation, subject.problems)
    bounds = intervals(result, subject.intervals)
    subject.console.print(table(result, bounds))
    found = diagnose(result, subject.truth.images, subject.diagnosis) if report.diagnose else None
    _finish(subject, result, bounds, found, report)
    return result


def _finish(
    subject: Subject, result: Evaluation, bounds: Intervals | None, found: Diagnosis | None, report: Report
) -> None:
    content: dict[str, Any] = result.to_json()
    if bounds is not None:
        content["intervals"] = bounds.to_json(result.classes)
    if found is not None:
        subject.console.print()
        subject.console.print(diagnosis_table(found))
        content["diagnosis"] = found.to_json()
    if report.compare is not None:
        content["compare"] = _compare(subject, result, report.compare)
    if report.json is not None:
        write_json(report.json, content)
        subject.console.print(f"figures: {report.json}", highlight=False, markup=False)


def _compare(subject: Subject, first: Evaluation, path: str) -> dict[str, Any]:
    second = evaluate_files(path, subject.truth, subject.evaluation, subject.problems)
    change = difference(first, second, subject.intervals)
    subject.console.print(f"\nfirst: as above; second: {path}", highlight=False, markup=False)
    subject.console.print(comparison_table(first, second, change))
    content = {"mAP": second.mean_ap, "per_class": {one.name: one.ap for one in second.per_class}}
    return content | ({} if change is None else {"difference": change.to_json(first.classes)})
