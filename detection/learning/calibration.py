"""Scores as probabilities: Platt scaling, one sigmoid a class, and how to see whether they mean what they say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from detection.learning.per_class import PerClass
from detection.types import Detections, check_array

# A sigmoid is fitted to no fewer detections of each kind than this.
LEAST_EXAMPLES = 5
# Weight of the penalty that scikit-learn puts on the slope; so small that it only keeps it finite.
_PENALTY_C = 1e6


@dataclass(frozen=True)
class Calibration(PerClass):
    """The probability that a detection of a class is right, from its margin s: 1 / (1 + exp(-(slope s + intercept))).

    slopes, intercepts: (L,) float64. trained: (L,) bool; an untrained class has no probability (NaN).
    """

    KIND = "calibration"
    slopes: np.ndarray
    intercepts: np.ndarray
    trained: np.ndarray

    def __post_init__(self) -> None:
        check_array(self.slopes, "float64", (None,), "calibration slopes", "(none)")
        check_array(self.intercepts, "float64", (len(self.slopes),), "calibration intercepts", "(none)")
        check_array(self.trained, "bool", (len(self.slopes),), "calibration trained", "(none)")

    def probabilities(self, scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """(K,) float64 in (0, 1), NaN for a class without a sigmoid. scores: (K,) margins. labels: (K,)."""
        exponents = self.slopes[labels] * scores.astype(np.float64) + self.intercepts[labels]
        return np.where(self.trained[labels], _sigmoid(exponents), np.nan)

    def of(self, found: Detections) -> np.ndarray:
        """`probabilities` of an image's detections."""
        return self.probabilities(found.scores, found.labels)

    @classmethod
    def untrained(cls, count: int) -> Calibration:
        """Of `count` classes that have no sigmoid."""
        return cls(np.zeros(count), np.zeros(count), np.zeros(count, bool))


def _sigmoid(values: np.ndarray) -> np.ndarray:
    half = np.exp(-np.abs(values))
    return np.where(values >= 0, 1, half) / (1 + half)


def fit_calibration(scores: np.ndarray, labels: np.ndarray, right: np.ndarray, num_classes: int) -> Calibration:
    """One sigmoid a class, fitted to detections that the classifiers were not trained on.

    scores: (N,) margins; labels: (N,) in 0 .. num_classes - 1; right: (N,) bool. Platt, *Probabilistic outputs for
    support vector machines* (1999): logistic regression on the margin, with targets (P + 1) / (P + 2) and
    1 / (Q + 2) for P right and Q wrong detections. A class with fewer than `LEAST_EXAMPLES` of either gets none.
    """
    slopes, intercepts, trained = np.zeros(num_classes), np.zeros(num_classes), np.zeros(num_classes, bool)
    for label in range(num_classes):
        mine = labels == label
        if min(right[mine].sum(), (~right[mine]).sum()) >= LEAST_EXAMPLES:
            slopes[label], intercepts[label] = _fit_sigmoid(scores[mine].astype(np.float64), right[mine])
            # With a slope that falls the margin means nothing: no probability is better than a wrong one.
            trained[label] = slopes[label] > 0
    return Calibration(slopes, intercepts, trained)


def _fit_sigmoid(scores: np.ndarray, right: np.ndarray) -> tuple[float, float]:
    from sklearn.linear_model import LogisticRegression

    positives, negatives = right.sum(), (~right).sum()
    targets = np.where(right, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    # A target t is an example of weight t that is right and one of weight 1 - t that is wrong.
    model = LogisticRegression(C=_PENALTY_C, tol=1e-8, max_iter=1000)
    doubled, kinds = np.tile(scores, 2)[:, None], np.repeat([1, 0], len(scores))
    model.fit(doubled, kinds, sample_weight=np.concatenate([targets, 1 - targets]))
    return float(model.coef_[0, 0]), float(model.intercept_[0])


@dataclass(frozen=True)
class Reliability:
    """How often detections of about one probability are right. B bins of equal width from 0 to 1.

    counts: (B,) int64. predicted, observed: (B,) float64, mean probability and share of right ones; NaN in an empty
    bin. error: expected calibration error, the mean of |predicted - observed| over detections; NaN without any.
    """

    counts: np.ndarray
    predicted: np.ndarray
    observed: np.ndarray
    error: float


def reliability(probabilities: np.ndarray, right: np.ndarray, bins: int = 10) -> Reliability:
    """Compare probabilities (N,) with what happened: right (N,) bool. NaN probabilities are left out.

    Source: Guo, Pleiss, Sun, Weinberger, *On calibration of modern neural networks*, ICML 2017, section 2.
    """
    known = ~np.isnan(probabilities)
    probabilities, right = probabilities[known], right[known]
    places = np.minimum((probabilities * bins).astype(np.int64), bins - 1)
    counts = np.bincount(places, minlength=bins)
    with np.errstate(invalid="ignore"):
        predicted = np.bincount(places, probabilities, bins) / counts
        observed = np.bincount(places, right, bins) / counts
    filled = counts > 0
    gaps = np.abs(predicted[filled] - observed[filled])
    error = float((gaps * counts[filled]).sum() / len(right)) if len(right) else float("nan")
    return Reliability(counts, predicted, observed, error)
