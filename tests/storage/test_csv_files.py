"""CSV that no spreadsheet runs, and that comes back as it was."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.storage import csv_text, read_csv

FORMULAS = ["=cmd|'/C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "-", "+", "=", "A\t", "'=1", "''-x", "- 1"]


@pytest.mark.parametrize("cell", FORMULAS)
def test_no_cell_begins_as_a_formula(cell, tmp_path):
    text = csv_text([["class"], [cell]])
    (_, (written,)) = csv.reader(io.StringIO(text, newline=""))
    assert written[0] not in "=+-@\t\r"
    (tmp_path / "a.csv").write_bytes(text.encode())
    assert read_csv(tmp_path / "a.csv") == [["class"], [cell]]


def test_numbers_and_other_text_stay():
    assert csv_text([["a-b", "'x", "cat"], [-1, -0.5, None], ["-1.5", "+2", "-inf"]]) == (
        "a-b,'x,cat\n-1,-0.5,\n-1.5,+2,-inf\n"
    )


@given(st.lists(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=2, max_size=2), max_size=4))
def test_every_text_comes_back(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_bytes(csv_text(rows).encode())
    assert read_csv(path) == rows


def test_what_is_no_csv_is_named(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\xff")
    with pytest.raises(ValueError, match=r"a\.csv: expected CSV"):
        read_csv(tmp_path / "a.csv")
