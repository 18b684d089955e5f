"""The samples of one linear SVM, their dual problem, and the products of those that are still being moved."""

from dataclasses import dataclass

import numpy as np

from detection.learning.svm import _kernels

# Most samples whose products are computed: 36 MB of them, and as much again for a copy of those active.
_MOST = 3000
# Samples that a descent without products has looked at, as a part of the square of those active, from which on
# computing the products pays: each takes some of a sample's time.
_SHARE = 1 / 25
# Samples for each value of a row up to which a change costs less with products than without.
_PER_VALUE = 0.5


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

    def objectives(
        self, alphas: np.ndarray, weights: np.ndarray, bias: float, margins: np.ndarray
    ) -> tuple[float, float]:
        """(primal, dual) in float64."""
        norm = 0.5 * (float(np.dot(weights.astype(np.float64), weights)) + bias**2)
        hinge = np.maximum(0, 1 - margins)
        losses = float((self.costs * (hinge**2 if self.squared else hinge)).sum())
        alphas = alphas.astype(np.float64)
        extra = float((alphas**2 / (4 * self.costs)).sum()) if self.squared else 0.0
        return norm + losses, float(alphas.sum()) - norm - extra


class Gram:
    """Products with each other of the samples of a problem that are still active, kept while it is solved.

    For the many passes at the end: members are the samples whose products are known, places (N,) the place of each
    sample among them, -1 for others.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.members = np.zeros(0, np.int64)
        self.places = np.full(len(problem.rows), -1)
        self.products = np.zeros((0, 0), np.float32)

    def pays(self, active: np.ndarray, visits: int) -> bool:
        """Whether to go on with the products of the samples `active`: (n,) int64; visits: see ``_kernels.descend``."""
        wanted = len(self.members) + int((self.places[active] < 0).sum())
        if wanted > min(_MOST, _PER_VALUE * self.problem.values.shape[1]):
            return False
        return len(self.members) > 0 or visits >= _SHARE * wanted**2

    def descend(
        self, active: np.ndarray, alphas: np.ndarray, margins: np.ndarray, state: np.ndarray, goal: float, limit: int
    ) -> int:
        """Passes over `active` until their projected gradients span less than `goal`; alphas change in place.

        margins: (N,) float64 of all samples at these alphas. Returns the number of passes, at most `limit`.
        """
        problem, new = self.problem, active[self.places[active] < 0]
        if len(new):
            self._add(new)
        places = self.places[active]
        signs, upper, diagonal = (one[active] for one in (problem.signs, problem.upper, problem.diagonal))
        products, own = self.products[np.ix_(places, places)], alphas[active]
        scores = signs * margins[active]
        done = _kernels.descend_gram(
            products, signs, upper, diagonal, problem.bias_unit, own, scores, state, goal, limit
        )
        alphas[active] = own
        return done

    def _add(self, new: np.ndarray) -> None:
        known = len(self.members)
        self.members = np.concatenate([self.members, new])
        self.places[new] = np.arange(known, len(self.members))
        products = np.empty((len(self.members),) * 2, np.float32)
        products[:known, :known] = self.products
        _kernels.gram_rows(self.problem.values, self.problem.rows[self.members], known, products)
        self.products = products
