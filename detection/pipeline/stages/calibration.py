"""Stage: probabilities of detections and a threshold a class, from the training images: ``RUN/detector``."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from detection.detector import Detector
from detection.engines import limit_threads
from detection.learning import Calibration, fit_calibration
from detection.pipeline.detector_parts import check_no_edits, kept_part, trained_keys
from detection.pipeline.experiment import Experiment
from detection.pipeline.held_out import HeldOut, Judged, folds_of, judged
from detection.pipeline.stage import Stage, begin
from detection.pipeline.stages.detections import trained_parts
from detection.pipeline.stages.finetuning import mirrored_maps
from detection.pipeline.stages.images import usable
from detection.pipeline.training_samples import SAMPLES
from detection.storage import fingerprint

# To be raised when a change of the code changes what comes of the same detector and images.
_VERSION = 1


def _run(experiment: Experiment) -> Mapping[str, Any]:
    """Fit them to what is found in training images by SVMs that were not trained on these; add them to the detector."""
    check_no_edits(experiment)
    key, detector = CALIBRATION.key(experiment), Detector.load(experiment.run.detector)
    begin(experiment, "calibration", key)
    with limit_threads(experiment.work.threads):
        found = _held_out(experiment, detector)
    calibration, figures = Calibration.fixed(len(detector.classes)), {"images": 0}
    if found is not None:
        images, result = found
        calibration = fit_calibration(*result, experiment.settings.calibration)
        rows = held_out_counts(result, calibration)
        experiment.say(held_out_table(rows, calibration, detector.classes))
        figures = {"images": images} | dict(zip(("objects", "found", "false"), rows.sum(axis=0).tolist(), strict=True))
    uncalibrated = [name for name, there in zip(detector.classes, calibration.trained, strict=True) if not there]
    if uncalibrated:
        experiment.warn(
            f"too few objects found to calibrate, so that probabilities are rough: {', '.join(uncalibrated)}"
        )
    notes = {**detector.notes, "calibration": key}
    dataclasses.replace(detector, calibration=calibration, notes=notes).save(experiment.run.detector)
    return figures | {"uncalibrated": uncalibrated}


def _held_out(experiment: Experiment, detector: Detector) -> tuple[int, Judged] | None:
    """(images looked at, what was found in them); None where there is nothing to be found out by."""
    settings, images = experiment.settings.calibration, usable(experiment, experiment.train_images)
    fold_of = folds_of(experiment, images)
    if fold_of is None:
        return None
    held_out = HeldOut(experiment, images, fold_of)
    svms = held_out.svms()
    if svms is None:
        path = experiment.run.detector / SAMPLES
        experiment.warn(f"{path}: no samples of the training, which calibration needs; train in another --run for it")
        return None
    after, least = experiment.settings.postprocess, settings.min_margin
    least = least if after.min_score is None else max(least, after.min_score)
    # What is suppressed, and regressed, hangs on no box of a lower margin.
    detector = dataclasses.replace(detector, postprocess_settings=dataclasses.replace(after, min_score=least))
    order = np.random.default_rng(settings.seed).permutation(len(images))
    images = [images[place] for place in np.sort(order[: settings.images])]
    if after.mirrored:
        mirrored_maps(experiment.source, images, experiment.work)
    found = list(held_out.detections(detector, svms, images))
    there = {one.image_id for one in found}
    return len(found), judged(found, [one for one in images if one.image_id in there], detector.classes)


def held_out_counts(found: Judged, calibration: Calibration) -> np.ndarray:
    """(L, 3) int64: of each class the objects, those found, and the false boxes, at its threshold."""
    shown = found.scores >= calibration.thresholds[found.labels]
    counts = [
        np.bincount(found.labels[shown & kind], minlength=len(found.objects)) for kind in (found.right, ~found.right)
    ]
    return np.stack([found.objects, *counts], axis=1)


def held_out_table(counts: np.ndarray, calibration: Calibration, classes: Sequence[str]) -> str:
    """A line a class: from which probability it is shown, and what that gives in the training images looked at."""
    width = max([len("class"), *map(len, classes)])
    lines = [f"{'class':<{width}}  shown from  objects  found  false"]
    chances = calibration.threshold_probabilities()
    for name, chance, there, row in zip(classes, chances, calibration.trained, counts.tolist(), strict=True):
        line = f"{name:<{width}}  {chance:>10.0%}  {row[0]:>7}  {row[1]:>5}  {row[2]:>5}"
        lines.append(line if there else f"{line}  uncalibrated")
    return "\n".join(lines)


def _key(experiment: Experiment) -> str:
    settings = experiment.settings
    return fingerprint(_VERSION, trained_keys(experiment), settings.postprocess, settings.calibration)


CALIBRATION = Stage(
    name="calibration",
    command="calibrate",
    place=lambda experiment: experiment.run.detector,
    key=_key,
    kept=lambda experiment: kept_part(experiment, "calibration"),
    run=_run,
    needs=trained_parts,
    # Classes that were changed by hand keep the calibration that they have.
    wanted=lambda experiment: not experiment.edits,
)
