"""Coordinate descent on samples whose products with each other are known: for the many passes at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from detection.learning.svm import _kernels

if TYPE_CHECKING:
    from detection.learning.svm.solver import Problem

# Most samples whose products are computed: 36 MB of them, and as much again for a copy of those active.
_MOST = 3000
# Samples that a descent without products has looked at, as a part of the square of those active, from which on
# computing the products pays: each takes some of a sample's time.
_SHARE = 1 / 25
# Samples for each value of a row up to which a change costs less with products than without.
_PER_VALUE = 0.5


class Gram:
    """Products of the samples of a problem that are still active, kept while the problem is solved."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        # Samples whose products are known, and the place of each among them, -1 for others.
        self.members = np.zeros(0, np.int64)
        self.places: np.ndarray | None = None
        self.products = np.zeros((0, 0), np.float32)

    def pays(self, active: np.ndarray, visits: int) -> bool:
        """Whether to go on with the products of the samples `active`: (n,) int64; visits: see ``_kernels.descend``."""
        wanted = len(active) if self.places is None else len(self.members) + int((self.places[active] < 0).sum())
        if wanted > min(_MOST, _PER_VALUE * self.problem.values.shape[1]):
            return False
        return self.places is not None or visits >= _SHARE * wanted**2

    def descend(
        self, active: np.ndarray, alphas: np.ndarray, margins: np.ndarray, state: np.ndarray, goal: float, limit: int
    ) -> int:
        """Passes over `active` until their projected gradients span less than `goal`; alphas change in place.

        margins: (N,) float64 of all samples at these alphas. Returns the number of passes, at most `limit`.
        """
        self._cover(active)
        problem, places = self.problem, self.places[active]
        signs, upper, diagonal = (one[active] for one in (problem.signs, problem.upper, problem.diagonal))
        products, own = self.products[np.ix_(places, places)], alphas[active]
        scores = signs * margins[active]
        done = _kernels.descend_gram(
            products, signs, upper, diagonal, problem.bias_unit, own, scores, state, goal, limit
        )
        alphas[active] = own
        return done

    def _cover(self, active: np.ndarray) -> None:
        """Compute the products that are not known yet."""
        if self.places is None:
            self.places = np.full(len(self.problem.rows), -1)
        new = active[self.places[active] < 0]
        if not len(new):
            return
        known = len(self.members)
        self.members = np.concatenate([self.members, new])
        self.places[new] = np.arange(known, len(self.members))
        products = np.empty((len(self.members),) * 2, np.float32)
        products[:known, :known] = self.products
        _kernels.gram_rows(self.problem.values, self.problem.rows[self.members], known, products)
        self.products = products
