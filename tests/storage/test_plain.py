from dataclasses import dataclass
from typing import Literal

import pytest

from detection.storage.plain import expect_mappings, record_of


@dataclass(frozen=True)
class Kind:
    whole: int = 1
    share: float = 0.5
    text: str = ""
    flag: bool = False
    word: Literal["a", "b"] = "a"
    sizes: tuple[int, ...] = ()
    maybe: tuple[float, ...] | None = None

    def __post_init__(self):
        if self.whole < 0:
            raise ValueError(f"whole: expected a number of at least 0, got {self.whole}")


def test_plain_values_become_a_record():
    values = {"whole": 2, "share": 1, "text": "x", "flag": True, "word": "b", "sizes": [1, 2], "maybe": [0.5, 1]}
    assert record_of(Kind, values, "a.yaml") == Kind(2, 1, "x", True, "b", (1, 2), (0.5, 1))
    assert record_of(Kind, {"maybe": None}, "a.yaml") == Kind()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"whole": 1.0}, "whole: expected int, got 1.0"),
        ({"whole": True}, "whole: expected int, got True"),
        ({"share": True}, "share: expected float, got True"),
        ({"share": "1"}, "share: expected float, got '1'"),
        ({"text": None}, "text: expected str, got None"),
        ({"flag": 1}, "flag: expected bool, got 1"),
        ({"word": "c"}, r"word: expected Literal\['a', 'b'\], got 'c'"),
        ({"word": ["a"]}, r"word: expected Literal"),
        ({"sizes": 3}, r"sizes: expected tuple\[int, \.\.\.\], got 3"),
        ({"sizes": [1, [2]]}, r"sizes: expected tuple\[int, \.\.\.\], got \[1, \[2\]\]"),
        ({"maybe": {"a": 1}}, "maybe: expected tuple"),
        ({"other": 1, "more": 2}, "expected the keys of Kind, got more, other"),
        ({"whole": -1}, "whole: expected a number of at least 0, got -1"),
    ],
)
def test_other_values_are_named(values, message):
    with pytest.raises(ValueError, match=f"^a.yaml: {message}"):
        record_of(Kind, values, "a.yaml")


def test_mappings():
    expect_mappings({"a": {"x": 1}, "b": 3}, ["a"], "a.yaml")
    for content in ({}, {"a": None}, {"a": [1]}, {"a": {1: 2}}):
        with pytest.raises(ValueError, match=r"^a\.yaml: "):
            expect_mappings(content, ["a"], "a.yaml")
