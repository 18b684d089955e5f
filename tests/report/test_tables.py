import csv
import io

import pytest

from detection.report.tables import DASH, Column, Table

TABLE = Table(
    "t",
    "A table.",
    (Column("class"), Column("AP", "share", bar=True), Column("interval", "share"), Column("objects", "integer")),
    (("cat", 0.25, (0.125, 0.5), 1200), ('d,"og"', None, None, 0), ("mean", 0.25, (0.0, 1.0), 1200)),
    foot=1,
)


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("text", "a", "a"),
        ("integer", 1234567, "1,234,567"),
        ("share", 0.5, "0.500"),
        ("share", (0.25, 1.0), "0.250 to 1.000"),
        ("signed", -0.0125, "-0.013"),
        ("signed", (-0.1, 0.2), "-0.100 to +0.200"),
        ("percent", 0.666, "67%"),
        ("percent", 0.996, ">99%"),
        ("seconds", 1234.56, "1,234.6 s"),
        ("number", 0.000123456, "0.0001235"),
        ("number", 20, "20"),
        ("share", None, DASH),
        ("share", float("nan"), DASH),
    ],
)
def test_text_of_a_value(kind, value, text):
    assert Column("x", kind).cell(value).text == text


def test_cells_have_what_they_are_sorted_by_and_bars():
    (_, cat), (_, dog) = TABLE.body
    assert [cell.text for cell in cat] == ["cat", "0.250", "0.125 to 0.500", "1,200"]
    assert [cell.value for cell in cat] == ["cat", "0.25", "0.125", "1200"]
    assert [cell.bar for cell in cat] == [None, 25.0, None, None]
    assert [cell.value for cell in dog] == ['d,"og"', None, None, "0"]
    assert dog[1].bar is None
    assert [cells[0].text for _, cells in TABLE.sums] == ["mean"]


def test_bars_stay_inside_their_cell():
    table = Table("t", "", (Column("x", "share", bar=True),), ((-0.5,), (1.5,)))
    assert [cells[0].bar for _, cells in table.body] == [0.0, 100.0]


def test_shades_are_of_all_cells_but_the_rows_name():
    table = Table("t", "", (Column("a"), Column("b", "integer")), (("x", 3), ("y", 0)), shades=((0.75,), (0.0,)))
    assert [[cell.shade for cell in cells] for _, cells in table.body] == [[None, 75.0], [None, 0.0]]


def test_csv_has_every_digit_and_two_columns_for_an_interval():
    rows = list(csv.reader(io.StringIO(TABLE.csv())))
    assert rows[0] == ["class", "AP", "interval, low", "interval, high", "objects"]
    assert rows[1] == ["cat", "0.25", "0.125", "0.5", "1200"]
    assert rows[2] == ['d,"og"', "", "", "", "0"]


def test_the_first_rows_say_so():
    assert TABLE.first(3) is TABLE
    first = TABLE.first(2)
    assert first.rows == TABLE.rows[:2]
    assert first.caption == "A table. The first 2 of 3 rows; the CSV file has all."


def test_a_table_without_rows():
    table = Table("t", "", (Column("a"), Column("b", "integer")), ())
    assert table.body == []
    assert table.sums == []
    assert table.csv() == "a,b\n"
