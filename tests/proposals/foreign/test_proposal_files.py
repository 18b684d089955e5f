from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.proposals.foreign import BoxConvention, ProposalFile, check_convention, match_proposals
from detection.proposals.foreign.proposal_files import CONVENTIONS

# Of multiples of 2^-8 px in an image of up to 4096 px, any convention is exact.
CORNERS = st.integers(0, 2**20).map(lambda value: value / 256)
BOXES = st.lists(st.tuples(CORNERS, CORNERS, CORNERS, CORNERS), max_size=8)


def file_of(boxes, ids=None):
    return ProposalFile(
        "old.mat", "mat", BoxConvention(), ids, tuple(np.array(one, float).reshape(-1, 4) for one in boxes)
    )


@pytest.mark.parametrize(
    ("convention", "values"),
    [
        (BoxConvention("xyxy", 0, "exclusive"), [10, 20, 40, 60]),
        (BoxConvention("xyxy", 0, "inclusive"), [10, 20, 39, 59]),
        (BoxConvention("xyxy", 1, "inclusive"), [11, 21, 40, 60]),
        (BoxConvention("yxyx", 1, "inclusive"), [21, 11, 60, 40]),
        (BoxConvention("yxyx", 0, "exclusive"), [20, 10, 60, 40]),
        (BoxConvention("xywh", 0, "exclusive"), [10, 20, 30, 40]),
        (BoxConvention("xywh", 1, "exclusive"), [11, 21, 30, 40]),
        (BoxConvention("xywh", 0, "inclusive"), [10, 20, 29, 39]),
    ],
)
def test_one_box_in_every_way_of_writing_it(convention, values):
    assert convention.to_half_open(np.array([values])).tolist() == [[10, 20, 40, 60]]
    assert convention.from_half_open(np.float32([[10, 20, 40, 60]])).tolist() == [values]


def test_uint16_does_not_wrap_round():
    found = BoxConvention("yxyx", 1, "inclusive").to_half_open(np.array([[0, 1, 5, 6]], np.uint16))
    assert found.tolist() == [[0, -1, 6, 5]]


@given(boxes=BOXES, convention=st.sampled_from(CONVENTIONS))
def test_there_and_back_is_exact(boxes, convention):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    assert np.array_equal(convention.to_half_open(convention.from_half_open(boxes)), boxes)


def test_unknown_choices_are_named():
    with pytest.raises(ValueError, match="order: expected one of xyxy, yxyx, xywh, got 'xxyy'"):
        BoxConvention(order="xxyy")
    with pytest.raises(ValueError, match="base: expected one of 0, 1, got 2"):
        BoxConvention(base=2)
    assert BoxConvention().changed(base=1, end=None) == BoxConvention("xyxy", 1, "exclusive")


def whole_and_parts(size, rng):
    """Proposals like selective search's: whole pixels, the image among them, and some at every border."""
    height, width = size
    x = np.sort(rng.integers(0, width, (30, 2)), axis=1)
    y = np.sort(rng.integers(0, height, (30, 2)), axis=1)
    boxes = np.stack([x[:, 0], y[:, 0], x[:, 1] + 1, y[:, 1] + 1], axis=1)
    return np.concatenate([[[0, 0, width, height], [0, 0, 5, height], [width - 9, 3, width, 9]], boxes])


SIZES = [(90, 120), (100, 80), (64, 200), (150, 50)]


@pytest.mark.parametrize("true", CONVENTIONS, ids=str)
@pytest.mark.parametrize("chosen", CONVENTIONS, ids=str)
def test_a_wrong_convention_is_found_and_the_right_one_named(true, chosen):
    rng = np.random.default_rng(1)
    stored = [true.from_half_open(whole_and_parts(size, rng)) for size in SIZES]
    if chosen == true:
        assert check_convention("old.mat", chosen, stored, SIZES) is None
        return
    try:
        doubt = check_convention("old.mat", chosen, stored, SIZES)
    except ValueError as error:
        doubt = str(error)
    assert doubt is not None
    assert f"Read as {true}" in doubt or f"read as {true}" in doubt
    assert f"read as {chosen}" in doubt


def test_a_few_faults_are_dirt_not_another_convention():
    rng = np.random.default_rng(1)
    sizes = SIZES * 10
    stored = [whole_and_parts(size, rng).astype(float) for size in sizes]
    stored[3][5] = [-4, 0, 300, 20]
    assert check_convention("old.npz", BoxConvention(), stored, sizes) is None


WHOLE, OUTSIDE = [0, 0, 100, 50], [90, 40, 130, 80]


def test_faults_by_every_convention_are_none_of_the_convention():
    """In half of the images a box far outside, which no reading brings in: it is repaired, not refused."""
    stored = [np.array([WHOLE, OUTSIDE] if place % 2 else [WHOLE], float) for place in range(10)]
    assert check_convention("old.npz", BoxConvention(), stored, [(50, 100)] * 10) is None


