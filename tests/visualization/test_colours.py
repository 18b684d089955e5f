import itertools

import pytest

from detection.visualization import class_colour, text_colour
from detection.visualization.colours import luminance


def contrast(first, second):
    """Contrast ratio, 1 to 21 (WCAG 2.1)."""
    dark, light = sorted((luminance(first), luminance(second)))
    return (light + 0.05) / (dark + 0.05)


def test_the_first_seven_are_okabe_itos():
    assert class_colour(0) == (230, 159, 0)
    assert class_colour(6) == (204, 121, 167)


def test_twenty_one_colours_differ_and_then_repeat():
    colours = [class_colour(i) for i in range(21)]
    assert len(set(colours)) == 21
    assert [class_colour(i) for i in range(21, 42)] == colours


def test_colours_are_whole_numbers_of_a_byte():
    for index in range(21):
        assert all(isinstance(c, int) and 0 <= c <= 255 for c in class_colour(index))


# Dichromats' view in linear RGB: Vienot, Brettel and Mollon, 1999, table of matrices for protan and deutan.
PROTAN = ((0.11238, 0.88762, 0), (0.11238, 0.88762, 0), (0.00401, -0.00401, 1))
DEUTAN = ((0.29275, 0.70725, 0), (0.29275, 0.70725, 0), (-0.02234, 0.02234, 1))


def linear(value):
    value /= 255
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def seen(colour, matrix):
    values = [linear(c) for c in colour]
    mixed = [max(0, sum(m * v for m, v in zip(row, values, strict=True))) for row in matrix]
    return [255 * (12.92 * v if v <= 0.0031308 else 1.055 * v ** (1 / 2.4) - 0.055) for v in mixed]


@pytest.mark.parametrize("matrix", [PROTAN, DEUTAN])
def test_the_first_seven_stay_apart_for_colour_blind_eyes(matrix):
    views = [seen(class_colour(i), matrix) for i in range(7)]
    for first, second in itertools.combinations(views, 2):
        assert max(abs(a - b) for a, b in zip(first, second, strict=True)) > 20


def test_luminance_of_black_white_and_red():
    assert luminance((0, 0, 0)) == 0
    assert luminance((255, 255, 255)) == pytest.approx(1)
    assert luminance((255, 0, 0)) == pytest.approx(0.2126)


@pytest.mark.parametrize("index", range(21))
def test_text_is_readable_on_every_colour(index):
    """At least 4.5 to 1, WCAG 2.1 AA."""
    colour = class_colour(index)
    assert contrast(colour, text_colour(colour)) >= 4.5
