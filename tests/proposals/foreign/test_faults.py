import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from detection.proposals.foreign import find_faults, repair_proposals
from detection.proposals.foreign.faults import faulty_rows
from detection.types import Proposals

SIZE = (50, 100)
NAN, INF = float("nan"), float("inf")


def test_hand_computed():
    boxes = np.array(
        [
            [0, 0, 100, 50],  # good
            [20, 5, 10, 15],  # swapped: 10 5 20 15
            [10, 5, 20, 15],  # equal to the one before, once that is swapped
            [-5, 0, 10, 60],  # outside
            [7, 7, 7, 9],  # empty
            [NAN, 0, 1, 1],
            [0, 0, INF, 1],
            [120, 0, 130, 10],  # outside, nothing left
        ]
    )
    faults = {fault: rows.tolist() for fault, rows in find_faults(boxes, SIZE).items()}
    assert faults == {
        "not finite": [5, 6],
        "swapped": [1],
        "outside": [3, 7],
        "empty": [4, 7],
        "duplicate": [2],
    }
    repaired, _ = repair_proposals(boxes, SIZE)
    assert repaired.tolist() == [[0, 0, 100, 50], [10, 5, 20, 15], [0, 0, 10, 50]]
    kept, faults = repair_proposals(boxes, SIZE, duplicates=False)
    assert kept.tolist() == [[0, 0, 100, 50], [10, 5, 20, 15], [10, 5, 20, 15], [0, 0, 10, 50]]
    assert "duplicate" not in faults
    assert faulty_rows(boxes, SIZE).tolist() == [False, True, False, True, True, True, True, True]


def test_nothing_has_no_faults():
    assert find_faults(np.zeros((0, 4)), SIZE) == {}
    assert repair_proposals(np.zeros((0, 4)), SIZE)[0].shape == (0, 4)


def test_a_rounding_beyond_the_border_is_cut_and_not_listed():
    repaired, faults = repair_proposals(np.array([[0, 0, 100.001, 50]]), SIZE)
    assert faults == {}
    assert repaired.tolist() == [[0, 0, 100, 50]]


def test_sides_that_float32_cannot_tell_are_empty():
    boxes = np.array([[60.0, 0, 60.0 + 1e-9, 10]])
    assert list(find_faults(boxes, SIZE)) == ["empty"]


NUMBERS = st.one_of(st.floats(-200, 200, width=32), st.sampled_from([NAN, INF, -INF, 0.0, -0.0]))


@given(st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS), max_size=12))
def test_repaired_proposals_have_no_fault_and_make_a_record(rows):
    boxes = np.array(rows, float).reshape(-1, 4)
    before = boxes.copy()
    repaired, _ = repair_proposals(boxes, SIZE)
    assert find_faults(repaired, SIZE) == {}
    Proposals("a", SIZE, repaired, "test")
    assert np.array_equal(boxes, before, equal_nan=True)
    again, faults = repair_proposals(repaired, SIZE)
    assert np.array_equal(again, repaired)
    assert faults == {}


@given(st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS), max_size=12))
def test_duplicates_against_a_plain_loop(rows):
    boxes = np.array(rows, float).reshape(-1, 4)
    kept, _ = repair_proposals(boxes, SIZE, duplicates=False)
    seen = []
    for box in kept.tolist():
        if box not in seen:
            seen.append(box)
    assert repair_proposals(boxes, SIZE)[0].tolist() == seen
