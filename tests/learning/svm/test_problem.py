"""Descents on known products: the same optimum as without, and products that are right."""

import numpy as np
import pytest

from detection.learning import solve_svm
from detection.learning.svm import _kernels, _problem
from detection.learning.svm._problem import Problem

# Float32 sums stall at a gap of 8.5e-6 of this objective with vectors of 512 bits, below 5e-6 with those of 256.
TOLERANCE = 1e-5


@pytest.fixture
def problem():
    """More samples than are support vectors, in more dimensions than those; the classes overlap."""
    rng = np.random.default_rng(4)
    labels = np.where(np.arange(500) < 90, 1, -1)
    values = rng.standard_normal((500, 700), dtype=np.float32)
    values[labels == 1, :40] += 0.6
    return values, labels


def solutions(problem, monkeypatch, **numbers):
    """(without products, with them from the second descent on, how many descents they had)."""
    monkeypatch.setattr(_problem, "_MOST", 0)
    plain = solve_svm(*problem, **numbers)
    monkeypatch.setattr(_problem, "_MOST", 3000)
    monkeypatch.setattr(_problem, "_SHARE", 0)
    monkeypatch.setattr(_problem, "_PER_VALUE", 1)
    descents = []
    descend = _problem.Gram.descend

    def counted(self, active, *rest):
        done = descend(self, active, *rest)
        descents.append((len(active), len(self.members)))
        return done

    monkeypatch.setattr(_problem.Gram, "descend", counted)
    return plain, solve_svm(*problem, **numbers), descents


@pytest.mark.parametrize("bias_multiplier", [0, 10])
@pytest.mark.parametrize(("loss", "C"), [("hinge", 1e-3), ("hinge", 1e-2), ("squared_hinge", 1e-1)])
def test_the_optimum_is_the_same(problem, loss, bias_multiplier, C, monkeypatch):
    numbers = {"C": C, "loss": loss, "bias_multiplier": bias_multiplier, "tolerance": TOLERANCE}
    plain, known, descents = solutions(problem, monkeypatch, **numbers)
    assert descents
    assert plain.converged
    assert known.converged
    assert known.gap <= TOLERANCE * known.objective
    assert known.objective == pytest.approx(plain.objective, rel=2 * TOLERANCE)
    np.testing.assert_allclose(known.scores, problem[0].astype(np.float64) @ known.weights + known.bias, atol=1e-4)


def test_rows_weights_and_a_warm_start(problem, monkeypatch):
    rows = np.random.default_rng(1).permutation(500)[:400]
    given = {"rows": rows, "sample_weights": 1 + np.arange(400) % 3, "C": 0.003, "tolerance": TOLERANCE}
    plain, known, descents = solutions((problem[0], problem[1][rows]), monkeypatch, **given)
    assert descents
    assert known.objective == pytest.approx(plain.objective, rel=2 * TOLERANCE)
    again = solve_svm(problem[0], problem[1][rows], alphas=known.alphas, **given)
    assert again.converged
    assert again.iterations <= known.iterations / 2


def test_samples_that_come_back_are_added(problem):
    """A descent on other samples: the products of those that are new join the known ones, and it ends at rest."""
    values, labels = problem
    costs = 1e-2 * np.where(labels > 0, 2.0, 1.0)
    whole = Problem(values, np.arange(500), labels.astype(np.float32), costs, 10.0, False)
    gram, alphas, goal = _problem.Gram(whole), np.zeros(500, np.float32), 1e-4
    state = np.ones(1, np.uint64)
    for active, members in ((np.arange(0, 200), 200), (np.arange(150, 320), 320), (np.arange(100, 300), 320)):
        before, margins = alphas.copy(), whole.margins(*whole.primal_of(alphas))
        assert gram.descend(active, alphas, margins, state, goal, 1000) < 1000
        assert len(gram.members) == members
        outside = np.setdiff1d(np.arange(500), active)
        np.testing.assert_array_equal(alphas[outside], before[outside])
        gradients = whole.margins(*whole.primal_of(alphas))[active] - 1
        gradients = np.where(alphas[active] == 0, np.minimum(gradients, 0), gradients)
        gradients = np.where(alphas[active] == whole.upper[active], np.maximum(gradients, 0), gradients)
        assert np.ptp(gradients) < 2 * goal


def test_it_is_used_where_it_pays_alone(problem):
    given = _problem.Gram(type("Problem", (), {"values": problem[0], "rows": np.arange(500)})())
    assert not given.pays(np.arange(200), visits=int(200**2 / 25) - 1)
    assert given.pays(np.arange(200), visits=int(200**2 / 25) + 1)
    # Changes would touch more numbers than a row has.
    assert not given.pays(np.arange(400), visits=10**9)


@pytest.mark.parametrize("count", [1, 3, 4, 16, 61])
@pytest.mark.parametrize("known", [0, 1, 15, 40])
def test_products(count, known):
    known = min(known, count)
    rng = np.random.default_rng(count)
    values, rows = rng.standard_normal((80, 37), dtype=np.float32), rng.permutation(80)[:count]
    expected = values[rows].astype(np.float64) @ values[rows].T
    out = np.full((count, count), np.nan, np.float32)
    out[:known, :known] = expected[:known, :known]
    _kernels.gram_rows(values, rows, known, out)
    np.testing.assert_allclose(out, expected, atol=1e-4)
    np.testing.assert_array_equal(out, out.T)
