"""Many classes at once find what one at a time find."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from detection.learning import solve_svm, solve_svms


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
        np.testing.assert_allclose(solution.scores[mine], scores, atol=1e-4)
        assert (solution.alphas[~mine] == 0).all()
        signed = (labels[:, column] * solution.alphas.astype(np.float64)) @ values
        np.testing.assert_allclose(signed, solution.weights, atol=1e-4)


def test_working_sets_grow(monkeypatch):
    """However small they start, and with threads."""
    values, labels = problem()
    plain = solve_svms(values, labels, C=0.02)
    monkeypatch.setattr("detection.learning.many_svms._FIRST_NEGATIVES", 20)
    with ThreadPoolExecutor(2) as executor:
        small = solve_svms(values, labels, C=0.02, executor=executor)
    again = solve_svms(values, labels, C=0.02)
    for one, other, third in zip(plain, small, again, strict=True):
        assert other.converged
        assert other.objective == pytest.approx(one.objective, rel=1e-4)
        assert other.weights.tobytes() == third.weights.tobytes()


def test_what_does_not_converge_says_so():
    values, labels = problem()
    found = solve_svms(values, labels, C=10.0, tolerance=1e-9, max_iter=3)
    assert not any(one.converged for one in found)


def test_one_kind_of_label_is_legal():
    values, _ = problem(rows=50)
    (found,) = solve_svms(values, np.full((50, 1), -1, np.int8), C=0.02)
    assert found.converged
    assert (found.scores < -0.9).all()


def test_what_is_refused():
    values, labels = problem(rows=50)
    with pytest.raises(ValueError, match="values: expected float32"):
        solve_svms(values.astype(np.float64), labels)
    with pytest.raises(ValueError, match=r"labels: expected \(M, L\) of -1, 0 and \+1 for 50 rows"):
        solve_svms(values, labels[:40])
    labels[:, 2] = 0
    with pytest.raises(ValueError, match=r"expected a sample of every class, got none in columns \[2\]"):
        solve_svms(values, labels)
