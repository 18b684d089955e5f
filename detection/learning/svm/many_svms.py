"""The SVMs of many classes over the same rows at once: the rows are read from memory once for all classes.

Each class is solved on a working set that grows by the rows which violate its margin, as in hard-negative mining.
Scoring all rows is what costs: once the weights have nearly settled, only those that can have a loss are scored again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from detection.learning.svm._screening import Reference, possible_losses
from detection.learning.svm.linear_svms import padded
from detection.learning.svm.solver import (
    Loss,
    Problem,
    SVMSolution,
    _kernels,
    check_numbers,
    sample_costs,
    solve_problem,
)

# Negatives that every class starts from, and the most rows it takes on after a round: a part of those it has, or these.
_FIRST_NEGATIVES = 100
_GROWTH = 1.5
_LEAST_GROWTH = 300
# Part of the tolerance that working sets are solved to at last, and how fast it is come to.
_INNER_TOLERANCE = 0.9
_FIRST_TOLERANCE = 0.3
_TIGHTENING = 0.02
# MapFunction of the projected gradients at which the gap of a working set is first measured, in units of the tolerance
# that it is solved to: where most working sets have come to that. It steers the time, not the result.
_GOAL_OF_TOLERANCE = 6.0
# Part of the rows up to which those of a class are scored by themselves: the time that takes, each row being read from
# memory for this class alone, is about a class's share of a pass over all rows for many classes.
_FEW = 0.125
_ROUNDS = 100
# Part of the features by which the first hard rows are found, if they are so many, and what is solved to after that.
_PART = 0.25
_LEAST_LENGTH = 512
_SECOND_TOLERANCE = 1e-2


@dataclass(frozen=True)
class _Task:
    """What is the same for all classes: the rows (M, D) and the numbers of `solve_svms`."""

    values: np.ndarray
    C: float
    positive_weight: float
    bias_unit: float
    squared: bool
    tolerance: float
    max_iter: int
    seed: int

    def costs(self, signs: np.ndarray) -> np.ndarray:
        """(n,) float64."""
        return sample_costs(signs, self.C, self.positive_weight, 1.0)

    def solve(self, problem: Problem, one: _Class, start: tuple[np.ndarray, float] | None) -> SVMSolution:
        """`solve_problem` from the class's dual variables to its goal."""
        # The squared loss is smooth: its gap falls with the square of the gradients.
        spread = np.sqrt(one.goal) if self.squared else _GOAL_OF_TOLERANCE * one.goal
        return solve_problem(problem, one.alphas, one.goal, self.max_iter, self.seed, goal=float(spread), start=start)

    def losses(self, signs: np.ndarray, short: np.ndarray) -> float:
        """Sum of the losses of rows whose margins lack `short` (n,) >= 0 to 1."""
        lacking = short * short if self.squared else short
        positives = lacking[signs > 0]
        # Their costs but C, without an array of all rows' costs.
        total = lacking.sum(dtype=np.float64) + (self.positive_weight - 1) * positives.sum(dtype=np.float64)
        return self.C * float(total)


@dataclass
class _Class:
    """One class between rounds: its working set of rows, their dual variables, what it is solved to.

    signs: (M,) float32 of -1, 0 and 1. rows (N,) int64, alphas (N,) float32. reference: of the last pass over all rows.
    """

    signs: np.ndarray
    rows: np.ndarray
    alphas: np.ndarray
    goal: float
    iterations: int = 0
    solution: SVMSolution | None = None
    reference: Reference | None = None


