"""How far a figure can be trusted: bootstrap over images, for one detector and for the difference of two.

Images, not detections or objects, are drawn with replacement: what is in one photo belongs together. An image drawn
twice counts like two images; nothing is matched again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from detection.evaluation._kernels import weighted_ap
from detection.evaluation.matching import IGNORED, TRUE_POSITIVE
from detection.evaluation.metrics.average_precision import ELEVEN_POINTS
from detection.evaluation.metrics.coco import COCO_RECALLS
from detection.evaluation.results import ClassEvaluation, Evaluation
from detection.evaluation.settings import IntervalSettings

Verdict = Literal["better", "worse", "undecided"]

_POINTS = {"voc07": ELEVEN_POINTS, "voc10": (), "coco": COCO_RECALLS}
# Resamples whose image counts are in memory together.
_AT_A_TIME = 64


@dataclass(frozen=True)
class Interval:
    """A figure and the bounds of its percentile interval: AP in [0, 1], or a difference in [-1, 1]."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Intervals:
    """Of one detector. mean_ap: None without objects. per_class: in the class list's order, None without objects."""

    settings: IntervalSettings
    mean_ap: Interval | None
    per_class: tuple[Interval | None, ...]

    def to_json(self, classes: Sequence[str]) -> dict[str, Any]:
        """Plain data for a JSON file."""
        return _plain(self, classes)


@dataclass(frozen=True)
class Difference:
    """Second detector minus first, on the same images in every resample.

    mean_ap, per_class: as in `Intervals`, of the differences. better: share of the resamples in which the second
    one's mAP is higher (equal ones count half). verdict: of the second detector; undecided where 0 is inside the
    interval of mAP: these images do not show which one is better.
    """

    settings: IntervalSettings
    mean_ap: Interval | None
    per_class: tuple[Interval | None, ...]
    better: float
    verdict: Verdict

    def to_json(self, classes: Sequence[str]) -> dict[str, Any]:
        """Plain data for a JSON file."""
        return {**_plain(self, classes), "better": self.better, "verdict": self.verdict}


def intervals(evaluation: Evaluation, settings: IntervalSettings) -> Intervals | None:
    """Percentile intervals of mAP and of every class's AP; None where the settings ask for no resample.

    In a resample without any object of a class, that class is not in the mean, and the class's own interval is of
    the other resamples.
    """
    if not settings.resamples:
        return None
    samples = _samples([evaluation], settings)[0]
    values = [one.ap for one in evaluation.per_class]
    return Intervals(settings, *_bounds(evaluation.mean_ap, values, samples, settings))


def difference(first: Evaluation, second: Evaluation, settings: IntervalSettings) -> Difference | None:
    """Interval of the paired difference of two detectors; None where the settings ask for no resample.

    Raises ValueError where images, classes, objects or settings of the two are not the same.
    """
    _check_comparable(first, second)
    if not settings.resamples:
        return None
    before, after = _samples([first, second], settings)
    values = [None if one.ap is None else other.ap - one.ap for one, other in _pairs(first, second)]
    mean = None if first.mean_ap is None else second.mean_ap - first.mean_ap
    mean_ap, per_class = _bounds(mean, values, after - before, settings)
    if mean_ap is None:
        return Difference(settings, None, per_class, 0.5, "undecided")
    gains = _mean_of_classes(after) - _mean_of_classes(before)
    gains = gains[~np.isnan(gains)]
    better = float(((gains > 0) + (gains == 0) / 2).mean())
    verdict = "better" if mean_ap.low > 0 else "worse" if mean_ap.high < 0 else "undecided"
    return Difference(settings, mean_ap, per_class, better, verdict)


