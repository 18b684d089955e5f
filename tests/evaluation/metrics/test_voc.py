import numpy as np
import pytest

from detection.evaluation import ELEVEN_POINTS, area_ap, eleven_point_ap, precision_recall
from detection.evaluation._kernels import weighted_ap


def curve(outcomes, objects):
    return precision_recall(np.array(outcomes, dtype=bool), objects)


def test_eleven_points_are_matlabs():
    expected = [i / 10 for i in range(11)]
    expected[3] = 0.30000000000000004
    assert list(ELEVEN_POINTS) == expected


@pytest.mark.parametrize("average", [eleven_point_ap, area_ap])
def test_no_detection_gives_zero(average):
    assert average(*curve([], 3)) == 0


@pytest.mark.parametrize("average", [eleven_point_ap, area_ap])
def test_all_found_first_gives_one(average):
    assert average(*curve([1, 1, 1, 0, 0], 3)) == pytest.approx(1, abs=1e-15)


def test_curve_by_hand_for_both_averages():
    # Best precision to the right: 1 up to recall 1/4, then 3/4 up to recall 3/4, then nothing.
    precision, recall = curve([1, 0, 1, 1], 4)
    assert area_ap(precision, recall) == pytest.approx(1 / 4 * 1 + 2 / 4 * 3 / 4, abs=1e-15)
    # Points 0, .1, .2 see 1; .3 .. .7 see 3/4; .8, .9, 1 see 0.
    assert eleven_point_ap(precision, recall) == pytest.approx((3 * 1 + 5 * 3 / 4) / 11, abs=1e-15)


@pytest.mark.parametrize(("found", "points"), [(3, 3), (6, 7)])
def test_recall_that_meets_a_point_exactly(found, points):
    """3 of 10 stays under MATLAB's 0.30000000000000004; 6 of 10 reaches its 0.6 (not a port's 0.6000000000000001)."""
    assert eleven_point_ap(*curve([1] * found, 10)) == pytest.approx(points / 11, abs=1e-15)


def test_sum_is_in_the_devkits_order():
    precision, recall = curve([1, 0, 0, 1, 1, 0, 1], 5)
    total = 0.0
    for t in ELEVEN_POINTS:
        reached = [p for p, r in zip(precision.tolist(), recall.tolist(), strict=True) if r >= t]
        total = total + max(reached, default=0) / 11
    assert eleven_point_ap(precision, recall) == total


@pytest.mark.parametrize("objects", [*range(1, 60), 1000])
def test_a_perfect_curve_is_never_above_one(objects):
    outcomes = np.ones(objects, bool)
    assert eleven_point_ap(*curve(outcomes, objects)) == 1
    places, points = np.arange(objects), np.array(ELEVEN_POINTS)
    once = np.ones((1, objects), np.int32)
    for found in (
        area_ap(*curve(outcomes, objects)),
        *(weighted_ap(places, outcomes, places, once, one)[0] for one in (points, points[:0])),
    ):
        assert 1 - 1e-12 <= found <= 1
