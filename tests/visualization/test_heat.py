import numpy as np
import pytest

from detection.visualization import heat_colours, heat_scale, overlay_heat


def test_colours_run_from_dark_to_light():
    colours = heat_colours(np.array([-5.0, 0.0, 1.0, 2.0, 9.0]), 0.0, 2.0)
    assert colours.dtype == np.uint8
    assert colours[0].tolist() == colours[1].tolist() == [68, 1, 84]
    assert colours[3].tolist() == colours[4].tolist() == [253, 231, 37]
    luminance = heat_colours(np.linspace(0, 1, 50), 0, 1) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(luminance) > 0).all()


def test_one_value_alone_is_dark():
    assert heat_colours(np.full((2, 3), 4.0), 4.0, 4.0).reshape(-1, 3).tolist() == [[68, 1, 84]] * 6
    with pytest.raises(ValueError, match="finite"):
        heat_colours(np.array([np.nan]), 0, 1)


def test_an_overlay_shows_the_image_where_nothing_is():
    rgb = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    values = np.zeros((4, 5))
    values[1, 2], values[3, 4] = 2.0, -2.0
    drawn = overlay_heat(rgb, values, 2.0, opacity=1.0)
    assert drawn[1, 2].tolist() == [253, 231, 37]
    assert drawn[3, 4].tolist() == [68, 1, 84]
    assert (drawn[0] == drawn[0, :, :1]).all()
    assert (overlay_heat(rgb, np.zeros((4, 5)), 0.0) == overlay_heat(rgb, np.zeros((4, 5)), 1.0)).all()
    with pytest.raises(ValueError, match="shape"):
        overlay_heat(rgb, values[:2], 1.0)


def test_a_scale_has_the_colours_and_room_for_numbers():
    scale = heat_scale(100, -1.5, 2.25, 12)
    assert scale.shape[0] == 100
    assert scale[0, 0].tolist() == [253, 231, 37]
    assert scale[-1, 0].tolist() == [68, 1, 84]
    assert (scale[:15, 16:] < 128).any(), "no number at the top"
