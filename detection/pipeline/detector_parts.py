"""The parts of the detector in a run folder that stages train: their keys, and what changes of classes do to them."""

from collections.abc import Sequence
from typing import Any

from detection.detector_files import read_calibration
from detection.learning import Calibration
from detection.pipeline.experiment import Experiment
from detection.pipeline.keys import training_key
from detection.storage import fingerprint


def part_key(experiment: Experiment, part: str, edits: Sequence[Sequence[str]] | None = None) -> str:
    """Key of a part ("svms", "regressors") that the settings ask for.

    edits: after these changes of classes; None: after those of the run's detector.
    """
    settings, edits = experiment.settings, experiment.edits if edits is None else edits
    vectors, own = {
        "svms": lambda: (experiment.vectors_key, experiment.svm_settings),
        "regressors": lambda: (experiment.pooled_key, settings.regression),
    }[part]()
    key = training_key(experiment.train_key, vectors, experiment.base_classes, own)
    return fingerprint(key, edits) if edits else key


def kept_part(experiment: Experiment, part: str) -> str | None:
    """The key of a part of the detector on file; None where it is absent, or its stage was cut short behind it.

    Changes of classes are made without the stages: then the detector alone says what it is of.
    """
    found = experiment.trained().get(part)
    return found if experiment.edits or experiment.run.stage_key(part) == found else None


def trained_keys(experiment: Experiment) -> dict[str, Any]:
    """What decides the scores and boxes of the run's detector: the notes of it but for those of its calibration."""
    return {name: value for name, value in experiment.trained().items() if name != "calibration"}


def run_calibration(experiment: Experiment) -> Calibration:
    """That of the run's detector, the fixed one where there is none."""
    if experiment.trained():
        return read_calibration(experiment.run.detector)
    return Calibration.fixed(len(experiment.classes))


def check_no_edits(experiment: Experiment) -> None:
    """Raise ValueError where training anew would lose what a user did to the classes."""
    if experiment.edits:
        done = ", ".join(" ".join(one[: 3 if one[0] == "rename" else 2]) for one in experiment.edits)
        raise ValueError(
            f"{experiment.run.detector}: its classes were changed by hand ({done}), and training with other settings "
            "or data would lose that; use another --run, or move this folder away"
        )
