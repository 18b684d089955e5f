"""The short form: the same minimiser whichever solver the size of the problem calls for."""

import numpy as np
import pytest

from detection.learning import fit_linear_svm, solve_svm
from detection.learning.svm import fit


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    labels = np.where(np.arange(900) < 60, 1, -1)
    values = rng.standard_normal((900, 40), dtype=np.float32) + 0.5 * (labels == 1)[:, None].astype(np.float32)
    return values, labels


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
def test_large_and_small_problems_have_the_same_minimiser(problem, loss, monkeypatch):
    numbers = {"C": 0.05, "bias_multiplier": 3.0, "positive_weight": 4.0, "loss": loss, "tolerance": 1e-6}
    expected = solve_svm(*problem, **numbers)
    found = [fit_linear_svm(*problem, **numbers)]
    called = []
    many = fit.solve_svms
    monkeypatch.setattr(fit, "solve_svms", lambda *given, **named: called.append(1) or many(*given, **named))
    monkeypatch.setattr(fit, "_MANY_VALUES", problem[0].size)
    found.append(fit_linear_svm(*problem, **numbers))
    assert called == [1]
    for weights, bias in found:
        assert weights.dtype == np.float32
        assert isinstance(bias, float)
        np.testing.assert_allclose(weights, expected.weights, atol=2e-3)
        assert bias == pytest.approx(expected.bias, abs=5e-3)


@pytest.mark.parametrize("wrong", [np.zeros(900), np.ones((900, 1)), np.ones(3)])
def test_wrong_labels_are_named_whatever_the_size(problem, wrong, monkeypatch):
    monkeypatch.setattr(fit, "_MANY_VALUES", 1)
    with pytest.raises(ValueError, match=r"labels"):
        fit_linear_svm(problem[0], wrong)
