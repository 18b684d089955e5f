import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.evaluation import ELEVEN_POINTS, Interval, IntervalSettings, difference, evaluate, intervals
from detection.evaluation._kernels import weighted_ap
from detection.evaluation.intervals import _curves, _draws, _interval
from detection.types import AnnotatedImage, Detections

A, B, FAR = [0, 0, 10, 10], [20, 0, 30, 10], [60, 60, 70, 70]
POINTS = {"voc07": np.array(ELEVEN_POINTS), "voc10": np.zeros(0)}


def copies(detections, annotations, weights):
    """The set with image i there weights[i] times, under other names."""
    many = [(one, other, k) for one, other, n in zip(detections, annotations, weights, strict=True) for k in range(n)]
    found = [Detections(f"{one.image_id} {k}", one.boxes, one.scores, one.labels) for one, _, k in many]
    truth = [
        AnnotatedImage(f"{one.image_id} {k}", one.path, one.size, one.boxes, one.labels, one.difficult)
        for _, one, k in many
    ]
    return found, truth


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["voc07", "voc10"]), st.sampled_from(["ignore", "count", "drop"]))
def test_a_weight_is_as_many_copies(random_case, seed, metric, difficult):
    detections, annotations = random_case(seed)
    weights = np.random.default_rng(seed).integers(0, 4, len(annotations))
    result = evaluate(detections, annotations, ["a", "b", "c"], metric, difficult=difficult)
    expected = evaluate(*copies(detections, annotations, weights), ["a", "b", "c"], metric, difficult=difficult)
    for label, one in enumerate(expected.per_class):
        (curve,) = _curves(result, label)
        (got,) = weighted_ap(*curve, weights[None].astype(np.int32), POINTS[metric])
        assert got == pytest.approx(np.nan if one.ap is None else one.ap, abs=1e-12, nan_ok=True)


def test_a_draw_without_objects_ends_no_other():
    """A false positive of image 1 above the only object, of image 0."""
    weights = np.array([[0, 4], [1, 1], [0, 4], [1, 3]], np.int32)
    got = weighted_ap(np.array([1, 0]), np.array([False, True]), np.array([0]), weights, POINTS["voc10"])
    assert got == pytest.approx([np.nan, 1 / 2, np.nan, 1 / 4], nan_ok=True)


@settings(max_examples=8)
@given(st.integers(0, 2**32 - 1))
def test_weights_of_one_give_cocos_figure(random_case, seed):
    detections, annotations = random_case(seed)
    result = evaluate(detections, annotations, ["a", "b", "c"], "coco")
    ones, points = np.ones((1, len(annotations)), np.int32), np.linspace(0, 1, 101)
    for label, one in enumerate(result.per_class):
        got = [weighted_ap(*curve, ones, points)[0] for curve in _curves(result, label)]
        assert len(got) == 10
        assert np.mean(got) == pytest.approx(np.nan if one.ap is None else one.ap, abs=1e-12, nan_ok=True)


def test_draws_are_of_as_many_images_and_of_the_seed():
    settings = IntervalSettings(resamples=150, seed=3)
    drawn = np.concatenate(list(_draws(7, settings)))
    assert drawn.shape == (150, 7)
    assert (drawn.sum(axis=1) == 7).all()
    assert (drawn == np.concatenate(list(_draws(7, settings)))).all()
    assert (drawn != np.concatenate(list(_draws(7, IntervalSettings(resamples=150, seed=4))))).any()


def test_interval_by_hand(truth, found):
    """Two images, one found and one missed: AP of voc10 is 0, 1/2 or 1 with chances 1/4, 1/2, 1/4."""
    annotations = [truth("a", [A]), truth("b", [A])]
    result = evaluate([found("a", [A], [1])], annotations, ["cat"], "voc10")
    bounds = intervals(result, IntervalSettings(resamples=4000, confidence=0.4))
    assert (bounds.mean_ap.value, bounds.mean_ap.low, bounds.mean_ap.high) == (0.5, 0.5, 0.5)
    wide = intervals(result, IntervalSettings(resamples=4000, confidence=0.9)).per_class[0]
    assert (wide.value, wide.low, wide.high) == (0.5, 0, 1)