def solve_svms(
    values: np.ndarray,
    labels: np.ndarray,
    *,
    C: float = 1e-3,
    bias_multiplier: float = 10.0,
    positive_weight: float = 2.0,
    loss: Loss = "hinge",
    tolerance: float = 5e-5,
    max_iter: int = 10_000,
    seed: int = 0,
    executor: Executor | None = None,
) -> list[SVMSolution]:
    """`solve_svm` for each column of `labels`: what it says of problem, arguments and results holds here too.

    values: (M, D) float32. labels: (M, L) int8 of -1, 0 and +1; rows of 0 are no samples of the class. A solution's
    alphas and scores are (M,): alpha 0 where the label is 0; scores NaN where they were not computed, which are rows
    of label 0 and rows beyond the margin for certain, whose loss and alpha are 0. (All scores: ``values @ weights +
    bias``, a pass over the rows that solving can do without.) Each class is solved on a working set that grows by the
    rows which violate its margin, as in hard-negative mining, until the duality gap over all of its rows is closed:
    summed from exact scores of all that can have a loss.
    executor: where the working sets are solved; threads share the rows. Raises ValueError as `solve_svm`, and for a
    class without a sample.
    """
    _check(values, labels)
    check_numbers(C, bias_multiplier, positive_weight, 1.0, tolerance, max_iter, loss)
    values = np.ascontiguousarray(values)
    task = _Task(values, C, positive_weight, float(bias_multiplier), loss == "squared_hinge", tolerance, max_iter, seed)
    first = np.random.default_rng(seed).permutation(len(values))
    classes = [_begin(column, first, tolerance) for column in np.ascontiguousarray(labels.T)]
    solve = map if executor is None else executor.map
    _preselect(task, classes, solve)
    norms, open_classes = np.empty(len(values), np.float32), classes
    for number in range(1, _ROUNDS + 1):
        for one, solution in zip(open_classes, solve(partial(_solve_working_set, task), open_classes), strict=True):
            one.solution, one.alphas = solution, solution.alphas
            one.iterations += solution.iterations
        rows = _rows_to_score(values, open_classes, norms)
        open_classes = [
            one for one, few in zip(open_classes, rows, strict=True) if not _finish(task, one, few, number == _ROUNDS)
        ]
        if not open_classes:
            break
    return [one.solution for one in classes]


def _begin(labels: np.ndarray, order: np.ndarray, tolerance: float) -> _Class:
    negatives, many = order[:0], _FIRST_NEGATIVES
    # Enough of the order to find them in, mostly, rather than all of it.
    while len(negatives) < _FIRST_NEGATIVES and many < 4 * len(order):
        many *= 4
        negatives = order[:many][labels[order[:many]] < 0][:_FIRST_NEGATIVES]
    rows = np.concatenate([np.flatnonzero(labels > 0), np.sort(negatives)])
    return _Class(
        signs=labels.astype(np.float32),
        rows=rows,
        alphas=np.zeros(len(rows), np.float32),
        goal=max(_FIRST_TOLERANCE, tolerance),
    )


def _preselect(task: _Task, classes: Sequence[_Class], solve: Callable) -> None:
    """Grow the first working sets by the rows that seem to violate the margin by the first part of the features.

    Scaled up, products of a part are about those of all features: good enough to tell which rows are hard, and for dual
    variables to start from. That it costs less is all: what is found is scored and solved by all features after that.
    """
    length = int(task.values.shape[1] * _PART)
    if length < _LEAST_LENGTH:
        return
    scale = np.float32(np.sqrt(task.values.shape[1] / length))

    def solution(one: _Class) -> SVMSolution:
        signs = one.signs[one.rows]
        part = task.values[one.rows, :length] * scale
        problem = Problem(part, np.arange(len(part)), signs, task.costs(signs), task.bias_unit, task.squared)
        return task.solve(problem, one, None)

    found = list(solve(solution, classes))
    products = _all_products(task.values, scale * np.stack([each.weights for each in found]), None)
    for one, each, scores in zip(classes, found, products, strict=False):
        one.iterations = each.iterations
        one.goal = max(_SECOND_TOLERANCE, _INNER_TOLERANCE * task.tolerance)
        scores += np.float32(each.bias)
        scores *= one.signs
        np.subtract(1, scores, out=scores)
        scores[one.signs == 0] = 0
        _grow(one, np.maximum(0, scores, out=scores))


def _solve_working_set(task: _Task, one: _Class) -> SVMSolution:
    signs = one.signs[one.rows]
    problem = Problem(task.values, one.rows, signs, task.costs(signs), task.bias_unit, task.squared)
    # Rows that left the working set were at rest at 0, and new ones begin there: the weights are still theirs.
    start = None if one.solution is None else (one.solution.weights.copy(), one.solution.bias)
    return task.solve(problem, one, start)


def _rows_to_score(values: np.ndarray, classes: Sequence[_Class], norms: np.ndarray) -> list[np.ndarray | None]:
    """For each class the rows that can have a loss; None where all have been scored, which gives it a reference.

    norms: (M,) float32, written when there is no reference yet.
    """
    first = classes[0].reference is None
    found: list[np.ndarray | None] = [None] * len(classes)
    if not first:
        few = _FEW * len(values)
        rows = [possible_losses(one.reference, one.solution.weights, one.solution.bias, norms) for one in classes]
        found = [candidates if len(candidates) <= few else None for candidates in rows]
    everywhere = [one for one, candidates in zip(classes, found, strict=True) if candidates is None]
    if everywhere:
        products = _all_products(
            values, np.stack([one.solution.weights for one in everywhere]), norms if first else None
        )
        for one, margins in zip(everywhere, products, strict=False):
            margins += np.float32(one.solution.bias)
            margins *= one.signs
            margins[one.signs == 0] = np.inf
            one.reference = Reference(one.solution.weights, one.solution.bias, margins)
    return found


