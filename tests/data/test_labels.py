"""What label files say: class names."""

import pytest

from detection.data import DataError, Problems
from detection.data.labels import MAX_NAME, class_name


@pytest.mark.parametrize(
    "name",
    ["cat", "NO", "007", "A+", "=cmd|x", "\u0438\u0306", "\u0439", "\U0001f415", "a\u200db", "<b>", "x" * MAX_NAME],
)
def test_a_name_is_the_text_as_written(name):
    problems = Problems(strict=True)
    assert class_name(name, "list.txt", problems=problems) == name


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (" cat\r\n", "cat"),
        ("a\nb", "a b"),
        ("a\t\x85 b", "a b"),
        ("\ufeffcat", "cat"),
        ("a\xa0b", "a b"),
        ("a\u2028b", "a b"),
    ],
)
def test_blanks_and_line_ends_are_repaired(raw, name):
    problems = Problems()
    assert class_name(raw, "list.txt", "object 1", 3, problems) == name
    (record,) = problems
    assert (record.kind, record.place) == ("blanks in a class name", "list.txt:3")
    assert class_name(raw, "list.txt") == name


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        ("", "object without a name"),
        (" \n", "object without a name"),
        ("x" * (MAX_NAME + 1), "class name too long"),
        *(
            (f"a{sign}b", "class name that no file can hold")
            for sign in "\0\x08\x1b\x7f\x80\x9f\ud800\udfff\ufffe\uffff"
        ),
        *((value, "class name that is no text") for value in (None, 7, False, ["cat"])),
    ],
)
def test_a_name_that_cannot_be_kept_is_refused_with_its_place(raw, kind):
    with pytest.raises(DataError, match=r"^list\.txt:3: ") as caught:
        class_name(raw, "list.txt", "object 1", 3)
    assert caught.value.kind == kind
    assert str(caught.value).isprintable()
