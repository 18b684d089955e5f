"""C and the positives' weight by cross-validation over the training images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from detection.engines import limit_threads
from detection.evaluation import EvaluationSettings, evaluate
from detection.learning import LinearSVMs, SVMSettings, image_folds, postprocess, train_fold_svms
from detection.pipeline.experiment import Experiment
from detection.pipeline.stages.images import usable
from detection.pipeline.vectors import training_streams
from detection.storage import write_json
from detection.types import AnnotatedImage, Detections, RegionFeatures

FORMAT_VERSION = 1
# Duality gaps of the SVMs of folds, at the end of a pass and on the way, as a part of the objective: they are compared
# and thrown away.
_FOLD_TOLERANCE, _FOLD_MINING_TOLERANCE = 1e-3, 1e-2


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

    def detections(self, machines: Sequence[Sequence[LinearSVMs]]) -> list[list[Detections]]:
        """[setting][image]: what the machines of an image's own fold, which never saw it, find in it."""
        experiment = self.experiment
        found: list[list[Detections]] = [[] for _ in machines]
        with experiment.work.progress("held-out detections", len(self.images)) as advance:
            for image in self.images:
                vectors = self._vectors(image)
                for place, of_folds in enumerate(machines):
                    scores = of_folds[self.fold_of[image.image_id]].region_scores(vectors)
                    found[place].append(postprocess(scores, image.size, experiment.settings.postprocess))
                advance()
        return found

    def _vectors(self, image: AnnotatedImage) -> RegionFeatures:
        source, layer = self.experiment.source, self.experiment.settings.features.layer
        extractor = source.extractor()
        pool5 = extractor.pool(source.pyramid(image), source.proposals(image).boxes, distinct=True)
        return pool5 if layer == "pool5" else extractor.head(pool5)


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
        replace(experiment.svm_settings, C=cost, positive_weight=weight) for cost, weight in product(costs, weights)
    ]
    divided = _Folds.of(experiment, folds, seed)
    with limit_threads(experiment.work.threads):
        found = divided.detections(divided.svms(settings))
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
