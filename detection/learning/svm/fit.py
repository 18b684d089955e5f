"""One linear SVM by the solver that suits the size of the problem."""

from __future__ import annotations

import numpy as np

from detection.learning.svm.many_svms import solve_svms
from detection.learning.svm.solver import Loss, solve_svm

# Values, of 4 bytes, from which on a working set that grows is faster than going through all rows: beyond most caches.
_MANY_VALUES = 10_000_000


def fit_linear_svm(
    values: np.ndarray,
    labels: np.ndarray,
    C: float = 1e-3,
    bias_multiplier: float = 10.0,
    positive_weight: float = 2.0,
    *,
    loss: Loss = "hinge",
    tolerance: float = 5e-5,
    max_iter: int = 10_000,
    seed: int = 0,
) -> tuple[np.ndarray, float]:
    """(weights (D,) float32, bias) of the minimiser: the short form of `solve_svm`, with the same arguments.

    values: (N, D) float32. labels: (N,) of -1 and +1. Raises ValueError for other shapes, dtypes, labels or ranges.
    """
    labels = np.asarray(labels)
    numbers = {
        "C": C,
        "bias_multiplier": bias_multiplier,
        "positive_weight": positive_weight,
        "loss": loss,
        "tolerance": tolerance,
        "max_iter": max_iter,
        "seed": seed,
    }
    # What is wrong with labels is told by the solver for one class.
    sound = labels.ndim == 1 and bool(((labels == 1) | (labels == -1)).all())
    if sound and np.size(values) >= _MANY_VALUES:
        solution = solve_svms(values, labels.astype(np.int8)[:, None], **numbers)[0]
    else:
        solution = solve_svm(values, labels, **numbers)
    return solution.weights, solution.bias
