import numpy as np
import pytest

from detection.learning import reliability


def test_reliability_by_hand():
    found = reliability(np.array([0.1, 0.15, 0.6, 0.9, 1.0]), np.array([0, 1, 1, 1, 1], bool), bins=4)
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
