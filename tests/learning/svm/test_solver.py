import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import LinearSVC

from detection.learning import fit_linear_svm, solve_svm, solve_svms
from detection.learning.svm import _kernels


def objective(values, labels, weights, bias, C=1e-3, bias_multiplier=10.0, positive_weight=2.0, squared=False):
    """The documented objective, in float64, from the documented formula."""
    weights = np.asarray(weights, np.float64)
    hinge = np.maximum(0, 1 - labels * (values.astype(np.float64) @ weights + bias))
    losses = np.where(labels > 0, positive_weight, 1) * (hinge**2 if squared else hinge)
    return 0.5 * weights @ weights + 0.5 * (bias / bias_multiplier) ** 2 + C * losses.sum()


def problem(positives, negatives, length, shift, norm, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.repeat([1, -1], [positives, negatives])
    values = rng.normal(size=(positives + negatives, length)) + shift * labels[:, None] * rng.normal(size=length) + 0.3
    values *= norm / np.linalg.norm(values, axis=1).mean()
    return values.astype(np.float32), labels


PROBLEMS = {
    "overlapping": problem(60, 400, 50, 0.05, 20),
    "all separable": problem(30, 300, 64, 2.0, 20),
    "more features than samples": problem(20, 60, 500, 0.1, 20),
    "a single positive": problem(1, 300, 40, 0.3, 20),
    "more positives than negatives": problem(200, 20, 30, 0.1, 20),
    "small features": problem(40, 300, 50, 0.1, 1),
    "unscaled features": problem(40, 300, 50, 0.1, 300),
    "one feature": problem(20, 80, 1, 0.4, 5),
    "odd lengths": problem(17, 131, 37, 0.2, 20),
}
values, labels = PROBLEMS["overlapping"]
PROBLEMS["duplicates"] = (
    np.concatenate([values, values, values[:100]]),
    np.concatenate([labels, labels, labels[:100]]),
)
PROBLEMS["contradicting duplicates"] = (np.concatenate([values, values]), np.concatenate([labels, -labels]))


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
@pytest.mark.parametrize("name", PROBLEMS)
def test_objective_against_liblinear(name, loss):
    values, labels = PROBLEMS[name]
    reference = LinearSVC(
        loss=loss, dual=True, C=1e-3, intercept_scaling=10, class_weight={1: 2, -1: 1}, random_state=0,
        tol=1e-7, max_iter=100_000,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        reference.fit(values, labels)
    squared = loss == "squared_hinge"
    expected = objective(values, labels, reference.coef_[0], reference.intercept_[0], squared=squared)
    solution = solve_svm(values, labels, loss=loss)
    found = objective(values, labels, solution.weights, solution.bias, squared=squared)
    assert solution.converged
    assert found == pytest.approx(expected, rel=1e-4)
    assert solution.objective == pytest.approx(found, rel=1e-5)
    assert -1e-6 * found <= solution.gap <= 5e-5 * found


def test_by_hand():
    # One sample of each label at +-1, no bias, C large: the hard margin, w = 1.
    values = np.array([[1.0], [-1.0]], np.float32)
    weights, bias = fit_linear_svm(values, np.array([1, -1]), C=100, bias_multiplier=0, tolerance=1e-7)
    assert weights.dtype == np.float32
    assert isinstance(bias, float)
    assert weights[0] == pytest.approx(1, rel=1e-4)
    assert bias == 0
    # C small: every dual variable at its bound, w = C (2 * 1 + 1 * 1), b = 10^2 C (2 - 1).
    weights, bias = fit_linear_svm(values, np.array([1, -1]))
    assert weights[0] == pytest.approx(0.003, rel=1e-5)
    assert bias == pytest.approx(0.1, rel=1e-5)


def test_against_a_quadratic_programme():
    """Projected gradient on the dual, in float64: slow and obvious."""
    values, labels = problem(10, 40, 8, 0.3, 20)
    features = labels[:, None] * np.concatenate([values, np.full((50, 1), 10)], axis=1).astype(np.float64)
    hessian, upper = features @ features.T, np.where(labels > 0, 2e-3, 1e-3)
    alphas, step = np.zeros(50), 1 / np.linalg.eigvalsh(hessian).max()
    for _ in range(20_000):
        alphas = np.clip(alphas - step * (hessian @ alphas - 1), 0, upper)
    dual = alphas.sum() - 0.5 * alphas @ hessian @ alphas
    solution = solve_svm(values, labels, tolerance=1e-6)
    assert solution.objective == pytest.approx(dual, rel=1e-5)
    assert solution.dual_objective == pytest.approx(dual, rel=1e-5)


def test_scores_and_objectives_of_the_solution():
    values, labels = PROBLEMS["overlapping"]
    solution = solve_svm(values, labels)
    np.testing.assert_allclose(solution.scores, values @ solution.weights + solution.bias, atol=1e-4)
    rebuilt = (solution.alphas * labels) @ values
    np.testing.assert_allclose(solution.weights, rebuilt, atol=1e-6)
    assert solution.bias == pytest.approx(100 * float((solution.alphas * labels).sum()), abs=1e-5)


def test_rows_pick_samples_without_a_copy():
    values, labels = PROBLEMS["odd lengths"]
    rows = np.random.default_rng(1).permutation(len(values))[:90]
    rows[0] = 0
    picked = solve_svm(values, labels[rows], rows=rows)
    copied = solve_svm(np.ascontiguousarray(values[rows]), labels[rows])
    assert (picked.weights == copied.weights).all()
    assert picked.bias == copied.bias


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
def test_a_sample_weight_is_a_count(loss):
    values, labels = PROBLEMS["odd lengths"]
    counts = np.random.default_rng(2).integers(1, 4, len(values))
    repeated = solve_svm(np.repeat(values, counts, axis=0), np.repeat(labels, counts), loss=loss, tolerance=1e-6)
    weighted = solve_svm(values, labels, sample_weights=counts, loss=loss, tolerance=1e-6)
    assert weighted.objective == pytest.approx(repeated.objective, rel=1e-5)


def test_class_weights_are_sample_weights():
    values, labels = PROBLEMS["odd lengths"]
    by_class = solve_svm(values, labels, positive_weight=3, negative_weight=0.5, tolerance=1e-6)
    weights = np.where(labels > 0, 3, 0.5)
    by_sample = solve_svm(values, labels, positive_weight=1, sample_weights=weights, tolerance=1e-6)
    assert by_class.objective == pytest.approx(by_sample.objective, rel=1e-5)


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
def test_a_warm_start_saves_work(loss):
    values, labels = PROBLEMS["overlapping"]
    cold = solve_svm(values, labels, loss=loss)
    warm = solve_svm(values, labels, loss=loss, alphas=cold.alphas)
    assert warm.converged
    assert warm.iterations < cold.iterations / 2
    assert warm.objective == pytest.approx(cold.objective, rel=1e-4)
    grown = solve_svm(values, labels, C=2e-3, loss=loss, alphas=cold.alphas * 5)
    assert grown.objective == pytest.approx(solve_svm(values, labels, C=2e-3, loss=loss).objective, rel=1e-4)


def test_samples_at_a_bound_are_left_out_and_all_others_looked_at():
    """Eight samples of a feature each: two far beyond the margin and two as far before it stay at 0 and at the top."""
    values, rows, ones = np.eye(8, dtype=np.float32), np.arange(8), np.ones(8, np.float32)
    signs = np.where(rows % 2, 1, -1).astype(np.float32)
    weights = signs * np.float32([20, 20, -20, -20, 0, 0.25, 0.5, 0.75])
    alphas = np.float32([0, 0, 2, 2, 0, 0, 0, 0])
    active, visits = np.arange(8), np.zeros(1, np.int64)
    passes = _kernels.descend(
        values, rows, signs, 2 * ones, 0 * ones, 0 * ones, 0.0,
        alphas, weights, np.zeros(1), active, np.ones(1, np.uint64), 0.1, 5.0, 9, visits,
    )  # fmt: skip
    assert alphas.tolist() == [0, 0, 2, 2, 1, 0.75, 0.5, 0.25]
    assert (signs * weights).tolist() == [20, 20, -20, -20, 1, 1, 1, 1]
    assert set(active[4:].tolist()) == {0, 1, 2, 3}
    # The second pass finds the others at rest.
    assert (passes, visits.tolist()) == (2, [8 + 4])


def test_same_seed_same_bits_other_seed_same_optimum():
    values, labels = PROBLEMS["overlapping"]
    first, again, other = (solve_svm(values, labels, seed=seed) for seed in (0, 0, 1))
    assert (first.weights == again.weights).all()
    assert not (first.weights == other.weights).all()
    assert first.objective == pytest.approx(other.objective, rel=1e-4)


def test_the_start_is_left_alone():
    values, labels = PROBLEMS["odd lengths"]
    start = np.full(len(values), 1e-4, np.float32)
    solve_svm(values, labels, alphas=start)
    assert (start == np.float32(1e-4)).all()


def test_too_few_passes_are_told():
    values, labels = PROBLEMS["unscaled features"]
    solution = solve_svm(values, labels, max_iter=2)
    assert (solution.converged, solution.iterations) == (False, 2)
    assert solution.gap > 5e-5 * solution.objective


@pytest.mark.parametrize("label", [1, -1])
def test_one_label_alone(label):
    values, _ = PROBLEMS["odd lengths"]
    solution = solve_svm(values, np.full(len(values), label))
    assert solution.converged
    assert (label * solution.scores > 0).all()


def test_rows_of_zeros():
    solution = solve_svm(np.zeros((4, 3), np.float32), np.array([1, -1, -1, -1]))
    assert solution.converged
    assert (solution.weights == 0).all()


def test_no_features_and_no_bias():
    solution = solve_svm(np.zeros((3, 2), np.float32), np.array([1, -1, -1]), bias_multiplier=0)
    assert solution.converged
    assert solution.objective == pytest.approx(4e-3)


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.floats(0.05, 20))
def test_scaled_features_are_a_scaled_problem(seed, scale):
    """Features times s = features as they are, C s^2 and bias_multiplier / s: what mining rests on."""
    values, labels = problem(8, 30, 6, 0.2, 10, seed)
    scaled = solve_svm(values * np.float32(scale), labels, tolerance=1e-6)
    plain = solve_svm(values, labels, C=1e-3 * scale**2, bias_multiplier=10 / scale, tolerance=1e-6)
    assert plain.objective / scale**2 == pytest.approx(scaled.objective, rel=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": np.zeros((4, 2))}, "expected float32 of shape"),
        ({"labels": np.array([0, 1, 1, 1])}, "of -1 and \\+1"),
        ({"labels": np.zeros(0)}, "N > 0"),
        ({"labels": np.array([1, -1])}, "2 labels and 4 rows"),
        ({"rows": np.array([0, 1, 2, 4])}, "expected 0 to 3, got 0 to 4"),
        ({"alphas": np.zeros(3)}, "alphas: expected shape \\(4,\\), got \\(3,\\)"),
        ({"sample_weights": np.array([1, 1, 0, 1])}, "sample_weights: expected > 0"),
        ({"C": 0}, "C: expected > 0, got 0"),
        ({"bias_multiplier": -1}, "bias_multiplier: expected >= 0"),
        ({"loss": "l1"}, "expected hinge or squared_hinge, got 'l1'"),
    ],
)
def test_what_is_refused(change, message):
    arguments = {"values": np.ones((4, 2), np.float32), "labels": np.array([1, -1, -1, 1])} | change
    with pytest.raises(ValueError, match=message):
        solve_svm(**arguments)


