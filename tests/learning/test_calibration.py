import numpy as np
import pytest
from scipy.optimize import minimize

from detection.learning import Calibration, CalibrationSettings, fit_calibration
from detection.types import Detections

FEW = CalibrationSettings(min_found=5)
FIXED = Calibration.fixed(1)


def fit(scores, labels, right, num_classes, settings=FEW):
    """With as many objects as were found and three more of each class."""
    objects = np.bincount(labels[right], minlength=num_classes) + 3
    return fit_calibration(scores, labels, right, objects, settings)


def sample(slope, intercept, count, seed=0):
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, 1, count).astype(np.float32)
    return scores, rng.random(count) < 1 / (1 + np.exp(-(slope * scores + intercept)))


def test_a_known_sigmoid_is_found():
    scores, right = sample(2.0, -1.0, 40_000)
    found = fit(scores, np.zeros(len(scores), np.int64), right, 1)
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
    found = fit(scores, np.zeros(60, np.int64), right, 1)
    assert [found.slopes[0], found.intercepts[0]] == pytest.approx(best, rel=1e-3)


def test_separable_scores_stay_finite():
    scores = np.r_[-np.arange(1, 21), np.arange(1, 21)].astype(np.float32)
    found = fit(scores, np.zeros(40, np.int64), scores > 0, 1)
    assert -2 < found.thresholds[0] < 1
    chances = found.probabilities(np.array([-1000, 0, 1000], np.float32), np.zeros(3, np.int64))
    assert np.isfinite(found.slopes[0])
    assert chances == pytest.approx([0, 0.5, 1], abs=0.03)


def test_too_few_and_meaningless_scores():
    scores, right = sample(2.0, 0.0, 400)
    labels = np.repeat([0, 1, 2, 3], 100)
    right[100:200] = False
    right[200:300] = scores[200:300] < 0
    found = fit(scores, labels, right, 5)
    assert found.trained.tolist() == [True, False, False, True, False]
    # The others have what all classes together give, which rises with the margin.
    together = fit(scores, np.zeros(400, np.int64), right, 1)
    for label in (1, 2, 4):
        assert found.slopes[label] == pytest.approx(together.slopes[0], rel=1e-6)
        assert found.thresholds[label] != found.thresholds[0]
    assert found.slopes[1] > 0
    none = fit(scores[:0], labels[:0], right[:0], 2)
    assert not none.trained.any()
    assert none.slopes.tolist() == [FIXED.slopes[0]] * 2
    assert none.thresholds.tolist() == [FIXED.thresholds[0]] * 2


def test_settings_decide():
    scores, right = sample(2.0, -1.0, 400)
    labels = np.zeros(400, np.int64)
    plain = fit(scores, labels, right, 1)
    strict = fit(scores, labels, right, 1, CalibrationSettings(precision=0.9))
    assert strict.slopes[0] == plain.slopes[0]
    assert strict.thresholds[0] > plain.thresholds[0]
    assert not fit(scores, labels, right, 1, CalibrationSettings(min_found=int(right.sum()) + 1)).trained.any()


@pytest.mark.parametrize(
    ("name", "value"),
    [("images", -1), ("folds", 1), ("precision", 0.0), ("precision", 1.1), ("min_found", 0), ("seed", -1)],
)
def test_settings_out_of_range(name, value):
    with pytest.raises(ValueError, match=f"calibration.{name}: expected"):
        CalibrationSettings(**{name: value})


def test_detections_get_probabilities_and_are_shown_from_their_threshold_on():
    one = Calibration(np.array([2.0, 1.0]), np.zeros(2), np.array([True, False]), np.array([0.5, -1.0]))
    boxes = np.float32([[0, 0, 9, 9]] * 3)
    found = Detections("a", boxes, np.float32([0.5, 0.4, -0.9]), np.array([0, 0, 1]))
    assert one.applied(found).probabilities == pytest.approx(1 / (1 + np.exp([-1, -0.8, 0.9])))
    assert one.shown(found).tolist() == [True, False, True]
    assert one.threshold_probabilities() == pytest.approx(1 / (1 + np.exp([-1, 1])))


def test_calibrations_of_before_there_were_thresholds():
    metadata = {"kind": "calibration", "format_version": "1"}
    arrays = {"slopes": np.array([2.0, 0.0]), "intercepts": np.array([1.0, 0.0]), "trained": np.array([True, False])}
    found = Calibration.from_arrays(arrays, metadata)
    assert (found.slopes.tolist(), found.intercepts.tolist()) == ([2.0, FIXED.slopes[0]], [1.0, FIXED.intercepts[0]])
    assert found.thresholds.tolist() == [FIXED.thresholds[0]] * 2


def test_classes_are_apart():
    scores, right = sample(2.0, -1.0, 600)
    labels = np.arange(600) % 2
    both = fit(scores, labels, right, 2)
    alone = fit(scores[labels == 1], np.zeros(300, np.int64), right[labels == 1], 1)
    assert (both.slopes[1], both.intercepts[1]) == (alone.slopes[0], alone.intercepts[0])
    joined = both.select(np.array([1])).joined(Calibration.fixed(1))
    assert joined.trained.tolist() == [True, False]
    assert joined.slopes[0] == both.slopes[1]


def test_round_trip():
    scores, right = sample(2.0, -1.0, 100)
    one = fit(scores, np.zeros(100, np.int64), right, 2)
    again = Calibration.from_arrays(*one.to_arrays())
    assert again.slopes.tobytes() == one.slopes.tobytes()
    assert again.trained.tolist() == [True, False]
    with pytest.raises(ValueError, match="expected kind 'calibration'"):
        Calibration.from_arrays(one.to_arrays()[0], {"kind": "linear_svms", "format_version": "1"})
