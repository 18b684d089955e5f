import numpy as np
import pytest

from detection.labelling.choice import Candidate, choose, class_weights, uncertainty

CLASSES = ("cat", "dog")


def vector(angle):
    return np.array([np.cos(angle), np.sin(angle)], np.float32)


def candidate(name, angle, *found):
    """found: (label, chance)."""
    return Candidate(
        name, vector(angle), np.array([chance for _, chance in found]), np.array([one for one, _ in found], np.int64)
    )


KNOWN = np.stack([vector(0)])
EVEN = np.array([10, 10])


def names(candidates, rule, known=KNOWN, counts=EVEN, most=9):
    return [one.image_id for one in choose(candidates, known, counts, CLASSES, most, rule)]


def test_the_core_set_goes_to_the_farthest_of_labelled_and_chosen():
    some = [candidate("near", 0.1), candidate("far", 3.0), candidate("beside far", 2.9), candidate("middle", 1.5)]
    assert names(some, "core-set") == ["far", "middle", "beside far", "near"]


def test_uncertainty_takes_what_is_neither_sure_nor_none():
    some = [
        candidate("sure", 1, (0, 0.99)),
        candidate("even", 1, (0, 0.5)),
        candidate("none", 1),
        candidate("low", 1, (0, 0.2)),
    ]
    assert names(some, "uncertainty") == ["even", "low", "sure", "none"]


def test_both_wants_both():
    some = [
        candidate("uncertain and near", 0.05, (0, 0.5)),
        candidate("sure and far", 3.0, (0, 0.999)),
        candidate("both", 2.0, (0, 0.4)),
    ]
    assert names(some, "both")[0] == "both"


def test_a_rare_class_counts_for_more():
    some = [candidate("cat", 1, (0, 0.5)), candidate("dog", 1, (1, 0.5))]
    assert names(some, "uncertainty", counts=np.array([50, 2]))[0] == "dog"
    assert names(some, "uncertainty", counts=np.array([2, 50]))[0] == "cat"
    weights = class_weights(np.array([50, 2, 11]))
    assert weights.mean() == pytest.approx(1)
    assert weights[1] > weights[2] > weights[0]


def test_a_crowd_counts_for_few_of_it():
    weights = np.ones(2)
    five, hundred = (uncertainty(np.full(count, 0.5), np.zeros(count, np.int64), weights) for count in (5, 100))
    assert five == hundred == 5
    assert uncertainty(np.zeros(0), np.zeros(0, np.int64), weights) == 0


@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_what_is_certain_is_no_reason(chance):
    assert uncertainty(np.array([chance]), np.array([0]), np.ones(1)) == pytest.approx(0, abs=1e-9)


def test_where_nothing_is_known_the_first_are_unlike_one_another():
    some = [candidate(str(place), angle) for place, angle in enumerate((0.0, 0.1, 1.6, 1.7, 3.1))]
    chosen = names(some, "both", known=np.zeros((0,)), counts=np.zeros(2, np.int64), most=3)
    assert {int(one) // 2 for one in chosen} == {0, 1, 2}


def test_by_chance_is_seeded():
    some = [candidate(str(place), place) for place in range(20)]
    first, again, other = (choose(some, KNOWN, EVEN, CLASSES, 5, "random", seed) for seed in (0, 0, 1))
    assert first == again
    assert [one.image_id for one in first] != [one.image_id for one in other]


def test_reasons_are_told():
    some = [candidate("a", 3.0, (1, 0.47), (0, 0.97)), candidate("b", 0.01, (0, 0.999))]
    first, second = choose(some, KNOWN, np.array([50, 2]), CLASSES, 2)
    assert first.reason == (
        "uncertain: dog 47%, cat 97%; perhaps a rare class: dog (2 boxes so far); "
        "unlike what is labelled (100% of the farthest)"
    )
    assert second.reason == "little of either: the best that is left"


def test_how_unlike_a_photo_is_goes_by_distances():
    """Twice the sine of half the angle to the nearest: 1.93, and 1.59 to both."""
    some = [candidate("far", np.radians(150)), candidate("between", np.radians(-105))]
    reasons = [(one.image_id, one.reason) for one in choose(some, KNOWN, EVEN, CLASSES, 2, "core-set")]
    assert reasons == [
        ("far", "unlike what is labelled (100% of the farthest)"),
        ("between", "unlike what is labelled (82% of the farthest)"),
    ]


def test_no_candidate():
    assert choose([], KNOWN, EVEN, CLASSES, 3) == []
