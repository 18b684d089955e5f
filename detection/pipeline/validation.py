"""Stages: C and the positives' weight by cross-validation over the training images, and probabilities from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from detection.data import write_image
from detection.detector import Detector
from detection.engines import limit_threads
from detection.evaluation import EvaluationSettings, evaluate
from detection.evaluation.matching import IGNORED, TRUE_POSITIVE
from detection.learning import (
    BoxRegressors,
    LinearSVMs,
    Reliability,
    SVMSettings,
    TrainingRegions,
    fit_calibration,
    image_folds,
    postprocess,
    reliability,
    train_fold_svms,
    train_regressors,
)
from detection.pipeline.experiment import Experiment
from detection.pipeline.stages.detections import read_detections, trained_parts
from detection.pipeline.stages.images import usable
from detection.pipeline.vectors import near_objects, stream_images, training_streams
from detection.storage import write_json
from detection.types import AnnotatedImage, Detections, RegionFeatures
from detection.visualization.charts import Axis, Line, line_chart

FORMAT_VERSION = 1
# Duality gaps of the SVMs of folds, at the end of a pass and on the way, as a part of the objective: they are compared
# and thrown away.
_FOLD_TOLERANCE, _FOLD_MINING_TOLERANCE = 1e-3, 1e-2
_TICKS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


@dataclass(frozen=True)
class Trial:
    """One setting that was tried. C, positive_weight: see ``SVMSettings``. mean_ap: of all held-out detections
    together; by_fold: of each fold's; by_class: AP of each class, None without objects.
    """

    C: float
    positive_weight: float
    mean_ap: float
    by_fold: tuple[float, ...]
    by_class: Mapping[str, float | None]


# Folds.


@dataclass(frozen=True)
class _Folds:
    """An experiment's training images, divided."""

    experiment: Experiment
    images: Sequence[AnnotatedImage]
    fold_of: Mapping[str, int]
    count: int

    @classmethod
    def of(cls, experiment: Experiment, count: int, seed: int) -> _Folds:
        images = usable(experiment, experiment.train_images)
        return cls(experiment, images, image_folds([one.image_id for one in images], count, seed), count)

    def svms(self, settings: Sequence[SVMSettings]) -> list[list[LinearSVMs]]:
        """[setting][fold], trained on the other folds."""
        experiment, layer = self.experiment, self.experiment.settings.features.layer
        source, work = experiment.source, experiment.work
        settings = [
            replace(
                one,
                tolerance=max(one.tolerance, _FOLD_TOLERANCE),
                mining_tolerance=max(one.mining_tolerance, _FOLD_MINING_TOLERANCE),
            )
            for one in settings
        ]
        with work.progress("SVMs of folds", (1 + settings[0].passes) * len(self.images)) as advance:
            stream, first_pass = training_streams(source, self.images, layer, settings[0], work, advance)
            machines, log = train_fold_svms(
                stream, len(experiment.base_classes), settings, self.fold_of, first_pass=first_pass
            )
        if any(one.left_out for one in log.entries):
            experiment.warn("hard negatives were left out for lack of memory: svm.memory_mib")
        return machines

    def regressors(self) -> list[BoxRegressors]:
        """[fold], trained on the other folds."""
        experiment, found = self.experiment, []
        for fold in range(self.count):
            images = [one for one in self.images if self.fold_of[one.image_id] != fold]
            near = near_objects(len(images), experiment.settings.regression)
            with experiment.work.progress(f"box regression {fold + 1}", len(images)) as advance:

                def stream(images=images, advance=advance, near=near) -> Iterator[TrainingRegions]:
                    return stream_images(experiment.source, images, "pool5", experiment.work, advance, near)

                found.append(train_regressors(stream, len(experiment.base_classes), experiment.settings.regression))
        return found

    def detections(
        self, machines: Sequence[Sequence[LinearSVMs]], regressors: Sequence[BoxRegressors] | None
    ) -> list[list[Detections]]:
        """[setting][image]: what the machines of an image's own fold, which never saw it, find in it."""
        experiment = self.experiment
        found: list[list[Detections]] = [[] for _ in machines]
        with experiment.work.progress("held-out detections", len(self.images)) as advance:
            for image in self.images:
                fold = self.fold_of[image.image_id]
                pool5, vectors = self._vectors(image)
                for place, of_folds in enumerate(machines):
                    scores = of_folds[fold].region_scores(vectors)
                    if regressors is not None:
                        scores = regressors[fold].refine(scores, pool5)
                    found[place].append(postprocess(scores, image.size, experiment.settings.postprocess))
                advance()
        return found

    def _vectors(self, image: AnnotatedImage) -> tuple[RegionFeatures, RegionFeatures]:
        source, layer = self.experiment.source, self.experiment.settings.features.layer
        extractor = source.extractor()
        pool5 = extractor.pool(source.pyramid(image), source.proposals(image).boxes, distinct=True)
        return pool5, pool5 if layer == "pool5" else extractor.head(pool5)


