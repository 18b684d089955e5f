"""C and the positives' weight by cross-validation over the training images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import product

import numpy as np

from detection.engines import limit_threads
from detection.evaluation import EvaluationSettings, evaluate
from detection.learning import LinearSVMs, SVMSettings, image_folds, postprocess, train_fold_svms
from detection.parallel import ordered_map
from detection.pipeline.experiment import Experiment
from detection.pipeline.held_out import HeldOut
from detection.pipeline.source import uses_finetuned
from detection.pipeline.stages.images import usable
from detection.pipeline.stages.svms import SVMS
from detection.pipeline.training_samples import SAMPLES
from detection.pipeline.vectors import training_streams
from detection.pipeline.work import threads
from detection.storage import write_json
from detection.types import AnnotatedImage, Detections, RegionFeatures, RegionScores

FORMAT_VERSION = 1
# Photos that a quick search measures on: so that four values of C take a tenth of a training (docs/learning.md).
_QUICK_IMAGES = 150
# Duality gaps of the SVMs of folds, at the end of a pass and on the way, as a part of the objective: they are compared
# and thrown away.
_FOLD_TOLERANCE, _FOLD_MINING_TOLERANCE = 1e-3, 1e-2


@dataclass(frozen=True)
class Trial:
    """One setting that was tried. C, positive_weight: see ``SVMSettings``. mean_ap: of all held-out detections
    together; by_fold: of each fold's, None without objects; by_class: AP of each class, None without objects.
    """

    C: float
    positive_weight: float
    mean_ap: float
    by_fold: tuple[float | None, ...]
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
        with work.progress("SVMs of folds", (1 + settings[0].least_passes) * len(self.images)) as advance:
            stream, first_pass = training_streams(source, self.images, layer, settings[0], work, advance)
            machines, log = train_fold_svms(
                stream, len(experiment.base_classes), settings, self.fold_of, first_pass=first_pass
            )
        if any(one.left_out for one in log.entries):
            experiment.warn("hard negatives were left out for lack of memory: svm.memory_mib")
        return machines

    def kept_svms(self, settings: Sequence[SVMSettings]) -> list[list[LinearSVMs]]:
        """[setting][fold], trained on what the run's own training kept of the other folds."""
        return HeldOut(self.experiment, self.images, self.fold_of).trained(settings)

    def sample(self, count: int, seed: int) -> _Folds:
        """The same with `count` of the images at most; seed: of the division, so that equally many are of each fold."""
        # In this order `image_folds` deals them out.
        order = np.random.default_rng(seed).permutation(len(self.images))[:count]
        return replace(self, images=[self.images[place] for place in np.sort(order)])

    def detections(self, machines: Sequence[Sequence[LinearSVMs]]) -> list[list[Detections]]:
        """[setting][image]: what the machines of an image's own fold, which never saw it, find in it."""
        work, settings = self.experiment.work, self.experiment.settings.postprocess
        # Scored as one: an image's vectors are read once.
        joined = [reduce(lambda one, other: one.joined(other), of_fold) for of_fold in zip(*machines, strict=True)]

        def detect(image: AnnotatedImage) -> list[Detections]:
            scores = joined[self.fold_of[image.image_id]].region_scores(self._vectors(image))
            parts = zip(*(np.split(one, len(machines), axis=1) for one in (scores.boxes, scores.scores)), strict=True)
            return [postprocess(RegionScores(image.image_id, *one), image.size, settings) for one in parts]

        with (
            work.progress("held-out detections", len(self.images)) as advance,
            threads(work.pooling_threads) as executor,
        ):
            found = []
            for one in ordered_map(detect, self.images, executor, 2 * work.pooling_threads):
                found.append(one)
                advance()
        return [list(one) for one in zip(*found, strict=True)]

    def _vectors(self, image: AnnotatedImage) -> RegionFeatures:
        source, layer = self.experiment.source, self.experiment.settings.features.layer
        extractor = source.extractor()
        pool5 = extractor.pool(source.pyramid(image), source.proposals(image).boxes, distinct=True)
        return pool5 if layer == "pool5" else extractor.head(pool5)


