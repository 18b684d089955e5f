import pytest

from detection.learning.ranges import check_ranges

RANGES = {"> 0": ("size",), ">= 0": ("seed", "part"), "0 .. 1 or null": ("overlap",)}


def test_numbers_within_their_ranges():
    check_ranges("toy.", {"size": 1, "seed": 0, "part": 0.5, "overlap": None}, RANGES)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [("size", 0, "> 0"), ("part", -0.5, ">= 0"), ("part", float("nan"), ">= 0"), ("overlap", 1.5, "0 .. 1 or null")],
)
def test_a_number_out_of_its_range(name, value, expected):
    with pytest.raises(ValueError, match=f"toy.{name}: expected {expected}, got {value}"):
        check_ranges("toy.", {"size": 1, "seed": 0, "part": 0, "overlap": 1} | {name: value}, RANGES)
