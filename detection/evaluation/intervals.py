"""How far a figure can be trusted: bootstrap over images, for one detector and for the difference of two.

Images, not detections or objects, are drawn with replacement: what is in one photo belongs together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from detection.evaluation.results import Evaluation
from detection.evaluation.settings import IntervalSettings

Verdict = Literal["better", "worse", "undecided"]


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


@dataclass(frozen=True)
class Difference:
    """Second detector minus first, on the same images in every resample.

    mean_ap, per_class: as in `Intervals`, of the differences. better: share of the resamples in which the second
    one's mAP is higher (equal ones count half). verdict: of the second detector; undecided where 0 is inside the
    interval of mAP: the images do not show which one is better.
    """

    settings: IntervalSettings
    mean_ap: Interval | None
    per_class: tuple[Interval | None, ...]
    better: float
    verdict: Verdict


def intervals(evaluation: Evaluation, settings: IntervalSettings) -> Intervals | None:
    """Percentile intervals of mAP and of every class's AP; None where the settings ask for no resample."""
    raise NotImplementedError


def difference(first: Evaluation, second: Evaluation, settings: IntervalSettings) -> Difference | None:
    """Interval of the paired difference of two detectors; None where the settings ask for no resample.

    Raises ValueError where images, classes, objects or settings of the two are not the same.
    """
    raise NotImplementedError


def plain(value: Intervals | Difference) -> dict[str, Any]:
    """Plain data for a JSON file."""
    raise NotImplementedError
