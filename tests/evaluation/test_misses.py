import numpy as np
import pytest

from detection.evaluation import EvaluationSettings, MissCause, cause_from_json, cause_to_json, explain_misses
from detection.evaluation.misses import bin_places
from detection.types import Proposals, RegionScores

A, NEAR, FAR = [0, 0, 10, 10], [0, 0, 10, 6], [60, 60, 70, 70]
NO_CUT = np.array([-np.inf, -np.inf])


def explain(truth, proposals, boxes, scores, found, cuts=NO_CUT, limit=100, rows=(0,), voting=False, **flags):
    """boxes, scores: of class 0; class 1 has the proposals themselves, scored 9."""
    proposals = np.array(proposals, np.float32).reshape(-1, 4)
    boxes = np.stack([np.array(boxes, np.float32).reshape(-1, 4), proposals], axis=1)
    values = np.stack([np.array(scores, np.float32), np.full(len(proposals), 9, np.float32)], axis=1)
    proposals = Proposals("a", (100, 100), proposals, "test")
    scored = RegionScores("a", boxes, values)
    return explain_misses(truth, rows, proposals, scored, found, cuts, limit, EvaluationSettings(**flags), voting)


@pytest.fixture
def one_object(truth):
    return truth("a", [A])


@pytest.fixture
def nothing(found):
    return found("a", [], [])


def test_no_proposal(one_object, nothing):
    (cause,) = explain(one_object, [FAR, [0, 0, 10, 4]], [FAR, [0, 0, 10, 3]], [5, 4], nothing)
    assert cause == MissCause("no proposal", (0, 0, 10, 4), 0.4, (0, 0, 10, 3), pytest.approx(0.3), 4)


def test_not_one_proposal_at_all(one_object, nothing):
    assert explain(one_object, [], [], [], nothing) == [MissCause("no proposal", None, 0, None, 0, None)]


def test_moved_away(one_object, nothing):
    (cause,) = explain(one_object, [NEAR], [FAR], [5], nothing)
    assert (cause.cause, cause.proposal, cause.box, cause.box_overlap) == ("moved away", (0, 0, 10, 6), (*FAR,), 0)


def test_regression_that_brings_a_box_near_is_a_proposal_found(one_object, nothing):
    (cause,) = explain(one_object, [FAR], [NEAR], [5], nothing, cuts=np.array([6.0, 0]))
    assert (cause.cause, cause.overlap, cause.box_overlap) == ("scored low", 0, pytest.approx(0.6))


def test_scored_low_or_suppressed_by_the_cut(one_object, found):
    """The highest-scoring box that matches decides, not the nearest one."""
    other = found("a", [[0, 0, 10, 20]], [7])
    for cut, expected in ((4.0, "scored low"), (3.0, "suppressed"), (2.0, "suppressed")):
        (cause,) = explain(one_object, [A, NEAR], [A, NEAR], [1, 3], other, cuts=np.array([cut, 0]))
        assert (cause.cause, cause.score, cause.proposal) == (expected, 3, (*NEAR,))


def test_beyond_the_most_that_an_image_keeps(one_object, found):
    other = found("a", [FAR, [80, 80, 90, 90], A], [7, 6, 5], [0, 0, 1])
    for limit, expected in ((2, "scored low"), (3, "suppressed")):
        (cause,) = explain(one_object, [A], [A], [5], other, limit=limit)
        assert cause.cause == expected


def test_moved_away_by_voting(one_object, found):
    """The box would match and was kept; the detection that voting made of it does not match."""
    kept = found("a", [[0, 0, 10, 4], FAR], [5, 4], [0, 0])
    (cause,) = explain(one_object, [NEAR, FAR], [A, FAR], [5, 4], kept, voting=True)
    assert cause == MissCause("moved away", (*NEAR,), 0.6, (0, 0, 10, 4), 0.4, 5)
    (cause,) = explain(one_object, [NEAR, FAR], [A, FAR], [5, 4], kept)
    assert (cause.cause, cause.box) == ("suppressed", (*A,))


