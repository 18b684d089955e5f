"""Linear support vector machines: a dual coordinate descent solver in float32.

Hsieh, Chang, Lin, Keerthi, Sundararajan, *A dual coordinate descent method for large-scale linear SVM*,
ICML 2008: the algorithm behind liblinear's ``-s 3`` and scikit-learn's ``LinearSVC(dual=True)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from detection.learning.svm import _kernels
from detection.learning.svm._gram import Gram

Loss = Literal["hinge", "squared_hinge"]

# MapFunction of the projected gradients, in units of the margin, at which the duality gap is first measured, and
# the factor by which that goal falls while the gap is too large. They steer the time, not the result.
FIRST_GOAL = 0.1
_GOAL_FACTOR = 0.1
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
    float64 of the samples trained on. objective and
    dual_objective: values of the primal and the dual problem, so that ``objective - dual_objective`` bounds
    what is missing to the optimum. iterations: passes over the active samples. converged: whether the gap
    is within the tolerance.
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
    C: float = 1e-3,
    bias_multiplier: float = 10.0,
    positive_weight: float = 2.0,
    negative_weight: float = 1.0,
    sample_weights: np.ndarray | None = None,
    rows: np.ndarray | None = None,
    loss: Loss = "hinge",
    tolerance: float = 5e-5,
    max_iter: int = 10_000,
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
    _check_problem(values, labels, rows, sample_weights, alphas)
    check_numbers(C, bias_multiplier, positive_weight, negative_weight, tolerance, max_iter, loss)
    costs = sample_costs(labels, C, positive_weight, negative_weight)
    if sample_weights is not None:
        costs = costs * np.asarray(sample_weights, dtype=np.float64)
    problem = Problem(
        values=np.ascontiguousarray(values),
        rows=np.arange(len(labels)) if rows is None else np.ascontiguousarray(rows, dtype=np.int64),
        signs=np.where(labels > 0, 1, -1).astype(np.float32),
        costs=costs,
        bias_unit=float(bias_multiplier),
        squared=loss == "squared_hinge",
    )
    start = np.zeros(len(labels), np.float32) if alphas is None else np.asarray(alphas, np.float32)
    return solve_problem(problem, np.clip(start, 0, problem.upper), tolerance, max_iter, seed)


def sample_costs(labels: np.ndarray, C: float, positive_weight: float, negative_weight: float) -> np.ndarray:
    """(N,) float64: what the loss of each sample is multiplied by; labels (N,)."""
    return C * np.where(labels > 0, positive_weight, negative_weight)


@dataclass(frozen=True)
class Problem:
    """The samples of one class: values (M, D) float32 in C order, rows (N,) int64, signs (N,) float32, costs (N,)
    float64; the constant feature's value; whether the loss is squared.
    """

    values: np.ndarray
    rows: np.ndarray
    signs: np.ndarray
    costs: np.ndarray
    bias_unit: float
    squared: bool

    @property
    def upper(self) -> np.ndarray:
        """(N,) float32: upper bounds of the dual variables."""
        return np.full(len(self.costs), np.inf, np.float32) if self.squared else self.costs.astype(np.float32)

    @property
    def diagonal(self) -> np.ndarray:
        """(N,) float32: what the squared loss adds to the diagonal of the dual's Hessian."""
        return (0.5 / self.costs if self.squared else np.zeros(len(self.costs))).astype(np.float32)

    def primal_of(self, alphas: np.ndarray) -> tuple[np.ndarray, float]:
        """(weights (D,) float32, weight of the constant feature), summed in float64."""
        factors = self.signs * alphas.astype(np.float64)
        total = np.empty(self.values.shape[1], np.float64)
        _kernels.combine_rows(self.values, self.rows, factors, total)
        return total.astype(np.float32), float(factors.sum() * self.bias_unit)

    def margins(self, weights: np.ndarray, bias: float) -> np.ndarray:
        """(N,) float64: label times score."""
        scores = np.empty(len(self.rows), np.float32)
        _kernels.row_products(self.values, self.rows, weights, scores)
        return self.signs * (scores.astype(np.float64) + bias * self.bias_unit)

    def objectives(self, alphas: np.ndarray, weights: np.ndarray, bias: float, margins: np.ndarray):
        """(primal, dual) in float64."""
        norm = 0.5 * (float(np.dot(weights.astype(np.float64), weights)) + bias**2)
        hinge = np.maximum(0, 1 - margins)
        losses = float((self.costs * (hinge**2 if self.squared else hinge)).sum())
        alphas = alphas.astype(np.float64)
        extra = float((alphas**2 / (4 * self.costs)).sum()) if self.squared else 0.0
        return norm + losses, float(alphas.sum()) - norm - extra


def solve_problem(
    problem: Problem,
    alphas: np.ndarray,
    tolerance: float,
    max_iter: int,
    seed: int,
    *,
    goal: float = FIRST_GOAL,
    start: tuple[np.ndarray, float] | None = None,
) -> SVMSolution:
    """`solve_svm` of a problem known to be sound: descend on the samples that matter, measure the gap on all, tighten
    the goal, until the gap is closed.

    alphas: (N,) float32 to start from, changed in place. goal: spread of the projected gradients at which the gap is
    first measured, in units of the margin; the closer the start, the smaller. start: (weights, bias) of an
    `SVMSolution` with these alphas, where known; the weights are changed in place.
    """
    upper, diagonal = problem.upper, problem.diagonal
    curvature = np.zeros(len(alphas), np.float32)
    # xorshift must not start at 0.
    state = np.random.default_rng(seed).integers(1, 2**63, size=1, dtype=np.uint64)
    active = np.arange(len(alphas))
    weights, bias = problem.primal_of(alphas) if start is None else (start[0], start[1] / (problem.bias_unit or 1.0))
    passes, visits, gram = 0, np.zeros(1, np.int64), Gram(problem)
    margins = np.zeros(0)
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
            return SVMSolution(
                weights=weights,
                bias=bias * problem.bias_unit,
                alphas=alphas,
                scores=problem.signs * margins,
                objective=primal,
                dual_objective=dual,
                iterations=passes,
                converged=converged,
            )
        gradient = margins - 1 + diagonal * alphas
        at_rest = ((alphas == 0) & (gradient > goal)) | ((alphas == upper) & (gradient < -goal))
        active = np.flatnonzero(~at_rest)
        if done < limit:
            goal = max(goal * _GOAL_FACTOR, _LEAST_GOAL)


def _check_problem(values, labels, rows, sample_weights, alphas) -> None:
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


def check_numbers(C, bias_multiplier, positive_weight, negative_weight, tolerance, max_iter, loss) -> None:
    """Raise ValueError unless the numbers of `solve_svm` are in their ranges."""
    positive = {
        "C": C,
        "positive_weight": positive_weight,
        "negative_weight": negative_weight,
        "tolerance": tolerance,
        "max_iter": max_iter,
    }
    for name, value in positive.items():
        if not value > 0:
            raise ValueError(f"solve_svm: {name}: expected > 0, got {value}")
    if not bias_multiplier >= 0:
        raise ValueError(f"solve_svm: bias_multiplier: expected >= 0 (0: no bias), got {bias_multiplier}")
    if loss not in ("hinge", "squared_hinge"):
        raise ValueError(f"solve_svm: loss: expected hinge or squared_hinge, got {loss!r}")
