import numpy as np
import pytest

from detection.visualization import table_picture


def test_every_row_adds_a_row_of_the_picture():
    one, two = (table_picture(["a", "b"], [["x", "1"]] * count, [False, True]) for count in (1, 2))
    assert one.dtype == np.uint8
    assert one.shape[1] == two.shape[1]
    assert two.shape[0] > one.shape[0]
    assert (one < 100).any()


def test_numbers_stand_at_the_right_edge_of_their_column():
    left, right = (table_picture(["a wide title"], [["1"]], [side]) for side in (False, True))
    columns = [np.flatnonzero((picture[30:46].min(axis=2) < 100).any(axis=0)) for picture in (left, right)]
    assert columns[0].mean() < left.shape[1] / 3
    assert columns[1].mean() > 2 * left.shape[1] / 3


def test_a_long_text_is_cut_and_no_text_breaks_it():
    wide = table_picture(["a"], [["x" * 5000]], [False])
    assert wide.shape[1] < 2000
    assert table_picture(["a"], [["a\nb\udc80 é"]], [False]).shape[0] == table_picture(["a"], [["x"]], [False]).shape[0]
    assert table_picture(["a"], [], [False]).shape[0] > 10


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="expected rows of 2 >= 1 cells"):
        table_picture(["a", "b"], [["x"]], [False, True])
    with pytest.raises(ValueError, match="expected rows of 0 >= 1 cells"):
        table_picture([], [], [])