def test_voting_moves_what_was_kept_alone(one_object, found):
    """The box that would match is none of those kept; or it is, of another class; or still matches."""
    for kept in (found("a", [FAR], [6]), found("a", [FAR], [5], [1]), found("a", [NEAR], [5])):
        (cause,) = explain(one_object, [NEAR], [A], [5], kept, voting=True)
        assert (cause.cause, cause.box) == ("suppressed", (*A,))


@pytest.mark.parametrize("score", [-np.inf, np.nan])
def test_untrained_class(one_object, nothing, score):
    (cause,) = explain(one_object, [A], [A], [score], nothing)
    assert (cause.cause, cause.score, cause.overlap) == ("scored low", None, 1)


def test_boxes_are_clipped_and_empty_ones_are_none(truth, nothing):
    annotation = truth("a", [[90, 0, 100, 10]])
    (cause,) = explain(annotation, [A], [[90, 0, 130, 10]], [5], nothing, cuts=np.array([9.0, 0]))
    assert (cause.cause, cause.box_overlap, cause.box) == ("scored low", 1, (90, 0, 100, 10))
    (cause,) = explain(annotation, [A], [[120, 0, 130, 10]], [5], nothing)
    assert (cause.cause, cause.box_overlap) == ("no proposal", 0)


def test_a_box_that_would_match_a_neighbour_comes_last(truth, nothing):
    """The higher-scoring box belongs to the other object; the missed one is judged by its own."""
    annotation = truth("a", [A, [0, 3, 10, 13]])
    shared, own = [0, 2, 10, 12], [0, 0, 10, 10]
    (cause,) = explain(annotation, [shared, own], [shared, own], [8, 2], nothing, cuts=np.array([4.0, 0]))
    assert (cause.cause, cause.score) == ("scored low", 2)
    (cause,) = explain(annotation, [shared], [shared], [8], nothing, cuts=np.array([4.0, 0]))
    assert (cause.cause, cause.score) == ("suppressed", 8)
    dropped = truth("a", [A, [0, 3, 10, 13]], difficult=[False, True])
    settings = {"cuts": np.array([4.0, 0]), "difficult": "drop"}
    (cause,) = explain(dropped, [shared, own], [shared, own], [8, 2], nothing, **settings)
    assert cause.score == 8


def test_threshold_and_comparison(one_object, nothing):
    half = [0, 0, 10, 5]
    causes = [
        explain(one_object, [half], [half], [5], nothing, **flags)[0].cause
        for flags in ({}, {"comparison": ">"}, {"iou_threshold": 0.6})
    ]
    assert causes == ["suppressed", "no proposal", "no proposal"]


def test_classes_are_apart(truth, nothing):
    annotation = truth("a", [A, A], [0, 1])
    first, second = explain(annotation, [NEAR], [FAR], [5], nothing, rows=(0, 1))
    assert (first.cause, second.cause, second.score) == ("moved away", "suppressed", 9)


def test_other_images_are_refused(truth, nothing):
    with pytest.raises(ValueError, match="misses of image 'b': expected its proposals"):
        explain(truth("b", [A]), [A], [A], [1], nothing)


def test_causes_go_through_json(one_object, nothing):
    for proposals in ([NEAR], []):
        (cause,) = explain(one_object, proposals, proposals, [1] * len(proposals), nothing)
        assert cause_from_json(cause_to_json(cause)) == cause


def test_bins_of_a_hundred():
    places = bin_places(np.random.default_rng(0).permutation(100))
    assert np.bincount(places).tolist() == [10, 20, 40, 20, 10]


@pytest.mark.parametrize(("values", "places"), [([], []), ([7], [2]), ([3, 3, 3], [2, 2, 2]), ([1, 2, 3], [1, 2, 3])])
def test_bins_of_few(values, places):
    assert bin_places(np.array(values, float)).tolist() == places
