import numpy as np
import pytest
from scipy.optimize import minimize

from detection.learning import Calibration, fit_calibration, reliability


def sample(slope, intercept, count, seed=0):
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, 1, count).astype(np.float32)
    return scores, rng.random(count) < 1 / (1 + np.exp(-(slope * scores + intercept)))


def test_a_known_sigmoid_is_found():
    scores, right = sample(2.0, -1.0, 40_000)
    found = fit_calibration(scores, np.zeros(len(scores), np.int64), right, 1)
    assert found.slopes[0] == pytest.approx(2.0, abs=0.06)
    assert found.intercepts[0] == pytest.approx(-1.0, abs=0.05)
    expected = 1 / (1 + np.exp(-(found.slopes[0] * 0.5 + found.intercepts[0])))
    assert found.probabilities(np.array([0.5], np.float32), np.array([0]))[0] == pytest.approx(expected, rel=1e-12)


def test_it_is_platts_objective():
    """His targets, and the minimum of the cross entropy that an outside optimiser finds."""
    scores, right = sample(1.5, 0.3, 60)
    targets = np.where(right, (right.sum() + 1) / (right.sum() + 2), 1 / ((~right).sum() + 2))

    def loss(parameters):
        z = parameters[0] * scores.astype(np.float64) + parameters[1]
        return (np.logaddexp(0, z) - targets * z).sum()

    best = minimize(loss, [0.0, 0.0], tol=1e-12).x
    found = fit_calibration(scores, np.zeros(60, np.int64), right, 1)
    assert [found.slopes[0], found.intercepts[0]] == pytest.approx(best, rel=1e-3)


def test_separable_scores_stay_finite():
    scores = np.r_[-np.arange(1, 21), np.arange(1, 21)].astype(np.float32)
    found = fit_calibration(scores, np.zeros(40, np.int64), scores > 0, 1)
    chances = found.probabilities(np.array([-1000, 0, 1000], np.float32), np.zeros(3, np.int64))
    assert np.isfinite(found.slopes[0])
    assert chances == pytest.approx([0, 0.5, 1], abs=0.03)


def test_too_few_and_meaningless_scores():
    scores, right = sample(2.0, 0.0, 400)
    labels = np.repeat([0, 1, 2, 3], 100)
    right[100:200] = False
    right[200:300] = scores[200:300] < 0
    found = fit_calibration(scores, labels, right, 5)
    assert found.trained.tolist() == [True, False, False, True, False]
    assert np.isnan(found.probabilities(scores[:3], np.array([1, 2, 4]))).all()
    none = fit_calibration(scores[:0], labels[:0], right[:0], 2)
    assert not none.trained.any()


def test_classes_are_apart():
    scores, right = sample(2.0, -1.0, 600)
    labels = np.arange(600) % 2
    both = fit_calibration(scores, labels, right, 2)
    alone = fit_calibration(scores[labels == 1], np.zeros(300, np.int64), right[labels == 1], 1)
    assert (both.slopes[1], both.intercepts[1]) == (alone.slopes[0], alone.intercepts[0])
    joined = both.select(np.array([1])).joined(Calibration.untrained(1))
    assert joined.trained.tolist() == [True, False]
    assert joined.slopes[0] == both.slopes[1]


def test_round_trip():
    scores, right = sample(2.0, -1.0, 100)
    one = fit_calibration(scores, np.zeros(100, np.int64), right, 2)
    again = Calibration.from_arrays(*one.to_arrays())
    assert again.slopes.tobytes() == one.slopes.tobytes()
    assert again.trained.tolist() == [True, False]
    with pytest.raises(ValueError, match="expected kind 'calibration'"):
        Calibration.from_arrays(one.to_arrays()[0], {"kind": "linear_svms", "format_version": "1"})


def test_reliability_by_hand():
    found = reliability(np.array([0.1, 0.15, 0.6, 0.9, 1.0, np.nan]), np.array([0, 1, 1, 1, 1, 1], bool), bins=4)
    assert found.counts.tolist() == [2, 0, 1, 2]
    assert found.predicted[[0, 2, 3]] == pytest.approx([0.125, 0.6, 0.95])
    assert found.observed[[0, 2, 3]].tolist() == [0.5, 1, 1]
    assert np.isnan(found.predicted[1])
    assert found.error == pytest.approx((2 * 0.375 + 0.4 + 2 * 0.05) / 5)


def test_reliability_of_nothing():
    found = reliability(np.zeros(0), np.zeros(0, bool))
    assert found.counts.tolist() == [0] * 10
    assert np.isnan(found.error)


def test_true_probabilities_are_reliable():
    rng = np.random.default_rng(1)
    chances = rng.random(50_000)
    assert reliability(chances, rng.random(50_000) < chances).error < 0.01
    assert reliability(chances, rng.random(50_000) < chances**3).error > 0.2