def _all_products(values: np.ndarray, weights: np.ndarray, norms: np.ndarray | None) -> np.ndarray:
    """(C, M) float32, perhaps with rows added, of the first d values of (M, D) and weights (C, d).

    norms: (M,) float32 to write the rows' lengths over all D to.
    """
    if norms is None and len(weights) == 1:
        return (values[:, : weights.shape[1]] @ weights[0])[None]
    if len(weights) > 1:
        weights = padded(weights)
    products = np.empty((len(weights), len(values)), np.float32)
    squares = np.empty(0 if norms is None else len(values), np.float32)
    _kernels.products_and_squares(values, weights, products, squares)
    if norms is not None:
        np.sqrt(squares, out=norms)
    return products


def _finish(task: _Task, one: _Class, rows: np.ndarray | None, give_up: bool) -> bool:
    """Whether the gap over all rows is closed (or given up); else the working set is made ready for another round.

    rows: (n,) int64, beyond which no row has a loss; None: the margins of the reference are those of the solution.
    """
    if rows is None:
        margins, rows = one.reference.margins, slice(None)
    else:
        margins = np.empty(len(rows), np.float32)
        _kernels.row_products(task.values, rows, one.solution.weights, margins)
        margins += np.float32(one.solution.bias)
        margins *= one.signs[rows]
    short = _spread(np.maximum(0, 1 - margins), rows, np.zeros(len(one.signs), np.float32))
    signs = one.signs[one.rows]
    own = task.losses(signs, np.maximum(0, 1 - signs * one.solution.scores))
    primal = one.solution.objective - own + task.losses(one.signs, short)
    gap = primal - one.solution.dual_objective
    converged = gap <= task.tolerance * primal
    if converged or give_up or one.iterations >= task.max_iter:
        # Where the sign is 0 the margin is inf.
        with np.errstate(invalid="ignore"):
            scores = _spread(one.signs[rows] * margins, rows, np.full(len(short), np.nan))
        scores[one.rows] = one.solution.scores
        one.solution = replace(
            one.solution,
            alphas=_spread(one.alphas, one.rows, np.zeros(len(short), np.float32)),
            scores=scores,
            objective=primal,
            iterations=one.iterations,
            converged=converged,
        )
        return True
    _grow(one, short)
    one.goal = max(min(one.goal, gap / primal) * _TIGHTENING, task.tolerance * _INNER_TOLERANCE)
    return False


def _spread(found: np.ndarray, rows: np.ndarray | slice, everywhere: np.ndarray) -> np.ndarray:
    """`everywhere` (M,), with what was found at `rows` written into it."""
    everywhere[rows] = found
    return everywhere


def _grow(one: _Class, short: np.ndarray) -> None:
    """Drop rows at rest that are far from the margin, take on those that violate it most."""
    positive = one.signs[one.rows] > 0
    keep = positive | (one.alphas > 0) | (short[one.rows] > 0)
    one.rows, one.alphas = one.rows[keep], one.alphas[keep]
    outside = short.copy()
    outside[one.rows] = 0
    wanted = np.flatnonzero(outside > 0)
    most = max(int(_GROWTH * len(one.rows)), _LEAST_GROWTH)
    if len(wanted) > most:
        wanted = np.sort(wanted[np.argpartition(-outside[wanted], most)[:most]])
    one.rows = np.concatenate([one.rows, wanted])
    one.alphas = np.concatenate([one.alphas, np.zeros(len(wanted), np.float32)])


def _check(values: np.ndarray, labels: np.ndarray) -> None:
    if not isinstance(values, np.ndarray) or values.dtype != np.float32 or values.ndim != 2:
        raise ValueError(f"solve_svms: values: expected float32 of shape (M, D), got {np.shape(values)}")
    if labels.ndim != 2 or len(labels) != len(values) or not ((labels == 0) | (labels == 1) | (labels == -1)).all():
        raise ValueError(
            f"solve_svms: labels: expected (M, L) of -1, 0 and +1 for {len(values)} rows, got shape {labels.shape}"
        )
    empty = np.flatnonzero(~labels.any(axis=0))
    if len(empty):
        raise ValueError(f"solve_svms: labels: expected a sample of every class, got none in columns {empty.tolist()}")
