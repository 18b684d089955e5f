"""The draw of mutants: the same each time, over all rooms, each one another program."""

import ast

import pytest

from tests.mutants.draw import ROOT, asked_tests, draw
from tests.mutants.mutations import mutations

SOURCE = b'''"""A docstring with 1 and True."""
from typing import TYPE_CHECKING
_VERSION = 3

if TYPE_CHECKING:
    import torch

def f(x: "int" = 2, flag: bool = True) -> int | None:
    """Returns 1."""
    if x < 10 and flag:
        raise ValueError(f"expected {x + 1} and not {max(x, 1)}")
    for one in g(x, flag, key=x):
        if one is None:
            continue
        h[0] += one
    say("done with 3")
    return min(x, -1) if not flag else sorted(x)
'''


def changes(source):
    return {(one.kind, source[one.start : one.end].decode(), one.text) for one in mutations(source)}


def test_every_kind_of_change():
    assert changes(SOURCE) == {
        ("constant", "2", "3"), ("constant", "2", "(1)"), ("constant", "True", "False"),
        ("negated", "x < 10 and flag", "(not (x < 10 and flag))"), ("operator", "x < 10 and flag", "(x < 10 or flag)"),
        ("condition dropped", "x < 10 and flag", "(x < 10)"), ("boundary", "x < 10", "(x <= 10)"),
        ("constant", "10", "11"), ("constant", "10", "(9)"),
        ("statement removed", 'raise ValueError(f"expected {x + 1} and not {max(x, 1)}")', "pass"),
        ("arguments swapped", "g(x, flag, key=x)", "(g(flag, x, key=x))"),
        ("keyword dropped", "g(x, flag, key=x)", "(g(x, flag))"),
        ("negated", "one is None", "(not (one is None))"), ("opposite", "one is None", "(one is not None)"),
        ("continue to break", "continue", "break"),
        ("operator", "h[0] += one", "h[0] -= one"), ("statement removed", "h[0] += one", "pass"),
        ("statement removed", 'say("done with 3")', "pass"),
        ("return changed", "return min(x, -1) if not flag else sorted(x)", "return None"),
        ("negated", "not flag", "(not (not flag))"), ("sign dropped", "not flag", "(flag)"),
        ("arguments swapped", "min(x, -1)", "(min(-1, x))"), ("other function", "min", "max"),
        ("sign dropped", "-1", "(1)"), ("constant", "1", "2"), ("constant", "1", "(0)"),
        ("call dropped", "sorted(x)", "(x)"),
    }  # fmt: skip


@pytest.fixture(scope="module")
def drawn():
    return draw(20261128, 150)


def test_the_draw_is_the_seeds(drawn):
    rooms = ["geometry", "storage"]
    assert draw(1, 20, rooms) == draw(1, 20, rooms) != draw(2, 20, rooms)
    assert [one.number for one in drawn] == list(range(150))


def test_every_room_and_no_line_twice(drawn):
    modules = [one.relative_to(ROOT / "detection") for one in (ROOT / "detection").rglob("*.py")]
    rooms = {one.parts[0].removesuffix(".py") for one in modules if one.name != "__init__.py"}
    assert {one.room for one in drawn} == rooms - {"__main__"}  # it has nothing to change
    assert len({(one.file, one.mutation.line) for one in drawn}) == 150


def test_each_is_another_program(drawn):
    for one in drawn:
        source = (ROOT / one.file).read_bytes()
        assert ast.dump(ast.parse(one.mutation.applied(source))) != ast.dump(ast.parse(source)), one.diff()


def test_an_unknown_room_is_refused():
    with pytest.raises(ValueError, match="rooms: expected of detection/, got cellar"):
        draw(1, 10, ["data", "cellar"])


def test_its_own_test_comes_first():
    near, rest = asked_tests("detection/learning/svm/_trainer.py")
    assert near[0] == "tests/learning/svm/test_trainer.py"
    assert "tests/learning/test_regression.py" in near
    assert "tests/data/test_dataset.py" in rest
    assert {"tests/tools/test_docs.py", "tests/tools/test_tools.py"} == {
        one for one in near + rest if one.startswith("tests/tools")
    }