# Choosing C and the positives' weight.


def tune(
    experiment: Experiment, costs: Sequence[float], weights: Sequence[float], folds: int, seed: int
) -> list[Trial]:
    """Try every pair of C and positive weight by cross-validation over the training images.

    Scored without box regression, by the mAP of the evaluation's settings over all held-out detections. Prints a
    table and writes it to ``RUN/tuning.json``. Returns one `Trial` a pair, in the order tried.
    """
    if not costs or not weights:
        raise ValueError("tune: expected at least one C and one positive weight, got none")
    settings = [
        replace(experiment.settings.svm, C=cost, positive_weight=weight) for cost, weight in product(costs, weights)
    ]
    divided = _Folds.of(experiment, folds, seed)
    with limit_threads(experiment.work.threads):
        found = divided.detections(divided.svms(settings), None)
    trials = [
        _trial(one, detections, divided, experiment.settings.evaluation)
        for one, detections in zip(settings, found, strict=True)
    ]
    best = max(trials, key=lambda one: one.mean_ap)
    content = {
        "format_version": FORMAT_VERSION,
        "images": len(divided.images),
        "folds": folds,
        "seed": seed,
        "trials": [{**vars(one), "by_fold": list(one.by_fold)} for one in trials],
        "best": {"C": best.C, "positive_weight": best.positive_weight},
    }
    write_json(experiment.run.path / "tuning.json", content)
    experiment.work.console.print(tuning_table(trials), highlight=False, markup=False, soft_wrap=True)
    return trials


def _trial(
    settings: SVMSettings, found: Sequence[Detections], divided: _Folds, evaluation: EvaluationSettings
) -> Trial:
    classes = divided.experiment.base_classes

    def result(fold: int | None):
        there = [i for i, one in enumerate(divided.images) if fold in (None, divided.fold_of[one.image_id])]
        images = [divided.images[i] for i in there]
        return evaluate([found[i] for i in there], images, classes, **vars(evaluation))

    whole = result(None)
    by_class = {one.name: one.ap for one in whole.per_class}
    by_fold = tuple(float(result(fold).mean_ap or 0.0) for fold in range(divided.count))
    return Trial(settings.C, settings.positive_weight, float(whole.mean_ap or 0.0), by_fold, by_class)


def tuning_table(trials: Sequence[Trial]) -> str:
    """What was tried, one line each, the best marked. spread: standard deviation over the folds."""
    best = max(trials, key=lambda one: one.mean_ap)
    lines = [f"{'C':>9}  {'positive weight':>15}  {'mAP':>6}  {'fold mean':>9}  {'spread':>6}"]
    for one in trials:
        figures = (one.mean_ap, np.mean(one.by_fold), np.std(one.by_fold, ddof=1))
        line = "{:>9g}  {:>15g}  {:>6.3f}  {:>9.3f}  {:>6.3f}".format(one.C, one.positive_weight, *figures)
        lines.append(line + ("  best" if one is best else ""))
    lines.append(f"use it with --svm.C={best.C:g} --svm.positive_weight={best.positive_weight:g}")
    return "\n".join(lines)


# Probabilities.


