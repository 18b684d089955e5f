import re
import string
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.storage import file_stem

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
