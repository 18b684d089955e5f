import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.geometry import iou
from detection.learning import best_objects, max_overlaps, negatives_of

OBJECTS = np.array([[0, 0, 10, 10], [10, 0, 20, 10], [0, 0, 10, 5]], np.float32)
LABELS = np.array([0, 0, 2])


def test_by_hand():
    proposals = np.array([[0, 0, 10, 10], [10, 0, 20, 5], [50, 50, 60, 60]], np.float32)
    overlaps = max_overlaps(proposals, OBJECTS, LABELS, 3)
    assert overlaps.tolist() == [[1, 0, 0.5], [0.5, 0, 0], [0, 0, 0]]
    assert negatives_of(overlaps, 0.5).tolist() == [[False, True, False], [False, True, True], [True, True, True]]


def test_the_threshold_itself_is_not_below_it():
    overlaps = max_overlaps(np.array([[0, 0, 3, 10]], np.float32), OBJECTS[:1], LABELS[:1], 1)
    assert overlaps[0, 0] == 0.3
    assert not negatives_of(overlaps, 0.3).any()


def test_best_objects_by_hand():
    best, overlap = best_objects(np.array([[0, 0, 10, 6], [0, 0, 20, 10]], np.float32), OBJECTS)
    assert best.tolist() == [2, 0]
    assert overlap.tolist() == [50 / 60, 0.5]


@pytest.mark.parametrize(("proposals", "objects"), [(0, 0), (0, 3), (4, 0)])
def test_nothing(proposals, objects):
    boxes = np.tile(np.array([[0, 0, 5, 5]], np.float32), (proposals, 1))
    assert max_overlaps(boxes, OBJECTS[:objects], LABELS[:objects], 3).shape == (proposals, 3)
    best, overlap = best_objects(boxes, OBJECTS[:objects])
    assert best.shape == overlap.shape == (proposals,)
    if not objects:
        assert negatives_of(max_overlaps(boxes, OBJECTS[:0], LABELS[:0], 3), 0.3).all()
        assert (best == -1).all()


def test_a_label_out_of_range():
    with pytest.raises(ValueError, match=r"expected labels in 0 \.\. 1, got 0 \.\. 2"):
        max_overlaps(OBJECTS, OBJECTS, LABELS, 2)
    with pytest.raises(ValueError, match="one label an object"):
        max_overlaps(OBJECTS, OBJECTS, LABELS[:2], 3)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_against_nested_loops(seed):
    rng = np.random.default_rng(seed)
    boxes = rng.integers(0, 30, (9, 4)).astype(np.float32)
    boxes[:, 2:] += boxes[:, :2] + 1
    proposals, objects, labels = boxes[:5], boxes[5:], rng.integers(0, 3, 4)
    expected = np.zeros((5, 3))
    for r in range(5):
        for g in range(4):
            expected[r, labels[g]] = max(expected[r, labels[g]], iou(proposals[[r]], objects[[g]])[0, 0])
    assert (max_overlaps(proposals, objects, labels, 3) == expected).all()
