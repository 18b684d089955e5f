"""The SVMs of many classes over the same rows at once: the rows are read from memory once for all classes."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace

import numpy as np

from detection.learning.classifier import block_products, padded
from detection.learning.svm import Loss, SVMSolution, sample_costs, solve_svm

# Negatives that every class starts from, and the most it takes on after a round, as a part of those it has.
_FIRST_NEGATIVES = 300
_GROWTH = 1.0
# Part of the tolerance that working sets are solved to at last, and how fast it is come to.
_INNER_TOLERANCE = 0.9
_FIRST_TOLERANCE = 0.1
_TIGHTENING = 0.05
_ROUNDS = 100


@dataclass
class _Class:
    """One class between rounds: its working set of rows, their dual variables, what it is solved to."""

    signs: np.ndarray
    costs: np.ndarray
    rows: np.ndarray
    alphas: np.ndarray
    goal: float
    iterations: int = 0
    solution: SVMSolution | None = None


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
    alphas and scores are those of all M rows (alpha 0 where the label is 0). Each class is solved on a working set
    that grows by the rows which violate its margin, as in hard-negative mining, until the duality gap over all of its
    rows is closed; the rows are scored for all classes at a time. executor: where the working sets are solved; threads
    share the rows. Raises ValueError as `solve_svm`, and for a class without a sample.
    """
    _check(values, labels)
    numbers = {"bias_multiplier": bias_multiplier, "loss": loss, "max_iter": max_iter, "seed": seed}
    rng = np.random.default_rng(seed)
    first = rng.permutation(len(values))
    classes = [
        _begin(labels[:, c], sample_costs(labels[:, c], C, positive_weight, 1.0), first, tolerance)
        for c in range(labels.shape[1])
    ]
    open_classes = classes
    for number in range(1, _ROUNDS + 1):
        solve = map if executor is None else executor.map
        jobs = [(values, one, numbers) for one in open_classes]
        for one, solution in zip(open_classes, solve(_solve_working_set, jobs), strict=True):
            one.solution, one.alphas = solution, solution.alphas
            one.iterations += solution.iterations
        scores = _scores(values, open_classes)
        open_classes = [
            one
            for column, one in enumerate(open_classes)
            if not _finish(one, scores[column], numbers, tolerance, max_iter if number < _ROUNDS else 0)
        ]
        if not open_classes:
            break
    return [one.solution for one in classes]


def _begin(labels: np.ndarray, costs: np.ndarray, order: np.ndarray, tolerance: float) -> _Class:
    negatives = order[labels[order] < 0][:_FIRST_NEGATIVES]
    rows = np.concatenate([np.flatnonzero(labels > 0), np.sort(negatives)])
    return _Class(
        labels.astype(np.float32), costs, rows, np.zeros(len(rows), np.float32), max(_FIRST_TOLERANCE, tolerance)
    )


def _solve_working_set(job: tuple[np.ndarray, _Class, dict]) -> SVMSolution:
    values, one, numbers = job
    signs = one.signs[one.rows].astype(np.int64)
    # The costs of the rows as they are: weights of 1 and C of 1.
    return solve_svm(
        values,
        signs,
        rows=one.rows,
        C=1.0,
        positive_weight=1.0,
        sample_weights=one.costs[one.rows],
        alphas=one.alphas,
        tolerance=one.goal,
        **numbers,
    )


def _scores(values: np.ndarray, classes: Sequence[_Class]) -> np.ndarray:
    """(L, M) float32, in one pass over the rows."""
    weights = np.stack([one.solution.weights for one in classes])
    if len(classes) == 1:
        scores = (values @ weights[0])[None]
    else:
        # BLAS, which packs the rows first, is slower for so few products of each.
        scores = np.ascontiguousarray(block_products(values, padded(weights))[:, : len(classes)].T)
    scores += np.array([one.solution.bias for one in classes], np.float32)[:, None]
    return scores


def _finish(one: _Class, scores: np.ndarray, numbers: dict, tolerance: float, max_iter: int) -> bool:
    """Whether the gap over all rows is closed (or given up); else the working set is made ready for another round."""
    squared = numbers["loss"] == "squared_hinge"
    margins = one.signs * scores
    violating = np.flatnonzero((margins < 1) & (one.signs != 0))
    short = np.zeros(len(scores))
    short[violating] = 1 - margins[violating].astype(np.float64)
    inside, everywhere = (_losses(one, rows, short[rows], squared) for rows in (one.rows, violating))
    own = _losses(one, one.rows, 1 - one.signs[one.rows] * one.solution.scores, squared)
    primal = one.solution.objective - own + (everywhere - inside) + inside
    gap = primal - one.solution.dual_objective
    converged = gap <= tolerance * primal
    if converged or one.iterations >= max_iter:
        alphas = np.zeros(len(scores), np.float32)
        alphas[one.rows] = one.alphas
        one.solution = replace(
            one.solution, alphas=alphas, scores=scores.astype(np.float64), objective=primal,
            iterations=one.iterations, converged=converged,
        )  # fmt: skip
        return True
    _grow(one, short)
    one.goal = max(min(one.goal, gap / primal) * _TIGHTENING, tolerance * _INNER_TOLERANCE)
    return False


def _losses(one: _Class, rows: np.ndarray, short: np.ndarray, squared: bool) -> float:
    """Their sum over `rows`, whose margins lack `short` to 1."""
    lacking = np.maximum(0, short)
    return float((one.costs[rows] * (lacking**2 if squared else lacking)).sum())


def _grow(one: _Class, short: np.ndarray) -> None:
    """Drop rows at rest that are far from the margin, take on those that violate it most."""
    positive = one.signs[one.rows] > 0
    keep = positive | (one.alphas > 0) | (short[one.rows] > 0)
    one.rows, one.alphas = one.rows[keep], one.alphas[keep]
    outside = short.copy()
    outside[one.rows] = 0
    wanted = np.flatnonzero(outside)
    most = max(int(_GROWTH * len(one.rows)), _FIRST_NEGATIVES)
    if len(wanted) > most:
        wanted = np.sort(wanted[np.argpartition(-outside[wanted], most)[:most]])
    one.rows = np.concatenate([one.rows, wanted])
    one.alphas = np.concatenate([one.alphas, np.zeros(len(wanted), np.float32)])


def _check(values: np.ndarray, labels: np.ndarray) -> None:
    if not isinstance(values, np.ndarray) or values.dtype != np.float32 or values.ndim != 2:
        raise ValueError(f"solve_svms: values: expected float32 of shape (M, D), got {np.shape(values)}")
    if labels.ndim != 2 or len(labels) != len(values) or not np.isin(labels, (-1, 0, 1)).all():
        raise ValueError(
            f"solve_svms: labels: expected (M, L) of -1, 0 and +1 for {len(values)} rows, got shape {labels.shape}"
        )
    empty = np.flatnonzero(~labels.any(axis=0))
    if len(empty):
        raise ValueError(f"solve_svms: labels: expected a sample of every class, got none in columns {empty.tolist()}")
