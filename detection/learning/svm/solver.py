"""Linear support vector machines: a dual coordinate descent solver in float32.

Hsieh, Chang, Lin, Keerthi, Sundararajan, *A dual coordinate descent method for large-scale linear SVM*,
ICML 2008: the algorithm behind liblinear's ``-s 3`` and scikit-learn's ``LinearSVC(dual=True)``.
"""

import warnings
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from detection.learning.ranges import check_ranges
from detection.learning.svm import _kernels
from detection.learning.svm._problem import Gram, Problem
from detection.learning.svm.settings import BIAS_MULTIPLIER, LOSSES, MAX_ITER, POSITIVE_WEIGHT, RCNN_C, TOLERANCE, Loss

# Span of the projected gradients, in units of the margin, at which the duality gap is first measured, and the factor by
# which that goal falls while the gap is too large. They steer the time, not the result.
_FIRST_GOAL, _GOAL_FACTOR = 0.1, 0.1
# Gradient beyond which a sample at a bound is left out even if others are farther from rest: bolder than the
# published rule, which is safe as all samples are measured after each descent (a fifth less time).
_SHRINK_CAP = 0.1
# Passes after which the weights are summed anew from the dual variables, so that rounding does not pile up; with known
# products passes cost little.
_PASSES, _GRAM_PASSES = 50, 1000
# Gradients are scores in float32 around 1: below this the goal asks for more digits than there are.
_LEAST_GOAL = 1e-6


@dataclass(frozen=True)
class SVMSolution:
    """What `solve_svm` found.

    weights: (D,) float32. bias: float. alphas: (N,) float32 dual variables, for a warm start. scores: (N,)
    float64 of the samples trained on. objective and dual_objective: values of the primal and the dual problem, so that
    ``objective - dual_objective`` bounds what is missing to the optimum. iterations: passes over the active samples.
    converged: whether the gap is within the tolerance.
    """

    weights: np.ndarray
    bias: float
    alphas: np.ndarray
    scores: np.ndarray
    objective: float
    dual_objective: float
    iterations: int
    converged: bool

    @property
    def gap(self) -> float:
        """Duality gap: an upper bound of objective - optimum."""
        return self.objective - self.dual_objective


def solve_svm(
    values: np.ndarray,
    labels: np.ndarray,
    *,
    C: float = RCNN_C,
    bias_multiplier: float = BIAS_MULTIPLIER,
    positive_weight: float = POSITIVE_WEIGHT,
    negative_weight: float = 1.0,
    sample_weights: np.ndarray | None = None,
    rows: np.ndarray | None = None,
    loss: Loss = "hinge",
    tolerance: float = TOLERANCE,
    max_iter: int = MAX_ITER,
    seed: int = 0,
    alphas: np.ndarray | None = None,
) -> SVMSolution:
    """Minimise 1/2 |w|^2 + 1/2 (b / bias_multiplier)^2 + C sum_i weight_i loss(1 - labels_i (values_i . w + b)).

    values: (M, D) float32. labels: (N,) of -1 and +1. weight_i is `positive_weight` or `negative_weight` by
    the label, times sample_weights[i] (> 0) if given. rows: (N,) int64, the row of `values` each sample is;
    None: all of them, M = N. So several problems share one array without a copy. loss: ``hinge`` max(0, .)
    or its square. With C 1e-3, bias_multiplier 10 and positive_weight 2 this is liblinear's
    ``-s 3 -c 1e-3 -B 10 -w1 2`` (rcnn_train.m).

    tolerance: stop when the duality gap is at most this part of the objective, which then is within that
    part of the optimum. max_iter: passes over the samples after which to give up (``converged`` False).
    seed: of the order in which samples are visited. alphas: (N,), the dual variables to start from, cut to
    their range. One class alone is a legal problem.

    Raises ValueError for other shapes, dtypes, labels or ranges.
    """
    labels = np.asarray(labels)
    _check_samples(values, labels, rows, sample_weights, alphas)
    _check_numbers(C, bias_multiplier, positive_weight, negative_weight, tolerance, max_iter, loss)
    costs = C * np.where(labels > 0, positive_weight, negative_weight)
    problem = Problem(
        values=np.ascontiguousarray(values),
        rows=np.arange(len(labels)) if rows is None else np.ascontiguousarray(rows, dtype=np.int64),
        signs=np.where(labels > 0, 1, -1).astype(np.float32),
        costs=costs if sample_weights is None else costs * np.asarray(sample_weights, dtype=np.float64),
        bias_unit=float(bias_multiplier),
        squared=loss == "squared_hinge",
    )
    start = np.zeros(len(labels), np.float32) if alphas is None else np.asarray(alphas, np.float32)
    return _solve(problem, np.clip(start, 0, problem.upper), tolerance, max_iter, seed)


