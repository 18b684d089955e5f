import re
import string
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.storage import (
    error_text,
    file_stem,
    printable,
    readable_paths,
    readable_stem,
    readable_stems,
    shortened,
)

NASTY = [
    "000001",
    "2008_000123",
    "a b",
    "dir/img",
    "dir\\img",
    "/etc/passwd",
    "../../up",
    "..",
    ".",
    ".hidden",
    "lone surrogate \udc80",
    "a%2Fb",
    "a/b",
    "C:\\x",
    "what?*<>|\"'",
    "é",
    "e\u0301",
    "猫/犬",
    "a\nb",
    "a\0b",
    "~home",
    "x" * 1000,
    "x" * 999 + "y",
    "/" * 500,
    "CON",
    "nul.txt",
    "Com1",
    "trailing.",
    "trailing ",
    "-rf",
]
IDS = st.one_of(
    st.text(min_size=1, max_size=40), st.text("ab/.%~\\ ", min_size=1, max_size=12), st.text(min_size=150, max_size=400)
)


def check(stem):
    assert re.fullmatch(r"[A-Za-z0-9_.~%-]+", stem)
    assert not stem.startswith(".")
    assert len(stem) <= 200
    assert stem.split(".")[0].upper() not in ("CON", "NUL", "COM1")


def test_an_empty_id_is_refused():
    with pytest.raises(ValueError, match="expected an image id, got an empty one"):
        file_stem("")


@pytest.mark.parametrize("image_id", ["000001", "2008_000123", "img-1.v2"])
def test_ordinary_ids_are_their_own_names(image_id):
    assert file_stem(image_id) == image_id


@pytest.mark.parametrize("image_id", NASTY)
def test_names_are_flat_and_portable(tmp_path, image_id):
    check(file_stem(image_id))
    path = tmp_path / f"{file_stem(image_id)}.safetensors"
    path.write_text("x")
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    assert path.resolve().parent == tmp_path.resolve()


def test_names_differ():
    assert len({file_stem(one) for one in NASTY}) == len(NASTY)


@settings(max_examples=300)
@given(IDS)
def test_any_id_has_a_flat_portable_name_and_short_ones_come_back(image_id):
    stem = file_stem(image_id)
    check(stem)
    if "~" not in stem or len(stem) < 200:
        assert unquote(stem) == image_id


@settings(max_examples=300)
@given(st.lists(IDS, unique=True, max_size=8))
def test_no_two_ids_share_a_name(ids):
    assert len({file_stem(one) for one in ids}) == len(ids)


def test_long_ids_keep_their_beginning():
    stem = file_stem(string.ascii_lowercase * 20)
    assert stem.startswith(string.ascii_lowercase * 6)
    assert len(stem) == 200


def test_names_of_pictures_can_be_read_and_differ():
    names = ["slide B", "slide B/01", "slide B_01", "SLIDE B", "CON", ".a", "", "a:b\x1b", "日本", "x" * 201, "A+ b."]
    found = readable_stems([*names, "slide B"])
    assert found == {
        "slide B": "slide B",
        "slide B/01": "slide B_01",
        "slide B_01": "slide B_01 (2)",
        "SLIDE B": "SLIDE B (2)",
        "CON": "_CON",
        ".a": "_.a",
        "": "_",
        "a:b\x1b": "a_b_",
        "日本": "日本",
        "x" * 201: file_stem("x" * 201),
        "A+ b.": "A+ b",
    }
    assert list(found) == names
    assert readable_stems(["x" * 200]) == {"x" * 200: "x" * 200}


def test_one_name_alone_is_no_others():
    assert readable_stem("slide B") == "slide B"
    assert readable_stem("a/b") == "a_b~c14cddc0"
    assert readable_stem("a/b") != readable_stem("a:b")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cat", "cat"),
        ("日本 A+", "日本 A+"),
        ("\x1b[2J", r"\x1b[2J"),
        ("\x00\x07\x7f\x9b", r"\x00\x07\x7f\x9b"),
        ("a\ud800\udcff", r"a\ud800\udcff"),
        ("a\u202eb\u2066\u2028", r"a\u202eb\u2066\u2028"),
        ("a\u200db", "a\u200db"),
    ],
)
def test_a_terminal_gets_no_control_characters(text, shown):
    assert printable(text) == printable(text, lines=True) == shown


def test_line_ends_are_kept_where_they_are_lines():
    assert printable("a\nb\tc\r") == r"a\nb\tc\r"
    assert printable("a\nb\tc\r", lines=True) == "a\nb\tc\\r"


def test_a_long_text_is_shortened_for_a_message():
    assert shortened("x" * 80) == "x" * 80
    assert shortened("x" * 81) == "x" * 80 + "..."
    assert shortened("abcd", 3) == "abc..."


def test_readable_paths_keep_the_folders():
    names = ["a/b", "a/B", "a:b/../c", "d", "e//f"]
    found = readable_paths(names)
    assert list(found) == names
    assert [path.as_posix() for path in found.values()] == ["a/b", "a/B (2)", "a_b/_/c", "d", "e/_ (2)/f"]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("x" * 400), "x" * 400),
        (ValueError("a" * 200 + "x" + "b" * 200), "a" * 200 + " ... " + "b" * 200),
        (KeyError("a"), "'a'"),
        (MemoryError(), "MemoryError"),
    ],
)
def test_what_an_error_says(error, text):
    assert error_text(error) == text
