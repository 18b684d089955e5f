"""Stage: the HTML report and the folder of its tables: ``RUN/report.html`` and ``RUN/report``."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from detection.detector_files import read_description
from detection.evaluation import difference
from detection.pipeline.detector_parts import run_calibration
from detection.pipeline.experiment import Experiment
from detection.pipeline.stage import Stage, recorded
from detection.pipeline.stages.detections import DETECTIONS
from detection.pipeline.stages.evaluation import EVALUATION, bounds, evaluation
from detection.pipeline.stages.misses import MISSES, diagnosis, has_diagnosis
from detection.report import Comparison, ReportRun, check_target, write_report
from detection.storage import fingerprint, read_csv, readable_stems

# To be raised when a change of the code changes the report of the same run.
_VERSION = 2


def page(experiment: Experiment) -> Path:
    """Where a run's own report lies."""
    return experiment.run.path / "report.html"


def report_page(experiment: Experiment, path: Path | None = None) -> Path:
    """A run's report, made where it is not there yet, or written to another `path`; returns the page's path.

    Raises ValueError where something else stands in its place.
    """
    if path is not None:
        return _write_page(experiment, path)
    REPORT.make(experiment)
    return page(experiment)


def _write_page(experiment: Experiment, path: Path) -> Path:
    check_target(path)
    write_report(path, gather(experiment, experiment.run.path.resolve().name), settings=experiment.settings.report)
    return path


def compare_runs(experiment: Experiment, other: Experiment, path: Path | None = None) -> Path:
    """A report of this run beside `other` on the same images: ``RUN/report-OTHER.html``, or at `path`.

    `other` is evaluated as this run's settings say. Differences are the other's figures minus this run's.
    Returns the page's path. Raises ValueError where images, objects or classes of the two are not the same, or
    something else stands in the page's place.
    """
    names = run_names(experiment.run.path, other.run.path)
    target = Path(path or experiment.run.path / f"report-{readable_stems([names[1]])[names[1]]}.html")
    check_target(target)
    shared = {name: getattr(experiment.settings, name) for name in ("evaluation", "intervals", "diagnosis")}
    other.settings = dataclasses.replace(other.settings, **shared)
    change = difference(evaluation(experiment), evaluation(other), experiment.settings.intervals)
    first, second = gather(experiment, names[0]), gather(other, names[1])
    write_report(target, first, Comparison(second, change), experiment.settings.report)
    return target


def gather(experiment: Experiment, name: str) -> ReportRun:
    """A run for its report: its figures, and what its folder tells of settings, times and training."""
    result, found = evaluation(experiment), diagnosis(experiment)
    record, problems = experiment.run.read(), experiment.work.problems
    return ReportRun(
        name=name,
        images=experiment.test_images,
        evaluation=result,
        intervals=bounds(experiment),
        diagnosis=found,
        calibration=run_calibration(experiment),
        settings=record["settings"] or {},
        versions=record["versions"],
        stages=_other_stages(record),
        mining=read_mining_log(experiment.run.detector / "mining.csv"),
        notes=tuple(f"{len(problems)} faults in the data: {line}" for line in problems.summary()),
    )


def _other_stages(record: Mapping[str, Any]) -> dict[str, Any]:
    """What the record tells of the other stages: the report's own time is not known while it is written."""
    return {
        stage: {name: fact for name, fact in facts.items() if name != "files"}
        for stage, facts in record["stages"].items()
        if stage != "report"
    }


def read_mining_log(path: Path) -> tuple[tuple[str, ...], ...]:
    """Header and rows of a mining log; () where there is none."""
    return tuple(map(tuple, read_csv(path))) if path.is_file() else ()


def run_names(first: Path, second: Path) -> tuple[str, str]:
    """What two runs are called: their folders' names, or more of their paths where these are the same."""
    one, two = first.resolve(), second.resolve()
    for count in range(1, max(len(one.parts), len(two.parts)) + 1):
        names = tuple(Path(*path.parts[-count:]).as_posix() for path in (one, two))
        if names[0] != names[1]:
            return names
    return f"{one.name}, first", f"{two.name}, second"


def _key(experiment: Experiment) -> str:
    record = experiment.run.read()
    try:
        files = read_description(experiment.run.detector)["files"]
    except FileNotFoundError:
        files = {}
    record.pop("classes", None)  # in the other keys
    shown = {**record, "stages": _other_stages(record), "detector": files}
    settings = (experiment.settings.diagnosis, experiment.settings.report)
    return fingerprint(_VERSION, "report", EVALUATION.key(experiment), MISSES.key(experiment), settings, shown)


def _run(experiment: Experiment) -> Mapping[str, Any]:
    path = _write_page(experiment, page(experiment))
    return {"mib": round(path.stat().st_size / 2**20, 2)}


REPORT = Stage(
    name="report",
    command="report",
    place=page,
    key=_key,
    kept=lambda experiment: recorded(experiment, "report", page(experiment)) if has_diagnosis(experiment) else None,
    run=_run,
    needs=lambda _: (DETECTIONS,),
    files=lambda experiment: (page(experiment),),
)
