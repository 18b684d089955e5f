"""Whether probabilities mean what they say."""

from dataclasses import dataclass

import numpy as np


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
    """Compare probabilities (N,) with what happened: right (N,) bool.

    Source: Guo, Pleiss, Sun, Weinberger, *On calibration of modern neural networks*, ICML 2017, section 2.
    """
    places = np.minimum((probabilities * bins).astype(np.int64), bins - 1)
    counts = np.bincount(places, minlength=bins)
    with np.errstate(invalid="ignore"):
        predicted = np.bincount(places, probabilities, bins) / counts
        observed = np.bincount(places, right, bins) / counts
    filled = counts > 0
    gaps = np.abs(predicted[filled] - observed[filled])
    error = float((gaps * counts[filled]).sum() / len(right)) if len(right) else float("nan")
    return Reliability(counts, predicted, observed, error)
