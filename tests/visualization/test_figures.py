import numpy as np
import pytest

from detection.visualization import beside, captioned, contact_sheet, draw_arrows, draw_dots, stacked, table_picture

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


def test_places_of_three_images_in_two_columns():
    sheet = contact_sheet([plain(10, 20, 1), plain(10, 20, 2), plain(6, 12, 3)], 2, gap=4)
    assert sheet.shape == (2 * 10 + 3 * 4, 2 * 20 + 3 * 4, 3)
    assert (sheet[4:14, 4:24] == 1).all()
    assert (sheet[4:14, 28:48] == 2).all()
    assert (sheet[20:26, 8:20] == 3).all()
    assert (sheet[20:26, 4:8] == 255).all()
    assert (sheet[18:20, 4:24] == 255).all()
    assert (sheet[18:28, 28:48] == 255).all()


def test_large_images_shrink_in_proportion_and_small_ones_stay():
    sheet = contact_sheet([plain(100, 50, 0), plain(5, 5, 0)], 2, cell_size=(20, 20), gap=0)
    assert sheet.shape == (20, 40, 3)
    assert (sheet[:, 5:15] == 0).all()
    assert (sheet[:, :5] == 255).all()
    assert (sheet[:, 20:] == 0).all(axis=2).sum() == 25


def test_fewer_images_than_columns():
    assert contact_sheet([plain(10, 10, 0)], 4, gap=0).shape == (10, 10, 3)


@pytest.mark.parametrize(("images", "columns"), [([], 2), ([plain(2, 2, 0)], 0)])
def test_nothing_to_show_is_refused(images, columns):
    with pytest.raises(ValueError, match="expected images and columns >= 1"):
        contact_sheet(images, columns)


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
