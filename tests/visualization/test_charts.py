import numpy as np
import pytest

from detection.visualization import Axis, Line, class_colour, line_chart
from detection.visualization.charts import _dashed

X = Axis("proposals", 10, 1000, (10, 100, 1000), logarithmic=True)
Y = Axis("recall", 0, 1, (0, 0.5, 1))


def drawn(image, colour):
    return (np.abs(image.astype(int) - colour).max(axis=2) < 30).sum()


def test_axes():
    assert [X.share(one) for one in (10, 100, 1000)] == pytest.approx([0, 0.5, 1])
    assert Axis("y", 2, 4, ()).share(3) == 0.5


def test_each_line_is_drawn_in_its_colour():
    lines = [Line("one", (10, 100, 1000), (0.2, 0.5, 0.9)), Line("two", (10, 1000), (0.9, 0.9))]
    image = line_chart("Title", X, Y, lines)
    assert image.shape == (420, 560, 3)
    assert image.dtype == np.uint8
    empty = line_chart("Title", X, Y, [])
    for index in range(2):
        assert drawn(image, class_colour(index)) > drawn(empty, class_colour(index)) + 50
    assert np.array_equal(image, line_chart("Title", X, Y, lines))


def test_points_that_are_no_number_or_beyond_the_axes_are_left_out():
    """The others are joined; those on the axes' ends are within."""
    x, y = (10, 31, 50, 100, 300, 500, 1000, 1001), (0, 0.5, float("nan"), 1.5, 0.5, -0.1, 1, 0.5)
    inside = [0, 1, 4, 6]
    drawn = line_chart("T", X, Y, [Line("a", x, y)])
    assert np.array_equal(drawn, line_chart("T", X, Y, [Line("a", [x[i] for i in inside], [y[i] for i in inside])]))
    for left_out in inside:
        fewer = [i for i in inside if i != left_out]
        other = line_chart("T", X, Y, [Line("a", [x[i] for i in fewer], [y[i] for i in fewer])])
        assert not np.array_equal(drawn, other)


def test_a_dashed_line_leaves_its_gaps():
    assert _dashed([(0, 0), (10, 0)], [4, 2]) == [[(0, 0), (4, 0)], [(6, 0), (10, 0)]]
    # Dashes go on round a corner.
    assert _dashed([(0, 0), (3, 0), (3, 3)], [4, 1]) == [[(0, 0), (3, 0), (3, 1)], [(3, 2), (3, 3)]]