def tune(
    experiment: Experiment,
    costs: Sequence[float],
    weights: Sequence[float],
    folds: int,
    seed: int,
    quick: bool = False,
) -> list[Trial]:
    """Try every pair of C and positive weight by cross-validation over the training images.

    Scored without box regression, by the mAP of the evaluation's settings over all held-out detections. quick: SVMs
    are trained on the samples that the run's own training kept, and measured on a part of the images. Prints a
    table and writes it to ``RUN/tuning.json``. Returns one `Trial` a pair, in the order tried.

    Raises ValueError for no pair, folds as `image_folds`, and where a quick search finds no SVMs of the settings in
    force, classes that were changed since, or samples that are gone or not as training wrote them.
    """
    if not costs or not weights:
        raise ValueError("tune: expected at least one C and one positive weight, got none")
    if quick:
        _check_samples(experiment)
    own, pairs = experiment.svm_settings, dict.fromkeys(product(costs, weights))
    settings = [replace(own, C=cost, positive_weight=weight) for cost, weight in pairs]
    divided = _Folds.of(experiment, folds, seed)
    if uses_finetuned(experiment.settings.features):
        experiment.warn("fc6 and fc7 were fine-tuned on these photos, those of every fold: each mAP is too high")
    measured = divided.sample(_QUICK_IMAGES, seed) if quick else divided
    with limit_threads(experiment.work.threads):
        found = measured.detections(divided.kept_svms(settings) if quick else divided.svms(settings))
    trials = [
        _trial(one, detections, measured, experiment.settings.evaluation)
        for one, detections in zip(settings, found, strict=True)
    ]
    best = max(trials, key=lambda one: one.mean_ap)
    content = {
        "format_version": FORMAT_VERSION,
        "images": len(divided.images),
        "measured_images": len(measured.images),
        "mined_with": {"C": own.C, "positive_weight": own.positive_weight} if quick else None,
        "folds": folds,
        "seed": seed,
        "trials": [{**vars(one), "by_fold": list(one.by_fold)} for one in trials],
        "best": {"C": best.C, "positive_weight": best.positive_weight},
    }
    write_json(experiment.run.path / "tuning.json", content)
    experiment.work.console.print(tuning_table(trials), highlight=False, markup=False, soft_wrap=True)
    if quick:
        experiment.say(
            f"on {len(measured.images)} photos, and samples mined with C {own.C:g} and positive weight "
            f"{own.positive_weight:g}: a C far below that comes out too low"
        )
    return trials


def _check_samples(experiment: Experiment) -> None:
    """Raise ValueError unless the samples that training kept are those of the settings in force, all of them."""
    SVMS.require(experiment)
    samples, instead = experiment.run.detector / SAMPLES, "leave --quick out, or train in another --run"
    if experiment.edits:
        raise ValueError(f"{experiment.run.detector}: its classes were changed since they were trained; {instead}")
    if not experiment.run.are_whole(samples):
        raise ValueError(f"{samples}: expected the samples that training kept, it is gone or was changed; {instead}")


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
    by_fold = tuple(result(fold).mean_ap for fold in range(divided.count))
    return Trial(settings.C, settings.positive_weight, float(whole.mean_ap or 0.0), by_fold, by_class)


def tuning_table(trials: Sequence[Trial]) -> str:
    """What was tried, one line each, the best marked. spread: standard deviation over the folds."""
    best = max(trials, key=lambda one: one.mean_ap)
    lines = [f"{'C':>9}  {'positive weight':>15}  {'mAP':>6}  {'fold mean':>9}  {'spread':>6}"]
    for one in trials:
        folds = [mean_ap for mean_ap in one.by_fold if mean_ap is not None]
        figures = (one.mean_ap, np.mean(folds or 0.0), np.std(folds, ddof=1) if len(folds) > 1 else 0.0)
        line = "{:>9g}  {:>15g}  {:>6.3f}  {:>9.3f}  {:>6.3f}".format(one.C, one.positive_weight, *figures)
        lines.append(line + ("  best" if one is best else ""))
    lines.append(f"use it with --svm.C={best.C:g} --svm.positive_weight={best.positive_weight:g}")
    return "\n".join(lines)