def _samples(evaluations: Sequence[Evaluation], settings: IntervalSettings) -> list[np.ndarray]:
    """AP of every class in every resample, (L, B) float64 an evaluation; NaN where a class has no object."""
    curves = [[_curves(one, label) for label in range(len(one.per_class))] for one in evaluations]
    points = np.array(_POINTS[evaluations[0].settings.metric], dtype=np.float64)
    parts: list[list[np.ndarray]] = [[] for _ in evaluations]
    for weights in _draws(evaluations[0].images, settings):
        for of_one, part in zip(curves, parts, strict=True):
            aps = [np.mean([weighted_ap(*curve, weights, points) for curve in one], axis=0) for one in of_one]
            part.append(np.array(aps).reshape(len(of_one), len(weights)))
    return [np.concatenate(part, axis=1) for part in parts]


def _draws(images: int, settings: IntervalSettings) -> Iterator[np.ndarray]:
    """How often each image is in each resample: (at most _AT_A_TIME, I) int32 at a time."""
    generator = np.random.default_rng(settings.seed)
    for start in range(0, settings.resamples, _AT_A_TIME):
        count = min(_AT_A_TIME, settings.resamples - start)
        drawn = generator.integers(0, max(images, 1), (count, images))
        rows = [np.bincount(one, minlength=images) for one in drawn]
        yield np.array(rows, dtype=np.int32).reshape(count, images)


def _curves(evaluation: Evaluation, label: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(image of each detection that counts, whether it is a true positive, image of each object), per IoU threshold."""
    if evaluation.settings.metric == "coco":
        one = evaluation.coco.matches[label]
        return [
            (one.images[~ignored], found[~ignored], one.objects)
            for found, ignored in zip(one.found, one.ignored, strict=True)
        ]
    of_class = evaluation.per_class[label]
    counts = of_class.matches.outcomes != IGNORED
    hits = of_class.matches.outcomes[counts] == TRUE_POSITIVE
    return [(of_class.matches.images[counts], hits, of_class.found.images[of_class.found.counts])]


def _mean_of_classes(samples: np.ndarray) -> np.ndarray:
    """(L, B) -> (B,): mean over the classes with objects, NaN where no class has one."""
    known = ~np.isnan(samples)
    counts = known.sum(axis=0)
    totals = np.where(known, samples, 0).sum(axis=0)
    return np.divide(totals, counts, out=np.full(samples.shape[1], np.nan), where=counts > 0)


def _bounds(
    mean: float | None, values: Sequence[float | None], samples: np.ndarray, settings: IntervalSettings
) -> tuple[Interval | None, tuple[Interval | None, ...]]:
    mean_ap = _interval(mean, _mean_of_classes(samples), settings)
    return mean_ap, tuple(_interval(value, one, settings) for value, one in zip(values, samples, strict=True))


def _interval(value: float | None, samples: np.ndarray, settings: IntervalSettings) -> Interval | None:
    known = samples[~np.isnan(samples)]
    if value is None or not len(known):
        return None
    tail = (1 - settings.confidence) / 2
    low, high = np.quantile(known, [tail, 1 - tail])
    return Interval(value, float(low), float(high))


def _pairs(first: Evaluation, second: Evaluation) -> list[tuple[ClassEvaluation, ClassEvaluation]]:
    return list(zip(first.per_class, second.per_class, strict=True))


def _check_comparable(first: Evaluation, second: Evaluation) -> None:
    for what, one, other in (
        ("settings", first.settings, second.settings),
        ("classes", first.classes, second.classes),
        ("images", first.image_ids, second.image_ids),
    ):
        if one != other:
            raise ValueError(f"difference of two detectors: expected the same {what}, got {one} and {other}")
    for one, other in _pairs(first, second):
        if not all(
            np.array_equal(getattr(one.found, name), getattr(other.found, name))
            for name in ("images", "boxes", "counts")
        ):
            raise ValueError(f"difference of two detectors: expected the same objects, class {one.name!r} has others")


def _plain(value: Intervals | Difference, classes: Sequence[str]) -> dict[str, Any]:
    def bounds(one: Interval | None) -> dict[str, float] | None:
        return None if one is None else asdict(one)

    return {
        "settings": asdict(value.settings),
        "mAP": bounds(value.mean_ap),
        "per_class": {name: bounds(one) for name, one in zip(classes, value.per_class, strict=True)},
    }