def test_a_class_without_objects_has_no_interval(truth, found):
    result = evaluate([found("a", [A], [1])], [truth("a", [A])], ["cat", "dog"])
    bounds = intervals(result, IntervalSettings(resamples=10))
    assert bounds.per_class[1] is None
    assert bounds.per_class[0].low == pytest.approx(1)
    assert bounds.to_json(result.classes)["per_class"]["dog"] is None


@pytest.mark.parametrize("annotated", [False, True])
def test_nothing_to_draw(truth, annotated):
    result = evaluate([], [truth("a", [])] if annotated else [], ["cat"])
    bounds = intervals(result, IntervalSettings(resamples=10))
    assert (bounds.mean_ap, bounds.per_class) == (None, (None,))
    assert difference(result, result, IntervalSettings(resamples=10)).verdict == "undecided"


def test_no_resample_no_interval(truth):
    result = evaluate([], [truth("a", [A])], ["cat"])
    assert intervals(result, IntervalSettings(resamples=0)) is None
    assert difference(result, result, IntervalSettings(resamples=0)) is None


def many(truth, found, share):
    """30 images, of which the detector finds the object in the given share and is wrong in the others."""
    annotations = [truth(str(i), [A]) for i in range(30)]
    detections = [found(str(i), [A if i < 30 * share else FAR], [1 - i / 100]) for i in range(30)]
    return evaluate(detections, annotations, ["cat"], "voc10")


def test_verdicts(truth, found):
    good, middling, poor = (many(truth, found, share) for share in (1, 0.95, 0.3))
    settings = IntervalSettings(resamples=500)
    up, down = difference(poor, good, settings), difference(good, poor, settings)
    assert (up.verdict, up.better) == ("better", 1)
    assert (down.verdict, down.better) == ("worse", 0)
    assert up.mean_ap.value == pytest.approx(good.mean_ap - poor.mean_ap)
    assert up.mean_ap.low > 0
    assert (down.mean_ap.low, down.mean_ap.high) == (-up.mean_ap.high, -up.mean_ap.low)
    assert difference(middling, good, settings).verdict == "undecided"
    same = difference(good, good, settings)
    assert (same.verdict, same.better, same.mean_ap.low, same.mean_ap.high) == ("undecided", 0.5, 0, 0)


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(0.01, 0.2, "better"), (-0.2, -0.01, "worse"), (-0.1, 0.1, "undecided"), (0, 1, "undecided")],
)
def test_verdict_of_an_interval(low, high, said):
    assert Interval(0.0, low, high).verdict == said


def test_paired_is_narrower_than_apart(random_case):
    """Two detectors that fail on the same images differ by less than their own intervals."""
    detections, annotations = random_case(0, images=40)
    better = [Detections(one.image_id, one.boxes[:9], one.scores[:9], one.labels[:9]) for one in detections]
    first, second = (evaluate(one, annotations, ["a", "b", "c"], "voc10") for one in (detections, better))
    settings = IntervalSettings(resamples=300)
    own, change = intervals(first, settings).mean_ap, difference(first, second, settings).mean_ap
    assert change.high - change.low < own.high - own.low


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda t, f: evaluate([], [t("b", [A])], ["cat"]), "same images"),
        (lambda t, f: evaluate([], [t("a", [B])], ["cat"]), "same objects.*'cat'"),
        (lambda t, f: evaluate([], [t("a", [A])], ["dog"]), "same classes"),
        (lambda t, f: evaluate([], [t("a", [A])], ["cat"], "voc10"), "same settings"),
    ],
)
def test_only_the_same_can_be_compared(truth, found, other, message):
    one = evaluate([], [truth("a", [A])], ["cat"])
    with pytest.raises(ValueError, match=message):
        difference(one, other(truth, found), IntervalSettings(resamples=5))


@pytest.mark.parametrize(("confidence", "low", "high"), [(0.9, 5, 95), (0.5, 25, 75)])
def test_an_interval_leaves_out_as_much_on_either_side(confidence, low, high):
    """Of the figures 0, 1 .. 100 what it holds is the middle."""
    bound = _interval(50.0, np.arange(101.0), IntervalSettings(confidence=confidence))
    assert (bound.value, bound.low, bound.high) == pytest.approx((50, low, high))