def calibrate(experiment: Experiment, folds: int, seed: int, min_score: float) -> Detector:
    """Store with the run's detector what turns margins into probabilities: one sigmoid a class (Platt).

    They are fitted to the detections of at least `min_score` (margin) in the training images by SVMs and regressors of
    the same settings that were trained without the image's fold; a detection is right where the evaluation counts it as
    a true positive. Raises ValueError where the detector is absent, of other settings, or has had its classes changed.
    """
    for stage in trained_parts(experiment):
        stage.require(experiment)
    if experiment.edits:
        raise ValueError(f"{experiment.run.detector}: expected a detector with the classes it was trained with")
    divided = _Folds.of(experiment, folds, seed)
    detector = Detector.load(experiment.run.detector)
    with limit_threads(experiment.work.threads):
        machines = divided.svms([experiment.settings.svm])
        regressors = divided.regressors() if detector.regressors is not None else None
        found = divided.detections(machines, regressors)[0]
    scores, labels, right = judged(found, divided.images, detector.classes, experiment.settings.evaluation, min_score)
    calibration = fit_calibration(scores, labels, right, len(detector.classes))
    detector = replace(detector, calibration=calibration)
    detector.save(experiment.run.detector)
    without = [name for name, there in zip(detector.classes, calibration.trained, strict=True) if not there]
    if without:
        experiment.warn(f"too few detections, right or wrong, for a probability: {', '.join(without)}")
    return detector


def judged(
    found: Sequence[Detections],
    images: Sequence[AnnotatedImage],
    classes: Sequence[str],
    evaluation: EvaluationSettings,
    min_score: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(scores, labels, right), each (N,): the detections of at least `min_score` that the evaluation counts."""
    result = evaluate(found, images, classes, **vars(evaluation))
    scores, labels, right = [np.zeros(0, np.float32)], [np.zeros(0, np.int64)], [np.zeros(0, bool)]
    for label, one in enumerate(result.per_class):
        outcomes = one.matches.outcomes
        kept = (outcomes != IGNORED) & (one.matches.scores >= min_score)
        scores.append(one.matches.scores[kept])
        labels.append(np.full(int(kept.sum()), label))
        right.append(outcomes[kept] == TRUE_POSITIVE)
    return np.concatenate(scores), np.concatenate(labels), np.concatenate(right)


def measure_reliability(experiment: Experiment, detector: Detector, bins: int, min_score: float) -> Reliability:
    """Whether the probabilities of the test split's detections mean what they say.

    Prints a table with the expected calibration error, writes ``RUN/evaluation/SPLIT-reliability.json`` and ``.png``.
    Raises ValueError where the run has no detections of the settings in force.
    """
    evaluation = experiment.settings.evaluation
    scores, labels, right = judged(
        read_detections(experiment), experiment.test_images, detector.classes, evaluation, min_score
    )
    measured = reliability(detector.calibration.probabilities(scores, labels), right, bins)
    path = experiment.run.evaluation / f"{experiment.split}-reliability"
    write_json(path.with_suffix(".json"), reliability_json(measured))
    write_image(path.with_suffix(".png"), reliability_chart(measured))
    experiment.work.console.print(reliability_table(measured), highlight=False, markup=False)
    return measured


def reliability_json(measured: Reliability) -> dict[str, Any]:
    """As plain data; null in an empty bin."""

    def plain(values: np.ndarray) -> list[float | None]:
        return [None if np.isnan(one) else float(one) for one in values]

    return {
        "format_version": FORMAT_VERSION,
        "detections": int(measured.counts.sum()),
        "expected_calibration_error": None if np.isnan(measured.error) else measured.error,
        "counts": measured.counts.tolist(),
        "predicted": plain(measured.predicted),
        "observed": plain(measured.observed),
    }


def reliability_table(measured: Reliability) -> str:
    """One line a bin that is not empty, and the expected calibration error."""
    lines = [f"{'detections':>10}  {'probability':>11}  {'right':>6}"]
    for count, predicted, observed in zip(measured.counts, measured.predicted, measured.observed, strict=True):
        if count:
            lines.append(f"{count:>10}  {predicted:>11.3f}  {observed:>6.3f}")
    return "\n".join([*lines, f"expected calibration error {measured.error:.3f}"])


def reliability_chart(measured: Reliability) -> np.ndarray:
    """(H, W, 3) uint8: the share of right detections against their probability; on the diagonal they agree."""
    axes = (Axis(title, 0.0, 1.0, _TICKS) for title in ("probability", "share of right detections"))
    filled = measured.counts > 0
    lines = [
        Line("detections", measured.predicted[filled].tolist(), measured.observed[filled].tolist()),
        Line("perfect", _TICKS, _TICKS),
    ]
    return line_chart(f"expected calibration error {measured.error:.3f}", *axes, lines, legend=0.55)


def chart_path(experiment: Experiment) -> Path:
    """Where `measure_reliability` draws."""
    return experiment.run.evaluation / f"{experiment.split}-reliability.png"
