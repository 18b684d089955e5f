"""Tables of a report: the same rows as HTML, CSV and a picture."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from detection.storage import csv_text
from detection.talking import percent

Kind = Literal["text", "words", "integer", "share", "signed", "percent", "seconds", "number"]
DASH = "\N{EN DASH}"


class Cell(NamedTuple):
    """One cell as text, its value to sort by (None sorts last), and the width of its bar and its shade in percent."""

    text: str
    value: str | None
    bar: float | None
    shade: float | None = None


@dataclass(frozen=True)
class Column:
    """One column. kind: how its values are written; words are sentences. hint: what it means beyond its title.

    bar: a bar behind the value shows it as a part of the whole (values in [0, 1]).
    """

    title: str
    kind: Kind = "text"
    hint: str = ""
    bar: bool = False

    def cell(self, value: Any) -> Cell:
        """A value as it is shown; a dash for None and NaN."""
        if value is None or value != value:
            return Cell(DASH, None, None)
        bar = _share(value) if self.bar else None
        return Cell(_WRITERS[self.kind](value), str(value[0] if isinstance(value, tuple) else value), bar)

    @property
    def numeric(self) -> bool:
        """Whether values are numbers: set to the right, and sorted as such."""
        return self.kind not in ("text", "words")


def _share(value: float) -> float:
    return round(100 * min(max(float(value), 0.0), 1.0), 1)


def plain_columns(kind: Kind, *titles: str) -> list[Column]:
    """Columns of one kind that need no hint."""
    return [Column(title, kind) for title in titles]


def _pair(value: float | tuple[float, float], form: str) -> str:
    return " to ".join(format(one, form) for one in value) if isinstance(value, tuple) else format(value, form)


_WRITERS = {
    "text": str,
    "words": str,
    "integer": lambda value: f"{value:,}",
    "share": lambda value: _pair(value, ".3f"),
    "signed": lambda value: _pair(value, "+.3f"),
    "percent": percent,
    "seconds": lambda value: f"{value:,.1f} s",
    "number": lambda value: f"{value:.4g}" if isinstance(value, float) else f"{value:,}",
}


@dataclass(frozen=True)
class Table:
    """Rows of values under columns; the first column names its row.

    name: of its file. caption: what it shows, one sentence or two. rows: a value a column; None for what there is none
    of; a pair (low, high) is an interval. links: for each row the id of the page's element it leads to, or ""; () for
    none. sortable: whether the reader may sort it. foot: how many of the last rows are sums and stay below. shades: for
    each row a share in [0, 1] of each column but the first, shown as the ground of its cell; () for none.
    """

    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]
    links: tuple[str, ...] = ()
    sortable: bool = False
    foot: int = 0
    shades: tuple[tuple[float, ...], ...] = ()

    @property
    def hints(self) -> list[tuple[str, str]]:
        """(title, meaning) of the columns that need words."""
        return [(column.title, column.hint) for column in self.columns if column.hint]

    @property
    def body(self) -> list[tuple[str, list[Cell]]]:
        """(link, cells) of every row but the sums."""
        return self._cells()[: len(self.rows) - self.foot]

    @property
    def sums(self) -> list[tuple[str, list[Cell]]]:
        """(link, cells) of the sums."""
        return self._cells()[len(self.rows) - self.foot :]

    def _cells(self) -> list[tuple[str, list[Cell]]]:
        links = self.links or ("",) * len(self.rows)
        rows = [[column.cell(value) for column, value in zip(self.columns, row, strict=True)] for row in self.rows]
        for cells, shades in zip(rows, self.shades, strict=False):
            cells[1:] = [cell._replace(shade=_share(one)) for cell, one in zip(cells[1:], shades, strict=True)]
        return list(zip(links, rows, strict=True))

    def first(self, most: int) -> Table:
        """The table with its first rows only, which the caption then says."""
        if len(self.rows) <= most:
            return self
        caption = f"{self.caption} The first {most} of {len(self.rows)} rows; the CSV file has all."
        return replace(self, caption=caption, rows=self.rows[:most], links=self.links[:most])

    def csv(self) -> str:
        """The table as CSV with every digit; an interval is two columns, None is empty."""
        wide = [any(isinstance(row[i], tuple) for row in self.rows) for i in range(len(self.columns))]
        titles = [one.title for one in self.columns]
        header = [(f"{one}, low", f"{one}, high") if pair else one for one, pair in zip(titles, wide, strict=True)]
        lines = []
        for row in (header, *self.rows):
            cells = [(value or (None, None)) if pair else (value,) for value, pair in zip(row, wide, strict=True)]
            lines.append([one for cell in cells for one in cell])
        return csv_text(lines)
