import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.geometry import iou, nms

torch = pytest.importorskip("torch")
torchvision_nms = pytest.importorskip("torchvision.ops").nms


def reference(boxes, scores, threshold):
    return torchvision_nms(torch.from_numpy(boxes), torch.from_numpy(scores), threshold).numpy()


def test_nothing():
    kept = nms(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), 0.3)
    assert kept.dtype == np.int64
    assert kept.tolist() == []


def test_by_hand():
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [20, 0, 30, 10], [0, 0, 10, 2]], np.float32)
    assert nms(boxes, np.array([0.1, 0.9, 0.5, 0.2], np.float32), 0.3).tolist() == [1, 2, 3]


def test_a_suppressed_box_suppresses_nothing():
    boxes = np.array([[0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]], np.float32)
    assert nms(boxes, np.array([0.9, 0.8, 0.7], np.float32), 0.3).tolist() == [0, 2]


def test_equal_scores_keep_their_order():
    boxes = np.tile(np.array([[0, 0, 10, 10]], np.float32), (3, 1))
    assert nms(boxes, np.ones(3, np.float32), 0.5).tolist() == [0]


def test_iou_of_exactly_the_threshold_in_float32():
    """IoU 3/10: the float32 quotient lies above the float64 0.3, so the box goes, as torchvision has it."""
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 3], [0, 0, 1, 10]], np.float32)
    scores = np.array([0.9, 0.8, 0.7], np.float32)
    assert iou(boxes[:1], boxes[1:2]).item() == 0.3
    assert nms(boxes, scores, 0.3).tolist() == [0, 2] == reference(boxes, scores, 0.3).tolist()


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="got 2 boxes and 1 scores"):
        nms(np.zeros((2, 4), np.float32), np.zeros(1, np.float32), 0.3)


@settings(max_examples=150)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 150),
    st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.7, 1.0]),
    st.sampled_from([5, 10, 100]),
    st.booleans(),
)
def test_keeps_what_torchvision_keeps(seed, count, threshold, grid, few_scores):
    """Whole corners on a small grid make equal scores, equal boxes and IoU of exactly the threshold common."""
    generator = np.random.default_rng(seed)
    corner = generator.integers(0, grid, (count, 2))
    boxes = np.concatenate([corner, corner + generator.integers(1, grid + 1, (count, 2))], axis=1).astype(np.float32)
    scores = generator.random(count).astype(np.float32)
    scores = np.round(scores, 1) if few_scores else scores
    assert nms(boxes, scores, threshold).tolist() == reference(boxes, scores, threshold).tolist()


def test_keeps_what_torchvision_keeps_of_many_fractional_boxes():
    generator = np.random.default_rng(0)
    corner = generator.random((2000, 2)) * 400
    boxes = np.concatenate([corner, corner + 5 + generator.random((2000, 2)) * 200], axis=1).astype(np.float32)
    scores = generator.normal(size=2000).astype(np.float32)
    for threshold in (0.3, 0.5, 0.7):
        assert nms(boxes, scores, threshold).tolist() == reference(boxes, scores, threshold).tolist()


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_survivors_are_apart_and_the_rest_is_covered(seed):
    generator = np.random.default_rng(seed)
    corner = generator.random((40, 2)) * 50
    boxes = np.concatenate([corner, corner + 5 + generator.random((40, 2)) * 50], axis=1).astype(np.float32)
    scores = generator.random(40).astype(np.float32)
    kept = nms(boxes, scores, 0.4)
    overlaps = iou(boxes, boxes)
    assert (np.diff(scores[kept]) <= 0).all()
    assert (overlaps[np.ix_(kept, kept)][~np.eye(len(kept), dtype=bool)] <= 0.4).all()
    for dropped in set(range(40)) - set(kept.tolist()):
        assert any(overlaps[dropped, k] > 0.4 and scores[k] >= scores[dropped] for k in kept)
