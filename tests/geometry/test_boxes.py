import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.geometry import area, clip, decode_offsets, encode_offsets, flip, has_area, iou, overlap_areas
from detection.geometry.boxes import MAX_LOG_RATIO

EMPTY = np.zeros((0, 4), np.float32)


def boxes(*rows):
    return np.array(rows, dtype=np.float32).reshape(-1, 4)


@st.composite
def random_boxes(draw, limit=400, min_size=0):
    """(N, 4) float32 of positive area, whole or fractional corners."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.integers(min_size, 12))
    step = draw(st.sampled_from([1, 0.25, 1 / 3]))
    corners = generator.integers(0, limit, (count, 2))
    sides = generator.integers(1, limit, (count, 2))
    return (np.concatenate([corners, corners + sides], axis=1) * step).astype(np.float32)


# -- area and IoU ------------------------------------------------------------------------------------------


def test_area_by_hand():
    assert area(boxes([0, 0, 2, 3], [1, 1, 1, 5], [4, 4, 2, 2])).tolist() == [6, 0, 0]
    assert area(EMPTY).shape == (0,)


def test_iou_by_hand():
    first = boxes([0, 0, 10, 10], [0, 0, 10, 5], [20, 20, 30, 30], [5, 5, 5, 5])
    second = boxes([0, 0, 10, 10], [10, 0, 20, 10], [5, 5, 5, 5])
    assert iou(first, second).tolist() == [[1, 0, 0], [0.5, 0, 0], [0, 0, 0], [0, 0, 0]]


def test_iou_of_nothing():
    assert iou(EMPTY, boxes([0, 0, 1, 1])).shape == (0, 1)
    assert iou(boxes([0, 0, 1, 1]), EMPTY).shape == (1, 0)


def slow_iou(a, b):
    a, b = [float(v) for v in a], [float(v) for v in b]
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    overlap = width * height
    return overlap / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - overlap)


@given(random_boxes(), random_boxes())
def test_iou_equals_the_loops(first, second):
    expected = [[slow_iou(a, b) for b in second] for a in first]
    assert iou(first, second).tolist() == expected


def devkit_iou(bb, bbgt):
    """VOCcode/VOCevaldet.m, on 1-based inclusive corners."""
    iw = min(bb[2], bbgt[2]) - max(bb[0], bbgt[0]) + 1
    ih = min(bb[3], bbgt[3]) - max(bb[1], bbgt[1]) + 1
    if not (iw > 0 and ih > 0):
        return 0.0
    ua = (bb[2] - bb[0] + 1) * (bb[3] - bb[1] + 1) + (bbgt[2] - bbgt[0] + 1) * (bbgt[3] - bbgt[1] + 1) - iw * ih
    return iw * ih / ua


@given(st.integers(0, 2**32 - 1))
def test_iou_equals_the_devkits_inclusive_arithmetic_bit_for_bit(seed):
    generator = np.random.default_rng(seed)
    low = generator.integers(1, 480, (2, 20, 2))
    inclusive = np.concatenate([low, low + generator.integers(0, 500, (2, 20, 2))], axis=2).astype(float)
    half_open = (inclusive - [1, 1, 0, 0]).astype(np.float32)
    expected = [[devkit_iou(a.tolist(), b.tolist()) for b in inclusive[1]] for a in inclusive[0]]
    assert iou(half_open[0], half_open[1]).tolist() == expected


@given(random_boxes())
def test_iou_is_symmetric_in_the_unit_range_and_one_with_itself(first):
    overlaps = iou(first, first)
    assert np.array_equal(overlaps, overlaps.T)
    assert (np.diag(overlaps) == 1).all()
    assert ((overlaps >= 0) & (overlaps <= 1)).all()


@given(random_boxes(), st.sampled_from([0.5, 2, 8]))
def test_iou_does_not_change_with_scale(first, factor):
    assert np.array_equal(iou(first, first[::-1]), iou(first * np.float32(factor), first[::-1] * np.float32(factor)))


# -- clip and flip -----------------------------------------------------------------------------------------


def test_clip_by_hand():
    result = clip(boxes([-5, -5, 30, 40], [2, 3, 4, 5], [50, 50, 60, 60]), (20, 10))
    assert result.tolist() == [[0, 0, 10, 20], [2, 3, 4, 5], [10, 20, 10, 20]]
    assert result.dtype == np.float32
    assert clip(EMPTY, (20, 10)).shape == (0, 4)


@given(random_boxes(), st.integers(1, 300), st.integers(1, 300))
def test_clip_stays_inside_and_changes_nothing_twice(first, height, width):
    once = clip(first, (height, width))
    assert (once >= 0).all()
    assert (once <= [width, height, width, height]).all()
    assert np.array_equal(clip(once, (height, width)), once)


def test_clip_of_every_class_at_once():
    assert clip(np.full((2, 3, 4), 99, np.float32), (20, 10))[1, 2].tolist() == [10, 20, 10, 20]


def test_boxes_with_an_area():
    tiny = np.nextafter(np.float32(1), np.float32(2))
    some = boxes([1, 1, tiny, tiny], [1, 1, 1, 2], [1, 1, 2, 1], [2, 1, 1, 2], [1, 2, 2, 1])
    assert has_area(some).tolist() == [True, False, False, False, False]
    assert has_area(some.reshape(5, 1, 4)).shape == (5, 1)


def test_flip_by_hand():
    before = boxes([0, 1, 3, 5])
    assert flip(before, 10).tolist() == [[7, 1, 10, 5]]
    assert before.tolist() == [[0, 1, 3, 5]]
    assert flip(EMPTY, 10).shape == (0, 4)


@given(random_boxes(), st.integers(800, 1000))
def test_flip_twice_is_nothing(first, width):
    first = np.round(first * 4) / np.float32(4)
    assert np.array_equal(flip(flip(first, width), width), first)


@given(random_boxes())
def test_flip_keeps_overlaps(first):
    first = np.round(first * 4) / np.float32(4)
    assert np.array_equal(iou(flip(first, 1000), flip(first[::-1], 1000)), iou(first, first[::-1]))


# -- regression offsets ------------------------------------------------------------------------------------


def test_offsets_by_hand():
    """R-CNN report, appendix C: half a width to the right, a quarter height up, twice as wide, half as high."""
    offsets = encode_offsets(boxes([0, 0, 10, 20]), boxes([0, 0, 20, 10]))
    assert offsets.tolist() == [[0.5, -0.25, np.log(2), np.log(0.5)]]
    assert decode_offsets(boxes([0, 0, 10, 20]), offsets).tolist() == [[0, 0, 20, 10]]


def test_offsets_of_nothing():
    assert encode_offsets(EMPTY, EMPTY).shape == (0, 4)
    assert decode_offsets(EMPTY, np.zeros((0, 4))).shape == (0, 4)


def test_zero_offsets_leave_the_box():
    assert decode_offsets(boxes([3, 4, 10, 20]), np.zeros((1, 4))).tolist() == [[3, 4, 10, 20]]


@given(random_boxes(min_size=1), st.integers(0, 2**32 - 1))
def test_decode_undoes_encode(first, seed):
    targets = first[np.random.default_rng(seed).permutation(len(first))]
    ratios = (targets[:, 2:] - targets[:, :2]) / (first[:, 2:] - first[:, :2])
    reachable = (np.log(ratios) < MAX_LOG_RATIO).all(axis=1)
    result = decode_offsets(first, encode_offsets(first, targets))
    assert result.dtype == np.float32
    np.testing.assert_allclose(result[reachable], targets[reachable], rtol=1e-6, atol=1e-4)


@given(st.lists(st.floats(-3, 3), min_size=4, max_size=4), random_boxes(min_size=1))
def test_encode_undoes_decode(offset, first):
    offsets = np.tile(offset, (len(first), 1))
    moved = decode_offsets(first, offsets)
    sides = moved[:, 2:] - moved[:, :2]
    # float32 corners keep 24 bits: leave out boxes too small for their distance from the origin.
    sound = (sides > 1e-3 * np.abs(moved).max(axis=1, keepdims=True)).all(axis=1)
    np.testing.assert_allclose(encode_offsets(first[sound], moved[sound]), offsets[sound], rtol=1e-3, atol=1e-3)


def test_growth_is_bounded():
    grown = decode_offsets(boxes([0, 0, 16, 16]), np.array([[0, 0, 1000, 5]]))
    assert np.isfinite(grown).all()
    np.testing.assert_allclose(grown[0, 2:] - grown[0, :2], 1000, rtol=1e-6)


def test_offsets_broadcast_over_classes():
    regions = boxes([0, 0, 10, 10], [5, 5, 9, 9])
    offsets = np.random.default_rng(0).normal(size=(2, 3, 4))
    result = decode_offsets(regions[:, None], offsets)
    assert result.shape == (2, 3, 4)
    assert np.array_equal(result[:, 1], decode_offsets(regions, offsets[:, 1]))


@pytest.mark.parametrize("which", [0, 1])
def test_encode_refuses_an_empty_box(which):
    pair = [boxes([0, 0, 10, 10]), boxes([0, 0, 10, 10])]
    pair[which] = boxes([5, 5, 5, 9])
    with pytest.raises(ValueError, match="expected boxes and targets of positive area"):
        encode_offsets(*pair)


def test_one_box_alone_is_a_row_of_boxes():
    one, others = np.array([0, 0, 10, 10], np.float32), np.array([[0, 0, 5, 10], [20, 20, 30, 30]], np.float32)
    assert iou(one, others).tolist() == [[0.5, 0]]
    assert overlap_areas(one, others).tolist() == [[50, 0]]
    assert overlap_areas(others, one).tolist() == [[50], [0]]
