"""Margins as probabilities: Platt scaling, one sigmoid a class, and a threshold a class for what is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from detection.learning.per_class import PerClass
from detection.learning.ranges import check_ranges
from detection.learning.thresholds import best_threshold
from detection.types import Detections, check_array

# What a class has that could not be calibrated, nor all classes together: a sigmoid as classes have it that could
# (docs/probabilities.md), and the margin from which the released SPP-net draws (spp_demo.m).
FIXED_SLOPE, FIXED_INTERCEPT, FIXED_THRESHOLD = 4.0, 1.0, -0.5
# Weight of the penalty that scikit-learn puts on the slope; so small that it only keeps it finite.
_PENALTY_C = 1e6


@dataclass(frozen=True)
class CalibrationSettings:
    """How margins become probabilities, and which detections are shown: both from what SVMs find in training images
    that they were not trained on.

    Args:
        images: training images, a seeded sample of all, that are looked at; 0: none, and the detector is uncalibrated.
        folds: parts of the training images, each searched by SVMs that are trained on the others.
        min_margin: least SVM margin of the detections that are looked at.
        precision: show a class from where this share of the detections is right, e.g. 0.9; null: from where F1, the
            harmonic mean of precision and recall, is best.
        min_found: a class of whose objects fewer are found has too few to be calibrated.
        seed: of sample and folds.
    """

    images: int = 200
    folds: int = 5
    min_margin: float = -1.0
    precision: float | None = None
    min_found: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        check_ranges("calibration.", vars(self), {">= 0": ("images", "seed"), "> 0": ("min_found",)})
        if self.folds < 2:
            raise ValueError(f"calibration.folds: expected at least 2, got {self.folds}")
        if self.precision is not None and not 0 < self.precision <= 1:
            raise ValueError(f"calibration.precision: expected a number in (0, 1], or null, got {self.precision}")


@dataclass(frozen=True)
class Calibration(PerClass):
    """The probability that a detection of a class is right, from its margin s: 1 / (1 + exp(-(slope s + intercept))).

    slopes, intercepts: (L,) float64. trained: (L,) bool; a class that is not was seen too seldom: its sigmoid and its
    threshold are those of all classes together, or fixed ones, and its probabilities rough. thresholds: (L,) float64,
    margins; a detection is shown from its class's on.
    """

    KIND = "calibration"
    slopes: np.ndarray
    intercepts: np.ndarray
    trained: np.ndarray
    thresholds: np.ndarray

    def __post_init__(self) -> None:
        count = len(self.slopes)
        check_array(self.slopes, "float64", (None,), "calibration slopes", "(none)")
        check_array(self.intercepts, "float64", (count,), "calibration intercepts", "(none)")
        check_array(self.trained, "bool", (count,), "calibration trained", "(none)")
        check_array(self.thresholds, "float64", (count,), "calibration thresholds", "(none)")

    def probabilities(self, scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """(K,) float64 in [0, 1], rising with the margin. scores: (K,) margins. labels: (K,)."""
        return _sigmoid(self.slopes[labels] * scores.astype(np.float64) + self.intercepts[labels])

    def of(self, found: Detections) -> np.ndarray:
        """`probabilities` of an image's detections."""
        return self.probabilities(found.scores, found.labels)

    def applied(self, found: Detections) -> Detections:
        """An image's detections with their probabilities."""
        return replace(found, probabilities=self.of(found))

    def shown(self, found: Detections) -> np.ndarray:
        """(K,) bool: which of an image's detections reach their class's threshold."""
        return found.scores >= self.thresholds[found.labels]

    def threshold_probabilities(self) -> np.ndarray:
        """(L,) float64: the probability at each class's threshold."""
        return self.probabilities(self.thresholds, np.arange(len(self.thresholds)))

    @classmethod
    def fixed(cls, count: int) -> Calibration:
        """Of `count` classes that were not calibrated."""
        values = (FIXED_SLOPE, FIXED_INTERCEPT, False, FIXED_THRESHOLD)
        return cls(*(np.full(count, one) for one in values))

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> Self:
        """As `PerClass.from_arrays`; calibrations of before there were thresholds have the fixed one."""
        if set(arrays) == {"slopes", "intercepts", "trained"}:
            fixed = cls.fixed(len(arrays["trained"])).to_arrays()[0]
            arrays = {name: np.where(arrays["trained"], one, fixed[name]) for name, one in arrays.items()}
            arrays |= {"thresholds": fixed["thresholds"]}
        return super().from_arrays(arrays, metadata)


def _sigmoid(values: np.ndarray) -> np.ndarray:
    half = np.exp(-np.abs(values))
    return np.where(values >= 0, 1, half) / (1 + half)


def fit_calibration(
    scores: np.ndarray,
    labels: np.ndarray,
    right: np.ndarray,
    objects: np.ndarray,
    settings: CalibrationSettings | None = None,
) -> Calibration:
    """A sigmoid and a threshold a class, from detections by classifiers that were not trained on their images.

    scores: (N,) margins; labels: (N,) in 0 .. L - 1; right: (N,) bool. objects: (L,) int64, how many there were to be
    found. Platt, *Probabilistic outputs for support vector machines* (1999): logistic regression on the margin, with
    targets (P + 1) / (P + 2) and 1 / (Q + 2) for P right and Q wrong detections. A class with too few right ones, none
    that is wrong, or whose sigmoid would fall, has what all classes together give.
    """
    settings = settings or CalibrationSettings()
    together = _fit(scores, right, int(objects.sum()), settings) or (FIXED_SLOPE, FIXED_INTERCEPT, FIXED_THRESHOLD)
    of_classes = [
        _fit(scores[labels == label], right[labels == label], count, settings)
        for label, count in enumerate(objects.tolist())
    ]
    values = np.array([one or together for one in of_classes], np.float64).reshape(-1, 3).T
    trained = np.array([one is not None for one in of_classes], bool)
    return Calibration(values[0].copy(), values[1].copy(), trained, values[2].copy())


def _fit(
    scores: np.ndarray, right: np.ndarray, objects: int, settings: CalibrationSettings
) -> tuple[float, float, float] | None:
    """(slope, intercept, threshold) of a class's detections; None where they are too few or tell nothing."""
    if right.sum() < settings.min_found or right.all():
        return None
    slope, intercept = _fit_sigmoid(scores.astype(np.float64), right)
    # With a slope that falls the margin means nothing.
    if slope <= 0:
        return None
    chances = _sigmoid(slope * scores.astype(np.float64) + intercept)
    return slope, intercept, best_threshold(scores, chances, objects, settings.precision)


def _fit_sigmoid(scores: np.ndarray, right: np.ndarray) -> tuple[float, float]:
    from sklearn.linear_model import LogisticRegression

    positives, negatives = right.sum(), (~right).sum()
    targets = np.where(right, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    # A target t is an example of weight t that is right and one of weight 1 - t that is wrong.
    model = LogisticRegression(C=_PENALTY_C, tol=1e-8, max_iter=1000)
    doubled, kinds = np.tile(scores, 2)[:, None], np.repeat([1, 0], len(scores))
    model.fit(doubled, kinds, sample_weight=np.concatenate([targets, 1 - targets]))
    return float(model.coef_[0, 0]), float(model.intercept_[0])