def many_classes(rows=4000, length=24, classes=5, seed=0):
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
def test_each_of_many_classes_is_that_class_alone(loss):
    values, labels = many_classes()
    with ThreadPoolExecutor(2) as executor, pytest.warns(DeprecationWarning, match="call solve_svm for each class"):
        found = solve_svms(values, labels, C=0.02, loss=loss, executor=executor)
    assert len(found) == 5
    for column, solution in enumerate(found):
        mine = labels[:, column] != 0
        alone = solve_svm(values[mine], labels[mine, column], C=0.02, loss=loss)
        assert solution.converged
        assert solution.weights.tobytes() == alone.weights.tobytes()
        assert (solution.bias, solution.objective, solution.gap) == (alone.bias, alone.objective, alone.gap)
        np.testing.assert_array_equal(solution.scores[mine], alone.scores)
        np.testing.assert_array_equal(solution.alphas[mine], alone.alphas)
        assert np.isnan(solution.scores[~mine]).all()
        assert (solution.alphas[~mine] == 0).all()


@pytest.mark.filterwarnings("ignore:solve_svms:DeprecationWarning")
def test_what_is_refused_of_many_classes():
    values, labels = many_classes(rows=50)
    with pytest.raises(ValueError, match="values: expected float32"):
        solve_svms(values.astype(np.float64), labels)
    with pytest.raises(ValueError, match=r"labels: expected \(M, L\) for 50 rows"):
        solve_svms(values, labels[:40])
    labels[:, 2] = 0
    with pytest.raises(ValueError, match=r"a sample of every class, got shape \(50, 5\) with \[.*, 0, "):
        solve_svms(values, labels)


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
def test_the_short_form_is_solve_svm(loss):
    numbers = {"C": 0.05, "bias_multiplier": 3.0, "positive_weight": 4.0, "loss": loss, "tolerance": 1e-6}
    expected = solve_svm(*PROBLEMS["overlapping"], **numbers)
    weights, bias = fit_linear_svm(*PROBLEMS["overlapping"], **numbers)
    assert weights.tobytes() == expected.weights.tobytes()
    assert bias == expected.bias
