import numpy as np

from detection.report.plots import BOTTOM, LEFT, RIGHT, TOP, Plot
from detection.visualization import Axis, Line


def plot(*lines):
    unit = Axis("x", 0, 2, (0, 1, 2))
    return Plot("p", "title", unit, unit, tuple(Line(f"line {i}", *line) for i, line in enumerate(lines)), "words")


def test_corners_and_middle():
    one = plot(([0, 1, 2], [0, 1, 2]))
    middle = f"{(LEFT + RIGHT) / 2:.1f} {(TOP + BOTTOM) / 2:.1f}"
    assert one.strokes(0) == [f"M{LEFT}.0 {BOTTOM}.0 L{middle} L{RIGHT}.0 {TOP}.0"]


def test_a_gap_breaks_the_line_and_a_lone_point_stays_visible():
    one = plot(([0, 1, 1.5, 2], [1, float("nan"), 1, 1]))
    first, second = one.strokes(0)
    assert first == f"M{LEFT}.0 100.0 L{LEFT}.0 100.0"
    assert second.count("L") == 1
    assert plot(([0, 1], [float("nan")] * 2)).strokes(0) == []
    assert plot(([], [])).strokes(0) == []


def test_points_beyond_the_axes_stay_at_the_edge():
    assert plot(([-5, 9], [9, -5])).strokes(0) == [f"M{LEFT}.0 {TOP}.0 L{RIGHT}.0 {BOTTOM}.0"]


def test_picture_of_one_line_has_no_legend():
    lines = ([0, 2], [2, 2]), ([0, 2], [2, 2])
    one, two = plot(lines[0]).picture(), plot(*lines).picture()
    assert one.shape == two.shape
    assert one.dtype == np.uint8
    # The legend stands at the bottom, where there is no line.
    assert (two[250:] < 128).any(axis=2).sum() > (one[250:] < 128).any(axis=2).sum()
