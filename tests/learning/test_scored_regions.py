"""Both sides of an image, and further rounds, with scores and boxes that are made up."""

import numpy as np
import pytest

from detection.learning.scored_regions import ScoredRegions, in_rounds, mean_of_sides
from detection.types import RegionScores

SIZE = (100, 200)


def regions_of(boxes, scores, refine=None):
    boxes, scores = np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32)
    own = np.broadcast_to(boxes[:, None], (*scores.shape, 4))
    return ScoredRegions(RegionScores("a", own, scores), refine)


def shifted(boxes, by):
    """Refined boxes: so many px further to the right for class 0, and down for class 1."""

    def refine(regions, labels):
        return boxes[regions] + np.float32(by) * np.where(labels[:, None] == 0, [1, 0, 1, 0], [0, 1, 0, 1])

    return lambda regions, labels: refine(regions, labels).astype(np.float32)


def test_the_mean_of_both_sides():
    plain = np.float32([[10, 10, 30, 30], [50, 0, 60, 10]])
    mirrored = np.float32([[170, 10, 190, 30], [140, 0, 150, 10]])
    first = regions_of(plain, [[1, -np.inf], [0.5, 3]], shifted(plain, 4))
    second = regions_of(mirrored, [[0, -np.inf], [0.25, 1]], shifted(mirrored, 8))
    both = mean_of_sides(first, second, 200)
    assert both.scores.scores.tolist() == [[0.5, -np.inf], [0.375, 2]]
    assert both.boxes.tolist() == plain.tolist()
    # 4 px to the right in the image, 8 to the left by its mirror image; down is down in both.
    asked = both.refine(np.array([0, 1]), np.array([0, 1]))
    assert asked.tolist() == [[8, 10, 28, 30], [50, 6, 60, 16]]
    assert both.refined().boxes[[0, 1], [0, 1]].tolist() == asked.tolist()


def test_without_refined_boxes_the_regions_own_stay():
    both = mean_of_sides(regions_of([[0, 0, 9, 9]], [[1]]), regions_of([[191, 0, 200, 9]], [[0]]), 200)
    assert both.refine is None
    assert both.refined().boxes.tolist() == [[[0, 0, 9, 9]]]


@pytest.fixture
def score():
    """Scores a box by its left edge and gives it boxes 10 px further on; `score.seen`: what it was asked for."""

    def call(boxes):
        call.seen.append(boxes.tolist())
        return regions_of(boxes, np.stack([boxes[:, 0] / 10 - 2, boxes[:, 0] / 20 - 2], axis=1), shifted(boxes, 10))

    call.seen = []
    return call


def test_one_round_is_no_further_one(score):
    first = score(np.float32([[30, 0, 60, 50]]))
    assert in_rounds(first, score, SIZE, 1) is first


def test_refined_boxes_go_on_for_their_class(score):
    """Margins 1 and -0.5; exactly -1 and less is left behind."""
    first = score(np.float32([[30, 0, 60, 50], [10, 0, 60, 50], [20, 0, 30, 50]]))
    assert first.scores.scores.tolist() == [[1, -0.5], [-1, -1.5], [0, -1]]
    joined = in_rounds(first, score, SIZE, 2)
    further = [[40, 0, 70, 50], [30, 10, 60, 60], [30, 0, 40, 50]]
    assert score.seen[1:] == [further]
    assert joined.boxes.tolist() == [*first.boxes.tolist(), *further]
    assert joined.scores.scores[:3].tolist() == first.scores.scores.tolist()
    assert joined.scores.scores[3:].tolist() == [[2, -np.inf], [-np.inf, -0.5], [1, -np.inf]]
    assert joined.refine(np.array([4, 0, 3]), np.array([1, 0, 0])).tolist() == [
        [30, 20, 60, 70], [40, 0, 70, 50], [50, 0, 80, 50],
    ]  # fmt: skip
    assert joined.refined().scores is joined.scores.scores


def test_a_third_round_goes_on_from_the_second_alone(score):
    first = score(np.float32([[15, 0, 60, 50]]))
    joined = in_rounds(first, score, SIZE, 3)
    assert [len(boxes) for boxes in score.seen] == [1, 1, 1]
    assert joined.boxes[:, 0].tolist() == [15, 25, 35]


def test_boxes_are_clipped_and_those_outside_go_no_further(score):
    first = score(np.float32([[150, 0, 195, 50], [195, 0, 200, 50], [191, 90, 200, 100]]))
    in_rounds(first, score, SIZE, 2)
    assert score.seen[1] == [
        [160, 0, 200, 50], [150, 10, 195, 60], [195, 10, 200, 60],
    ]  # fmt: skip


def test_where_nothing_is_good_enough_nothing_joins(score):
    first = score(np.float32([[1, 0, 60, 50]]))
    assert in_rounds(first, score, SIZE, 2).scores.scores.tolist() == first.scores.scores.tolist()
    none = score(np.zeros((0, 4), np.float32))
    assert in_rounds(none, score, SIZE, 2).scores.scores.shape == (0, 2)
