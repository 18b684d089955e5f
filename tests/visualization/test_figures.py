import numpy as np
import pytest

from detection.visualization import beside, captioned, draw_arrows, draw_dots, stacked

RED, WHITE = (213, 0, 0), 255


def plain(height, width, value):
    return np.full((height, width, 3), value, np.uint8)


def test_pictures_in_line():
    row = beside([plain(3, 2, 10), plain(1, 4, 20)], 5)
    assert row.shape == (3, 11, 3)
    assert (row[:, :2] == 10).all()
    assert (row[0, 7:] == 20).all()
    assert (row[1:, 7:] == WHITE).all()
    assert (row[:, 2:7] == WHITE).all()
    column = stacked([plain(3, 2, 10), plain(1, 4, 20)], 5)
    assert column.shape == (9, 4, 3)
    assert (column[8] == 20).all()
    with pytest.raises(ValueError, match="at least one picture"):
        stacked([], 0)


def test_a_caption_is_above_and_inside():
    picture = captioned(plain(10, 60, 128), ["filter 3", "a text that is far too long for so narrow a picture"], 12)
    assert picture.shape[1] == 60
    assert picture.shape[0] > 10 + 2 * 12
    assert (picture[-10:] == 128).all()
    assert (picture[:-10] < 128).any()
    assert captioned(plain(10, 60, 128), [], 12)[-10:].tolist() == plain(10, 60, 128).tolist()


def test_an_arrow_goes_from_start_to_end():
    picture = plain(60, 100, 0)
    drawn = draw_arrows(picture, np.array([[90, 30]]), np.array([[10, 30]]), [RED], 12)
    assert (picture == 0).all()
    assert drawn[30, 50].tolist() == list(RED)
    assert drawn[30, 90].tolist() == list(RED)
    assert drawn[30, 13].tolist() == list(RED)
    assert not drawn[30, :5].any()
    assert not drawn[:15].any()
    # The head is wider than the line.
    assert (drawn[:, 16] == RED).all(axis=1).sum() > (drawn[:, 50] == RED).all(axis=1).sum()
    assert (draw_arrows(picture, np.zeros((0, 2)), np.zeros((0, 2)), [], 12) == 0).all()
    assert (draw_arrows(picture, np.array([[5, 5]]), np.array([[5, 5]]), [RED], 6)[5, 5] == RED).all()


def test_dots():
    drawn = draw_dots(plain(20, 20, 0), np.array([[5.0, 6.0], [15.0, 15.0]]), [3.0, 0.0], [RED, RED])
    assert drawn[6, 5].tolist() == list(RED)
    assert not drawn[6, 12].any()
    assert drawn[13:17, 13:17].any()
