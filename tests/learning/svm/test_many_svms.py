"""Many classes at once find what one at a time find."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from detection.learning import solve_svm, solve_svms
from detection.learning.svm import many_svms
from detection.learning.svm._screening import possible_losses


def problem(rows=4000, length=24, classes=5, seed=0):
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 1, (rows, length)).astype(np.float32)
    modes = rng.normal(0, 1, (classes, length)).astype(np.float32)
    labels = np.full((rows, classes), -1, np.int8)
    owners = rng.integers(0, 4 * classes, rows)
    for label in range(classes):
        labels[owners == label, label] = 1
        values[owners == label] += modes[label]
    labels[rng.random((rows, classes)) < 0.1] = 0
    return values, labels


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
def test_each_class_is_that_class_alone(loss):
    values, labels = problem()
    found = solve_svms(values, labels, C=0.02, loss=loss, tolerance=1e-5)
    for column, solution in enumerate(found):
        mine = labels[:, column] != 0
        best = solve_svm(values[mine], labels[mine, column], C=0.02, loss=loss, tolerance=1e-6)
        assert solution.converged
        assert best.dual_objective * (1 - 1e-9) <= solution.objective <= best.objective * (1 + 1.2e-5)
        assert solution.dual_objective <= best.objective
        np.testing.assert_allclose(solution.weights, best.weights, atol=4e-3)
        scores = values[mine] @ solution.weights + solution.bias
        known = ~np.isnan(solution.scores[mine])
        np.testing.assert_allclose(solution.scores[mine][known], scores[known], atol=1e-4)
        assert (labels[mine, column][~known] * scores[~known] >= 1).all()
        assert (solution.alphas[mine][~known] == 0).all()
        assert np.isnan(solution.scores[~mine]).all()
        assert (solution.alphas[~mine] == 0).all()
        signed = (labels[:, column] * solution.alphas.astype(np.float64)) @ values
        np.testing.assert_allclose(signed, solution.weights, atol=1e-4)


def test_working_sets_grow(monkeypatch):
    """However small they start, and with threads."""
    values, labels = problem()
    plain = solve_svms(values, labels, C=0.02)
    monkeypatch.setattr(many_svms, "_FIRST_NEGATIVES", 20)
    monkeypatch.setattr(many_svms, "_LEAST_GROWTH", 20)
    with ThreadPoolExecutor(2) as executor:
        small = solve_svms(values, labels, C=0.02, executor=executor)
    again = solve_svms(values, labels, C=0.02)
    for one, other, third in zip(plain, small, again, strict=True):
        assert other.converged
        assert other.objective == pytest.approx(one.objective, rel=1e-4)
        assert other.weights.tobytes() == third.weights.tobytes()


def test_the_gap_is_that_over_all_rows():
    """Whatever was left unscored: primal and dual objective, summed anew in float64 from weights and alphas."""
    values, labels = problem(rows=6000, length=300, classes=6)
    # So that rows are far from the margin, and most need no second score.
    values *= np.float32(0.3)
    for column, solution in enumerate(solve_svms(values, labels, C=0.05)):
        signs = labels[:, column].astype(np.float64)
        margins = signs * (values.astype(np.float64) @ solution.weights + solution.bias)
        costs = 0.05 * np.where(signs > 0, 2.0, 1.0) * (signs != 0)
        norm = 0.5 * (float(solution.weights.astype(np.float64) @ solution.weights) + (solution.bias / 10) ** 2)
        primal = norm + (costs * np.maximum(0, 1 - margins)).sum()
        dual = solution.alphas.astype(np.float64).sum() - norm
        assert (solution.alphas <= costs.astype(np.float32)).all()
        assert solution.objective == pytest.approx(primal, rel=5e-6)
        assert solution.dual_objective == pytest.approx(dual, rel=5e-6)
        assert solution.converged
        assert primal - dual <= 5.2e-5 * primal


def test_most_rows_are_scored_fewer_times_than_there_are_rounds(monkeypatch):
    values, labels = problem(rows=6000, length=300, classes=6)
    values *= np.float32(0.3)
    passes, screened = [], []

    def all_products(values, weights, norms):
        passes.append(len(weights))
        return plain(values, weights, norms)

    def screening(*arguments):
        screened.append(found := possible_losses(*arguments))
        return found

    plain = many_svms._all_products
    monkeypatch.setattr(many_svms, "_all_products", all_products)
    monkeypatch.setattr(many_svms, "possible_losses", screening)
    scored = solve_svms(values, labels, C=0.05)
    assert passes[0] == 6
    assert min(map(len, screened)) < len(values) * many_svms._FEW
    monkeypatch.setattr(many_svms, "possible_losses", lambda reference, *_: np.arange(len(reference.margins)))
    monkeypatch.setattr(many_svms, "_FEW", 0.5)
    fewer = sum(passes)
    passes.clear()
    everything = solve_svms(values, labels, C=0.05)
    assert sum(passes) > fewer
    for one, other in zip(scored, everything, strict=True):
        assert one.objective == pytest.approx(other.objective, rel=1e-4)


@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
def test_hard_rows_found_by_part_of_the_features(monkeypatch, told, loss):
    """The result is what it is without, also where that part tells nothing; the bits do not depend on threads."""
    values, labels = problem(rows=3000, length=96)
    values *= np.float32(0.3)
    if not told:
        values[:, :24] = 0
    plain = solve_svms(values, labels, C=0.05, loss=loss)
    monkeypatch.setattr(many_svms, "_LEAST_LENGTH", 24)
    monkeypatch.setattr(many_svms, "_LEAST_GROWTH", 50)
    found = solve_svms(values, labels, C=0.05, loss=loss)
    with ThreadPoolExecutor(2) as executor:
        again = solve_svms(values, labels, C=0.05, loss=loss, executor=executor)
    for one, other, third in zip(plain, found, again, strict=True):
        assert other.converged
        assert other.objective == pytest.approx(one.objective, rel=1e-4)
        assert other.weights.tobytes() == third.weights.tobytes()
        assert other.alphas.tobytes() == third.alphas.tobytes()
        np.testing.assert_array_equal(other.scores, third.scores)


def test_what_does_not_converge_says_so():
    values, labels = problem()
    found = solve_svms(values, labels, C=10.0, tolerance=1e-9, max_iter=3)
    assert not any(one.converged for one in found)


def test_one_kind_of_label_is_legal():
    values, _ = problem(rows=50)
    (found,) = solve_svms(values, np.full((50, 1), -1, np.int8), C=0.02)
    assert found.converged
    assert (values @ found.weights + found.bias < -0.9).all()


def test_what_is_refused():
    values, labels = problem(rows=50)
    with pytest.raises(ValueError, match="values: expected float32"):
        solve_svms(values.astype(np.float64), labels)
    with pytest.raises(ValueError, match=r"labels: expected \(M, L\) of -1, 0 and \+1 for 50 rows"):
        solve_svms(values, labels[:40])
    labels[:, 2] = 0
    with pytest.raises(ValueError, match=r"expected a sample of every class, got none in columns \[2\]"):
        solve_svms(values, labels)
