import numpy as np
import pytest

from detection.visualization import contact_sheet


def flat(height, width, level):
    return np.full((height, width, 3), level, np.uint8)


def test_places_of_three_images_in_two_columns():
    sheet = contact_sheet([flat(10, 20, 1), flat(10, 20, 2), flat(6, 20, 3)], 2, gap=4)
    assert sheet.shape == (2 * 10 + 3 * 4, 2 * 20 + 3 * 4, 3)
    assert (sheet[4:14, 4:24] == 1).all()
    assert (sheet[4:14, 28:48] == 2).all()
    assert (sheet[20:26, 4:24] == 3).all()
    assert (sheet[18:20, 4:24] == 255).all()
    assert (sheet[18:28, 28:48] == 255).all()


def test_large_images_shrink_in_proportion_and_small_ones_stay():
    sheet = contact_sheet([flat(100, 50, 0), flat(5, 5, 0)], 2, cell_size=(20, 20), gap=0)
    assert sheet.shape == (20, 40, 3)
    assert (sheet[:, 5:15] == 0).all()
    assert (sheet[:, :5] == 255).all()
    assert (sheet[:, 20:] == 0).all(axis=2).sum() == 25


def test_fewer_images_than_columns():
    assert contact_sheet([flat(10, 10, 0)], 4, gap=0).shape == (10, 10, 3)


@pytest.mark.parametrize(("images", "columns"), [([], 2), ([flat(2, 2, 0)], 0)])
def test_nothing_to_show_is_refused(images, columns):
    with pytest.raises(ValueError, match="expected images and columns >= 1"):
        contact_sheet(images, columns)
