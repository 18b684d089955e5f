import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.proposals import best_overlaps, mean_average_best_overlap, proposal_quality, recall_at
from detection.proposals.quality import CURVE_COUNTS, CURVE_IOUS, IOU_THRESHOLDS, overlaps_by_count


def boxes_of(rng, count, side=200):
    low = rng.integers(0, side, (count, 2))
    return np.concatenate([low, low + rng.integers(1, side, (count, 2))], axis=1).astype(np.float32)


def test_hand_computed():
    proposals = [np.float32([[0, 0, 10, 20], [0, 0, 10, 10]]), np.zeros((0, 4), np.float32)]
    objects = [np.float32([[0, 0, 10, 10]]), np.float32([[0, 0, 50, 50], [0, 0, 100, 200]])]
    found = proposal_quality(proposals, objects, [np.int64([1]), np.int64([1, 0])], ["cat", "dog"])
    assert found.counts == (2, 0)
    assert found.all.objects == 3
    assert found.all.recall == pytest.approx([1 / 3] * 10)
    assert found.all.average_recall == pytest.approx(1 / 3)
    # dog: (1 + 0) / 2, cat: 0
    assert found.mabo == pytest.approx(0.25)
    assert found.by_class["dog"].mean_best_overlap == pytest.approx(0.5)
    assert [one.objects for one in found.by_size.values()] == [1, 1, 1]
    assert found.by_size["small"].mean_best_overlap == 1


def test_sizes_end_at_coco_s_limits():
    sides = [32, 32.1, 96, 96.1]
    objects = [np.float32([[0, 0, side, side] for side in sides])]
    found = proposal_quality([np.zeros((0, 4), np.float32)], objects, [np.zeros(4, np.int64)], ["x"])
    assert [one.objects for one in found.by_size.values()] == [1, 2, 1]


def test_nothing_is_not_a_number():
    found = proposal_quality([], [], [], ["x"])
    assert found.counts == ()
    assert np.isnan([found.mabo, found.all.average_recall, *found.iou_curve]).all()
    with pytest.raises(ValueError, match="of the same images, got 1, 0 and 0"):
        proposal_quality([np.zeros((0, 4))], [], [], [])


@given(st.integers(0, 2**32), st.integers(0, 30), st.integers(0, 5))
def test_against_the_plain_functions(seed, count, objects):
    rng = np.random.default_rng(seed)
    proposals = [boxes_of(rng, count), boxes_of(rng, 3)]
    truth = [boxes_of(rng, objects), boxes_of(rng, 1)]
    labels = [rng.integers(0, 3, objects), np.int64([2])]
    found = proposal_quality(proposals, truth, labels, ["a", "b", "c"])
    assert found.all.recall == pytest.approx(recall_at(proposals, truth, IOU_THRESHOLDS))
    assert found.iou_curve == pytest.approx(recall_at(proposals, truth, CURVE_IOUS))
    assert found.mabo == pytest.approx(mean_average_best_overlap(proposals, truth, labels))
    for place, first in enumerate(CURVE_COUNTS):
        cut = [one[:first] for one in proposals]
        assert found.by_count[place].mean_best_overlap == pytest.approx(best_overlaps(cut, truth).mean())
        assert found.mabo_by_count[place] == pytest.approx(mean_average_best_overlap(cut, truth, labels))


def test_more_proposals_never_cover_less():
    rng = np.random.default_rng(0)
    table = overlaps_by_count(boxes_of(rng, 100), boxes_of(rng, 9), (1, 5, 50, 500))
    assert table.shape == (9, 5)
    assert (np.diff(table, axis=1) >= 0).all()


PROPOSALS = [np.float32([[0, 0, 10, 10], [0, 0, 5, 10]]), np.zeros((0, 4), np.float32)]
OBJECTS = [np.float32([[0, 0, 10, 10], [0, 0, 5, 5]]), np.float32([[0, 0, 4, 4]])]


def test_recall_by_hand():
    assert best_overlaps(PROPOSALS, OBJECTS).tolist() == [1.0, 0.5, 0.0]
    assert recall_at(PROPOSALS, OBJECTS, [0.5, 0.7]) == pytest.approx([2 / 3, 1 / 3])
    # Class 0: (1 + 0) / 2, class 1: .5
    labels = [np.int64([0, 1]), np.int64([0])]
    assert mean_average_best_overlap(PROPOSALS, OBJECTS, labels) == pytest.approx(0.5)


def test_no_objects_is_not_a_number():
    empty = [np.zeros((0, 4), np.float32)]
    assert np.isnan(recall_at(empty, empty, [0.5])).all()
    assert np.isnan(mean_average_best_overlap(empty, empty, [np.zeros(0, np.int64)]))
    assert np.isnan(recall_at([], [], [0.5, 0.7])).all()


def test_different_numbers_of_images_are_an_error():
    with pytest.raises(ValueError, match="got 2 and 1"):
        best_overlaps(PROPOSALS, OBJECTS[:1])
    with pytest.raises(ValueError, match="a label an object"):
        mean_average_best_overlap(PROPOSALS, OBJECTS, [np.int64([0])])


def test_recall_falls_with_the_threshold():
    rng = np.random.default_rng(0)
    boxes = rng.random((2, 40, 4)).astype(np.float32) * 50
    boxes[..., 2:] += boxes[..., :2] + 1
    found = recall_at([boxes[0]], [boxes[1]], np.arange(0, 1, 0.05))
    assert (np.diff(found) <= 0).all()
    assert found[0] == 1
