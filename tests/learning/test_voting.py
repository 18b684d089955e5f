"""Box voting, against its definition box by box."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.geometry import clip, iou
from detection.learning import PostprocessSettings, nms_outcome, postprocess
from detection.learning.voting import voted
from detection.types import RegionScores

SIZE = (100, 120)


def boxes_of(boxes):
    """What gives the boxes (R, 4) of regions, whatever the class."""
    return lambda regions, labels: np.asarray(boxes, np.float32)[regions]


def reference(box, label, boxes, scores, least):
    """The mean in Python's own numbers, voter by voter. boxes: (R, L, 4), scores: (R, L)."""
    total, sums = 0.0, [0.0] * 4
    for region in range(len(scores)):
        score, other = float(scores[region, label]), boxes[region, label]
        if np.isfinite(score) and iou([box], [other])[0, 0] >= least:
            weight = max(0.0, score + 1) ** 2
            total += weight
            sums = [one + weight * float(value) for one, value in zip(sums, other, strict=True)]
    return box if total == 0 else [one / total for one in sums]


def one_by_hand(boxes, scores, least, kept=((0, 0, 10, 10),), label=0):
    kept, labels = np.array(kept, np.float32), np.full(len(kept), label)
    return voted(kept, labels, np.array(scores, np.float32), boxes_of(boxes), least).tolist()


def test_by_hand():
    """Weights 4, 1 and 0: margins 1, 0 and -1."""
    boxes = [[0, 0, 10, 10], [0, 0, 10, 5], [0, 0, 10, 9]]
    assert one_by_hand(boxes, [[1], [0], [-1]], 0.5) == [[0, 0, 10, 9]]


def test_an_iou_of_exactly_the_least_votes_and_one_below_does_not():
    boxes, scores = [[0, 0, 10, 10], [0, 0, 10, 7]], [[0], [0]]
    for least, bottom in ((0.7, 8.5), (np.nextafter(0.7, 1), 10)):
        assert one_by_hand(boxes, scores, least) == [[0, 0, 10, bottom]]


def test_a_margin_of_minus_one_has_no_vote_and_one_above_has():
    above = np.nextafter(np.float32(-1), np.float32(0))
    assert one_by_hand([[0, 0, 10, 8]], [[-1]], 0.5) == [[0, 0, 10, 10]]
    assert one_by_hand([[0, 0, 10, 8]], [[above]], 0.5) == [[0, 0, 10, 8]]


@pytest.mark.parametrize("score", [np.inf, -np.inf, np.nan])
def test_scores_that_are_no_numbers_have_no_vote(score):
    assert one_by_hand([[0, 0, 10, 8]], [[score]], 0.5) == [[0, 0, 10, 10]]


def test_other_classes_have_no_vote():
    assert one_by_hand([[0, 0, 10, 8]], [[5, -2]], 0.5, label=1) == [[0, 0, 10, 10]]


def test_boxes_that_only_touch_or_are_empty_have_no_vote():
    boxes = [[10, 0, 20, 10], [0, 0, 10, 0], [3, 3, 3, 3], [90, 0, 0, 90], [0, 90, 90, 0], [90, 90, 0, 0]]
    assert one_by_hand(boxes, [[5]] * 6, 1e-9) == [[0, 0, 10, 10]]


def test_boxes_without_a_vote_are_not_asked_for():
    asked = []

    def record(regions, labels):
        asked.extend(zip(regions.tolist(), labels.tolist(), strict=True))
        return np.zeros((len(regions), 4), np.float32)

    scores = np.array([[-1.5, 0], [np.nan, -1], [2, -np.inf]], np.float32)
    voted(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), scores, record, 0.5)
    assert asked == [(0, 1), (2, 0)]


def make_scores(seed, proposals, classes):
    """Boxes on a coarse grid: equal ones, and IoU of exactly the threshold, are common."""
    rng = np.random.default_rng(seed)
    corners = rng.integers(-3, 20, (proposals, classes, 2)) * 5
    boxes = np.concatenate([corners, corners + rng.integers(0, 12, (proposals, classes, 2)) * 5], axis=2)
    scores = rng.integers(-16, 16, (proposals, classes)) / 8
    scores[rng.random(scores.shape) < 0.1] = -np.inf
    return RegionScores("img", boxes.astype(np.float32), scores.astype(np.float32))


@settings(max_examples=60)
@given(
    st.integers(0, 2**32 - 1), st.integers(0, 40), st.integers(0, 3), st.sampled_from([0.25, 0.5, 0.75, 1.0]),
    st.sampled_from([None, -0.5]), st.integers(1, 5),
)  # fmt: skip
def test_detections_are_those_without_voting_with_the_mean_of_all_voters(seed, proposals, classes, least, low, most):
    record = make_scores(seed, proposals, classes)
    plain = postprocess(record, SIZE, PostprocessSettings(min_score=low, max_per_class=most))
    chosen = PostprocessSettings(min_score=low, max_per_class=most, voting_iou=least)
    found = postprocess(record, SIZE, chosen)
    assert found.scores.tobytes() == plain.scores.tobytes()
    assert found.labels.tobytes() == plain.labels.tobytes()
    clipped = clip(record.boxes, SIZE)
    expected = [
        reference(box, label, clipped, record.scores, least)
        for box, label in zip(plain.boxes.tolist(), plain.labels.tolist(), strict=True)
    ]
    np.testing.assert_allclose(found.boxes, np.array(expected, np.float32).reshape(-1, 4), rtol=1e-6, atol=1e-5)
    for label in range(classes):
        mine, rank = found.boxes[found.labels == label].tolist(), 0
        outcomes = [nms_outcome(record, SIZE, row, label, chosen) for row in range(proposals)]
        for one in sorted((one for one in outcomes if one.outcome == "kept"), key=lambda one: one.rank):
            assert list(one.voted) == mine[rank]
            rank += 1
        assert rank == len(mine)
        assert all(one.voted is None for one in outcomes if one.outcome != "kept")


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_another_class_changes_no_bit(seed):
    record = make_scores(seed, 30, 3)
    first = RegionScores("img", record.boxes[:, :1], record.scores[:, :1])
    chosen = PostprocessSettings(voting_iou=0.5)
    alone, among = postprocess(first, SIZE, chosen), postprocess(record, SIZE, chosen)
    assert among.boxes[among.labels == 0].tobytes() == alone.boxes.tobytes()
