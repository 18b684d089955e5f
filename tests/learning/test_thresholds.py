import numpy as np
import pytest

from detection.learning import best_threshold

SCORES = np.float32([3, 2, 1, 0, -1, -2])
RIGHT = np.array([True, True, False, True, False, False])


def test_best_f1_by_hand():
    # F1 behind each: 2/5, 4/6, 4/7, 6/8, 6/9, 6/10 of 4 objects.
    assert best_threshold(SCORES, RIGHT, 4) == -0.5
    # With many objects that nothing finds, more of what is shown hurts less; the best stays behind a right one.
    assert best_threshold(SCORES, RIGHT, 100) == -0.5


def test_precision():
    assert best_threshold(SCORES, RIGHT, 4, precision=0.9) == 1.5
    assert best_threshold(SCORES, RIGHT, 4, precision=0.7) == -0.5
    # Never so often right: from where the share is greatest.
    assert best_threshold(SCORES[2:], RIGHT[2:], 4, precision=0.9) == -0.5


def test_chances_count_as_parts_of_an_object():
    # Expected F1 of 2 objects behind each: 1.8/3, 3.2/4, 3.6/5.
    assert best_threshold(np.float32([2, 1, 0]), np.array([0.9, 0.7, 0.2]), 2) == 0.5
    assert best_threshold(np.float32([2, 1, 0]), np.array([0.9, 0.7, 0.2]), 2, precision=0.6) == 0


def test_equal_margins_are_shown_together():
    scores = np.float32([1, 1, 0])
    for right in ([True, False, False], [False, True, False]):
        assert best_threshold(scores, np.array(right), 1) == 0.5


def test_the_last_one_is_its_own_threshold():
    assert best_threshold(np.float32([2, 1]), np.array([True, True]), 2) == 1


@pytest.mark.parametrize("precision", [None, 0.5, 0.9])
@pytest.mark.parametrize("seed", range(5))
def test_against_every_threshold(seed, precision):
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, 1, 60).round(1).astype(np.float32)
    right = rng.random(60) < 1 / (1 + np.exp(-2 * scores))
    objects = int(right.sum()) + 7

    def worth(threshold):
        shown, found = (scores >= threshold).sum(), right[scores >= threshold].sum()
        if precision is None:
            return 2 * found / (objects + shown)
        return (found / shown >= precision, found if found / shown >= precision else found / shown)

    best = max(worth(one) for one in scores[right])
    assert worth(best_threshold(scores, right, objects, precision)) == best
