"""How far a figure can be trusted: bootstrap over images, for one detector and for the difference of two.

Images, not detections or objects, are drawn with replacement: what is in one photo belongs together. An image drawn
twice counts like two images; nothing is matched again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from detection.evaluation._kernels import weighted_ap
from detection.evaluation.metrics import Metric
from detection.evaluation.metrics.metric import precision_recall
from detection.evaluation.results import Evaluation
from detection.evaluation.settings import IntervalSettings

Verdict = Literal["better", "worse", "undecided"]

# Resamples whose image counts are in memory together.
_AT_A_TIME = 64


@dataclass(frozen=True)
class Interval:
    """A figure and the bounds of its percentile interval: AP in [0, 1], or a difference in [-1, 1]."""

    value: float
    low: float
    high: float

    @property
    def verdict(self) -> Verdict:
        """Of a difference: undecided where 0 is inside."""
        return "better" if self.low > 0 else "worse" if self.high < 0 else "undecided"


@dataclass(frozen=True)
class Intervals:
    """Of one detector. mean_ap: None without objects. per_class: in the class list's order, None without objects."""

    settings: IntervalSettings
    mean_ap: Interval | None
    per_class: tuple[Interval | None, ...]

    def to_json(self, classes: Sequence[str]) -> dict[str, Any]:
        """Plain data for a JSON file."""
        bounds = [None if one is None else asdict(one) for one in (self.mean_ap, *self.per_class)]
        per_class = dict(zip(classes, bounds[1:], strict=True))
        return {"settings": asdict(self.settings), "mAP": bounds[0], "per_class": per_class}


@dataclass(frozen=True)
class Difference(Intervals):
    """Second detector minus first, on the same images in every resample.

    mean_ap, per_class: of the differences. better: share of the resamples in which the second one's mAP is higher
    (equal ones count half). verdict: of the second detector; undecided where 0 is inside the interval of mAP: these
    images do not show which one is better.
    """

    better: float

    @property
    def verdict(self) -> Verdict:
        """Of the second detector, by the interval of mAP."""
        return "undecided" if self.mean_ap is None else self.mean_ap.verdict

    def to_json(self, classes: Sequence[str]) -> dict[str, Any]:
        """Plain data for a JSON file."""
        return {**super().to_json(classes), "better": self.better, "verdict": self.verdict}


def intervals(evaluation: Evaluation, settings: IntervalSettings) -> Intervals | None:
    """Percentile intervals of mAP and of every class's AP; None where the settings ask for no resample.

    In a resample without any object of a class, that class is not in the mean, and the class's own interval is of
    the other resamples.
    """
    if not settings.resamples:
        return None
    values = [one.ap for one in evaluation.per_class]
    return Intervals(settings, *_bounds(evaluation.mean_ap, values, *_samples([evaluation], settings), settings))


def difference(first: Evaluation, second: Evaluation, settings: IntervalSettings) -> Difference | None:
    """Interval of the paired difference of two detectors; None where the settings ask for no resample.

    Raises ValueError where images, classes, objects or settings of the two are not the same.
    """
    _check_comparable(first, second)
    if not settings.resamples:
        return None
    before, after = _samples([first, second], settings)
    pairs = zip(first.per_class, second.per_class, strict=True)
    values = [None if one.ap is None else other.ap - one.ap for one, other in pairs]
    mean = None if first.mean_ap is None else second.mean_ap - first.mean_ap
    gains = _mean_of_classes(after) - _mean_of_classes(before)
    gains = gains[~np.isnan(gains)]
    better = float(((gains > 0) + (gains == 0) / 2).mean()) if len(gains) else 0.5
    return Difference(settings, *_bounds(mean, values, after - before, settings), better)


def _samples(evaluations: Sequence[Evaluation], settings: IntervalSettings) -> list[np.ndarray]:
    """AP of every class in every resample, (L, B) float64 an evaluation; NaN where a class has no object."""
    metric = evaluations[0].metric
    curves = [[_curves(one, label) for label in range(len(one.per_class))] for one in evaluations]
    parts: list[list[np.ndarray]] = [[] for _ in evaluations]
    for weights in _draws(evaluations[0].images, settings):
        for of_one, part in zip(curves, parts, strict=True):
            aps = [np.mean([_weighted_ap(*curve, weights, metric) for curve in one], axis=0) for one in of_one]
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
    if evaluation.coco is not None:
        one = evaluation.coco.matches[label]
        pairs = zip(one.found, ~one.ignored, strict=True)
        return [(one.images[counts], found[counts], one.objects) for found, counts in pairs]
    matches, objects = evaluation.per_class[label].matches, evaluation.per_class[label].found
    return [(matches.images[matches.counts], matches.hits, objects.images[objects.counts])]


def _weighted_ap(
    images: np.ndarray, hits: np.ndarray, objects: np.ndarray, weights: np.ndarray, metric: Metric
) -> np.ndarray:
    """(B,) float64: AP of a curve of `_curves` with every image counted `weights` (B, I) times; NaN without objects."""
    if metric.points is not None:
        return weighted_ap(images, hits, objects, weights, np.array(metric.points, dtype=np.float64))
    counts = [int(weight[objects].sum()) for weight in weights]
    curves = [precision_recall(np.repeat(hits, one[images]), count) for one, count in zip(weights, counts, strict=True)]
    return np.array(
        [metric.average(*curve) if count else np.nan for curve, count in zip(curves, counts, strict=True)], np.float64
    )


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


def _check_comparable(first: Evaluation, second: Evaluation) -> None:
    for what, field in (("settings", "settings"), ("classes", "classes"), ("images", "image_ids")):
        one, other = getattr(first, field), getattr(second, field)
        if one != other:
            raise ValueError(f"difference of two detectors: expected the same {what}, got {one} and {other}")
    for one, other in zip(first.per_class, second.per_class, strict=True):
        pairs = [(getattr(one.found, name), getattr(other.found, name)) for name in ("images", "boxes", "counts")]
        if not all(np.array_equal(*pair) for pair in pairs):
            raise ValueError(f"difference of two detectors: expected the same objects, class {one.name!r} has others")
