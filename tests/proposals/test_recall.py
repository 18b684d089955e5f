import numpy as np
import pytest

from detection.proposals import best_overlaps, mean_average_best_overlap, recall_at

PROPOSALS = [np.float32([[0, 0, 10, 10], [0, 0, 5, 10]]), np.zeros((0, 4), np.float32)]
OBJECTS = [np.float32([[0, 0, 10, 10], [0, 0, 5, 5]]), np.float32([[0, 0, 4, 4]])]


def test_hand_computed():
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
