"""Stage: average precision of the test split's detections, with intervals: ``RUN/evaluation/SPLIT.json``."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from detection.evaluation import AtThresholds, Evaluation, Intervals, at_thresholds, intervals, shown_table
from detection.evaluation import evaluate as evaluate_detections
from detection.pipeline.detector_parts import run_calibration
from detection.pipeline.experiment import Experiment
from detection.pipeline.stage import Stage, recorded
from detection.pipeline.stages.detections import DETECTIONS, read_detections
from detection.storage import fingerprint, write_json

# To be raised when a change of the code changes the figures of the same detections.
_VERSION = 3


def evaluation(experiment: Experiment) -> Evaluation:
    """What the detections on file are worth against the test split; nothing is printed or written.

    A test image that could not be read has no detections: its objects count as missed.
    """
    settings = dataclasses.asdict(experiment.settings.evaluation)

    def make() -> Evaluation:
        found = read_detections(experiment)
        return evaluate_detections(found, experiment.test_images, experiment.classes, **settings)

    return experiment.once("evaluation", _key(experiment), make)


def bounds(experiment: Experiment) -> Intervals | None:
    """The bootstrap intervals of `evaluation`, None where the settings ask for none."""
    found, settings = evaluation(experiment), experiment.settings.intervals
    return experiment.once("intervals", _key(experiment), lambda: intervals(found, settings))


def shown(experiment: Experiment) -> AtThresholds:
    """What of `evaluation` the detector's thresholds show: found, missed, false, and what is taken for what."""
    return at_thresholds(evaluation(experiment), run_calibration(experiment))


def evaluate(experiment: Experiment) -> Evaluation:
    """`evaluation`, on file and printed as `print_table` does."""
    EVALUATION.make(experiment)
    return print_table(experiment)


def print_table(experiment: Experiment) -> Evaluation:
    """Print what of `evaluation` is shown, with average precision beside, and return it."""
    result = evaluation(experiment)
    experiment.work.console.print(shown_table(shown(experiment), result, bounds(experiment)))
    return result


def _file(experiment: Experiment) -> Path:
    return experiment.run.evaluation / f"{experiment.split}.json"


def _key(experiment: Experiment) -> str:
    settings = (experiment.settings.evaluation, experiment.settings.intervals, *_protocol(experiment).values())
    calibration, classes = run_calibration(experiment).to_arrays()[0], list(experiment.classes)
    return fingerprint(_VERSION, DETECTIONS.key(experiment), experiment.test_key, classes, settings, calibration)


def _protocol(experiment: Experiment) -> dict[str, Any]:
    """What the figures say of the published protocol that the settings name, if they do."""
    preset = (experiment.record or {}).get("preset")
    return {"preset": preset, "differs_from_preset": experiment.preset_overrides} if preset else {}


def _run(experiment: Experiment) -> Mapping[str, Any]:
    result, found = evaluation(experiment), bounds(experiment)
    extra = {} if found is None else {"intervals": found.to_json(experiment.classes)}
    at = shown(experiment)
    write_json(_file(experiment), result.to_json() | extra | _protocol(experiment) | {"at_thresholds": at.to_json()})
    counts = {name: int(getattr(at, name).sum()) for name in ("found", "missed", "false")}
    return counts | {"metric": result.settings.metric, "mAP": result.mean_ap}


EVALUATION = Stage(
    name="evaluation",
    command="evaluate",
    place=_file,
    key=_key,
    kept=lambda experiment: recorded(experiment, "evaluation", _file(experiment)),
    run=_run,
    needs=lambda _: (DETECTIONS,),
    files=lambda experiment: (_file(experiment),),
)