def _solve(problem: Problem, alphas: np.ndarray, tolerance: float, max_iter: int, seed: int) -> SVMSolution:
    """Descend on the samples that matter, measure the gap on all, tighten the goal, until the gap is closed.

    alphas: (N,) float32 to start from, changed in place.
    """
    upper, diagonal, goal = problem.upper, problem.diagonal, _FIRST_GOAL
    curvature = np.zeros(len(alphas), np.float32)
    # xorshift must not start at 0.
    state = np.random.default_rng(seed).integers(1, 2**63, size=1, dtype=np.uint64)
    weights, bias = problem.primal_of(alphas)
    active, margins = np.arange(len(alphas)), np.zeros(0)
    passes, visits, gram = 0, np.zeros(1, np.int64), Gram(problem)
    while True:
        if passes and gram.pays(active, int(visits[0])):
            limit = min(_GRAM_PASSES, max_iter - passes)
            done = gram.descend(active, alphas, margins, state, goal, limit)
        else:
            limit = min(_PASSES, max_iter - passes)
            done = _kernels.descend(
                problem.values, problem.rows, problem.signs, upper, diagonal, curvature, problem.bias_unit,
                alphas, weights, np.array([bias]), active, state, goal, _SHRINK_CAP, limit, visits,
            )  # fmt: skip
        passes += done
        weights, bias = problem.primal_of(alphas)
        margins = problem.margins(weights, bias)
        primal, dual = problem.objectives(alphas, weights, bias, margins)
        converged = primal - dual <= tolerance * primal
        if converged or passes >= max_iter:
            scores = problem.signs * margins
            return SVMSolution(weights, bias * problem.bias_unit, alphas, scores, primal, dual, passes, converged)
        gradient = margins - 1 + diagonal * alphas
        at_rest = ((alphas == 0) & (gradient > goal)) | ((alphas == upper) & (gradient < -goal))
        active = np.flatnonzero(~at_rest)
        if done < limit:
            goal = max(goal * _GOAL_FACTOR, _LEAST_GOAL)


def solve(arguments: Mapping[str, Any]) -> SVMSolution:
    """`solve_svm` of one argument, for an executor's map."""
    return solve_svm(**arguments)


def fit_linear_svm(
    values: np.ndarray,
    labels: np.ndarray,
    C: float = RCNN_C,
    bias_multiplier: float = BIAS_MULTIPLIER,
    positive_weight: float = POSITIVE_WEIGHT,
    *,
    loss: Loss = "hinge",
    tolerance: float = TOLERANCE,
    max_iter: int = MAX_ITER,
    seed: int = 0,
) -> tuple[np.ndarray, float]:
    """(weights (D,) float32, bias) of the minimiser: the short form of `solve_svm`, with the same arguments.

    values: (N, D) float32. labels: (N,) of -1 and +1. Raises ValueError for other shapes, dtypes, labels or ranges.
    """
    solution = solve_svm(
        values, labels, C=C, bias_multiplier=bias_multiplier, positive_weight=positive_weight,
        loss=loss, tolerance=tolerance, max_iter=max_iter, seed=seed,
    )  # fmt: skip
    return solution.weights, solution.bias


def solve_svms(
    values: np.ndarray, labels: np.ndarray, *, executor: Executor | None = None, **numbers: Any
) -> list[SVMSolution]:
    """`solve_svm` for each column of `labels`, with its `numbers`. Deprecated: the next version is without it.

    values: (M, D) float32. labels: (M, L) of -1, 0 and +1; rows of 0 are no samples of the class. A solution's alphas
    and scores are (M,): 0 and NaN where the label is 0. executor: threads that solve several classes at a time.
    Raises ValueError as `solve_svm`, and for a class without a sample.
    """
    warnings.warn("solve_svms goes with the next version: call solve_svm for each class", DeprecationWarning, 2)
    if labels.ndim != 2 or len(labels) != len(values) or not labels.any(axis=0).all():
        raise ValueError(
            f"solve_svms: labels: expected (M, L) for {len(values)} rows with a sample of every class, got shape "
            f"{labels.shape} with {np.count_nonzero(labels, axis=0).tolist()} samples"
        )

    def solve(column: np.ndarray) -> SVMSolution:
        rows = np.flatnonzero(column)
        one = solve_svm(values, column[rows], rows=rows, **numbers)
        alphas, scores = np.zeros(len(column), np.float32), np.full(len(column), np.nan)
        alphas[rows], scores[rows] = one.alphas, one.scores
        return replace(one, alphas=alphas, scores=scores)

    return list((map if executor is None else executor.map)(solve, labels.T))


def _check_samples(values, labels, rows, sample_weights, alphas) -> None:
    found = f"{getattr(values, 'dtype', type(values).__name__)} of shape {getattr(values, 'shape', ())}"
    if not isinstance(values, np.ndarray) or values.dtype != np.float32 or values.ndim != 2:
        raise ValueError(f"solve_svm: values: expected float32 of shape (M, D), got {found}")
    if labels.ndim != 1 or not len(labels) or not np.isin(labels, (-1, 1)).all():
        raise ValueError(f"solve_svm: labels: expected (N,) of -1 and +1, N > 0, got shape {labels.shape}")
    if rows is None and len(labels) != len(values):
        raise ValueError(f"solve_svm: expected one label a row, got {len(labels)} labels and {len(values)} rows")
    for name, one in (("rows", rows), ("sample_weights", sample_weights), ("alphas", alphas)):
        if one is not None and np.shape(one) != labels.shape:
            raise ValueError(f"solve_svm: {name}: expected shape {labels.shape}, got {np.shape(one)}")
    if rows is not None and (np.min(rows) < 0 or np.max(rows) >= len(values)):
        raise ValueError(f"solve_svm: rows: expected 0 to {len(values) - 1}, got {np.min(rows)} to {np.max(rows)}")
    if sample_weights is not None and not np.min(sample_weights) > 0:
        raise ValueError(f"solve_svm: sample_weights: expected > 0, got {np.min(sample_weights)}")


def _check_numbers(C, bias_multiplier, positive_weight, negative_weight, tolerance, max_iter, loss) -> None:
    numbers = {
        "C": C, "positive_weight": positive_weight, "negative_weight": negative_weight, "tolerance": tolerance,
        "max_iter": max_iter, "bias_multiplier": bias_multiplier,
    }  # fmt: skip
    check_ranges("solve_svm: ", numbers, {"> 0": tuple(numbers)[:-1], ">= 0": ("bias_multiplier",)})
    if loss not in LOSSES:
        raise ValueError(f"solve_svm: loss: expected hinge or squared_hinge, got {loss!r}")
