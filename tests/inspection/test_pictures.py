import numpy as np

from detection.inspection.pictures import crop_around, draw_rectangles, framed, shrink

RGB = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def test_shrinking():
    small, factor = shrink(RGB, 30)
    assert (small.shape, factor) == ((20, 30, 3), 0.5)
    assert shrink(RGB, 60)[0] is RGB


def test_a_crop_knows_its_place():
    crop = crop_around(RGB, np.array([10, 20, 30, 30], np.float32), 0.1, 48)
    # 2 px around the box: 24 x 14 px, enlarged twice.
    assert crop.rgb.shape == (28, 48, 3)
    assert (crop.origin.tolist(), crop.factor) == ([8, 18], 2.0)
    assert crop.place(np.array([10, 20, 30, 30])).tolist() == [4, 4, 44, 24]
    # Cut off at the border.
    assert crop_around(RGB, np.array([0, 0, 60, 40]), 0.5, 60).rgb.tolist() == RGB.tolist()


def test_frames_and_rectangles():
    assert framed([RGB, RGB], 5, 2).shape == (40 + 40 + 5 + 4, 64, 3)
    drawn = draw_rectangles(RGB, np.array([[2, 3, 5, 6], [-1, -1, 99, 99]]), (1, 2, 3))
    changed = np.argwhere((drawn != RGB).any(axis=2))
    assert (changed.min(axis=0).tolist(), changed.max(axis=0).tolist()) == ([3, 2], [6, 5])
    assert (drawn[3, 2:6] == (1, 2, 3)).all()