FROM_1, IN_ANY = [1, 1, 101, 51], [1, 1, 99, 49]


@pytest.mark.parametrize(
    ("images", "refused"),
    [
        ([[FROM_1], *[[IN_ANY]] * 9], True),
        ([[FROM_1], *[[IN_ANY]] * 10], False),
        ([[FROM_1, OUTSIDE], *[[FROM_1]] * 9], True),
        ([*[[FROM_1, OUTSIDE]] * 2, *[[FROM_1]] * 8], False),
    ],
    ids=["a tenth is wrong", "less is", "a tenth of those is by another too", "more is"],
)
def test_shares_that_make_a_convention_wrong(images, refused):
    stored = [np.array(one, float) for one in images]
    with pytest.raises(ValueError, match="base 1, end exclusive, ") if refused else nullcontext():
        check_convention("old.npz", BoxConvention(), stored, [(50, 100)] * len(stored))


@pytest.mark.parametrize(("spanned", "doubted"), [(10, True), (9, True), (8, False)])
def test_nine_images_of_ten_that_another_convention_spans_are_a_doubt(spanned, doubted):
    ends = BoxConvention(end="inclusive")
    stored = [
        ends.from_half_open(np.array([WHOLE if place < spanned else [10, 10, 90, 40]], float)) for place in range(10)
    ]
    found = check_convention("old.npz", BoxConvention(), stored, [(50, 100)] * 10)
    assert (found is not None) == doubted
    assert not doubted or f"those of {spanned} of 10 images do" in found


def test_proposals_that_span_no_image_by_any_convention_are_not_doubted():
    inner = [np.array([[5, 5, 20, 30], [9, 8, 30, 25]], float)] * 4
    assert check_convention("a.npz", BoxConvention(), inner, SIZES) is None
    assert check_convention("a.npz", BoxConvention(), [np.zeros((0, 4))] * 4, SIZES) is None


def test_match_by_key():
    file = file_of([[]] * 4, ("b", "JPEGImages/c.jpg", "7", "unused"))
    assert match_proposals(file, ["a", "b", "c", "000007"]) == {"b": 0, "c": 1, "000007": 2}


def test_an_ambiguous_name_matches_nothing():
    file = file_of([[]] * 3, ("x/1.jpg", "y/1.jpg", "b"))
    assert match_proposals(file, ["1", "b"]) == {"b": 2}


def test_numbers_of_a_coco_json_come_before_names():
    """Every number is some image's name too."""
    ids, numbers = ["1", "10", "2"], {"1": "1", "2": "10", "3": "2"}
    file = file_of([[], [], []], ("1", "2", "3"))
    assert match_proposals(replace(file, numbered=True), ids, numbers=numbers) == {"1": 0, "10": 1, "2": 2}
    assert match_proposals(file, ids, numbers=numbers) == {"1": 0, "2": 1}
    assert match_proposals(replace(file, numbered=True), ids) == {"1": 0, "2": 1}
    # Names that fit more images than the numbers do, as Ultralytics' and Detectron's.
    ids, numbers = ["000001", "000002"], {"2": "000001", "3": "000002"}
    assert match_proposals(replace(file, numbered=True), ids[:1], numbers=numbers) == {"000001": 1}
    file = replace(file_of([[], []], ("1", "2")), numbered=True)
    assert match_proposals(file, ids, numbers=numbers) == {"000001": 0, "000002": 1}


def test_no_match_and_no_ids_are_errors():
    with pytest.raises(ValueError, match=r"old.mat: expected ids of the data set's 1 images, like 'b'; got 1 others"):
        match_proposals(file_of([[]], ("a",)), ["b"])
    with pytest.raises(ValueError, match=r"expected image ids beside the 2 lists .* split has 2"):
        match_proposals(file_of([[], []]), ["a", "b"])


def test_match_by_position():
    assert match_proposals(file_of([[], []]), ["a", "b"], by_position=True) == {"a": 0, "b": 1}
    assert match_proposals(file_of([[], []], ("a", "b")), ["a", "b"], by_position=True) == {"a": 0, "b": 1}
    with pytest.raises(ValueError, match="as many lists as the split has images, 3, got 2"):
        match_proposals(file_of([[], []]), ["a", "b", "c"], by_position=True)
    with pytest.raises(ValueError, match="expected the split's order, got image 'a' in place 2 instead of 1"):
        match_proposals(file_of([[], []], ("b", "a")), ["a", "b"], by_position=True)


def test_a_file_names_each_image_once():
    with pytest.raises(ValueError, match="each image id once, got 'a' again"):
        file_of([[], []], ("a", "a"))
    with pytest.raises(ValueError, match="for each of its 1 image ids, got 2"):
        file_of([[], []], ("a",))
