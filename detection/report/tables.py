"""Tables of a report: the same rows as HTML, CSV and a picture."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["text", "words", "integer", "share", "signed", "percent", "seconds", "number"]
DASH = "\N{EN DASH}"


@dataclass(frozen=True)
class Column:
    """One column. kind: how its values are written; words are sentences. hint: what it means beyond its title.

    bar: a bar behind the value shows it as a part of the whole (values in [0, 1]).
    """

    title: str
    kind: Kind = "text"
    hint: str = ""
    bar: bool = False

    def text(self, value: Any) -> str:
        """A value as it is read; a dash for None."""
        if value is None or value != value:
            return DASH
        return _WRITERS[self.kind](value)

    @property
    def numeric(self) -> bool:
        """Whether values are numbers: set to the right, and sorted as such."""
        return self.kind not in ("text", "words")


def _pair(value: float | tuple[float, float], form: str) -> str:
    return " to ".join(format(one, form) for one in value) if isinstance(value, tuple) else format(value, form)


_WRITERS = {
    "text": str,
    "words": str,
    "integer": lambda value: f"{value:,}",
    "share": lambda value: _pair(value, ".3f"),
    "signed": lambda value: _pair(value, "+.3f"),
    "percent": lambda value: f"{100 * value:.0f} %",
    "seconds": lambda value: f"{value:,.1f} s",
    "number": lambda value: f"{value:.4g}" if isinstance(value, float) else f"{value:,}",
}


@dataclass(frozen=True)
class Cell:
    """One cell as text, its value to sort by (None sorts last), and the width of its bar in percent."""

    text: str
    value: str | None
    bar: float | None


@dataclass(frozen=True)
class Table:
    """Rows of values under columns; the first column names its row.

    name: of its file. caption: what it shows, one sentence or two. rows: a value a column; None for what there
    is none of; a pair (low, high) is an interval. links: for each row the id of the page's element it leads to,
    or "". sortable: whether the reader may sort it. foot: how many of the last rows are sums and stay below.
    """

    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]
    links: tuple[str, ...] = ()
    sortable: bool = False
    foot: int = 0

    @property
    def hints(self) -> list[tuple[str, str]]:
        """(title, meaning) of the columns that need words."""
        return [(column.title, column.hint) for column in self.columns if column.hint]

    @property
    def body(self) -> list[tuple[str, list[Cell]]]:
        """(link, cells) of every row but the sums."""
        return self._cells(0, len(self.rows) - self.foot)

    @property
    def sums(self) -> list[tuple[str, list[Cell]]]:
        """(link, cells) of the sums."""
        return self._cells(len(self.rows) - self.foot, len(self.rows))

    def _cells(self, start: int, stop: int) -> list[tuple[str, list[Cell]]]:
        links = self.links or ("",) * len(self.rows)
        return [
            (links[i], [_cell(column, value) for column, value in zip(self.columns, self.rows[i], strict=True)])
            for i in range(start, stop)
        ]

    def csv(self) -> str:
        """The table as CSV with every digit; an interval is two columns, None is empty."""
        wide = [any(isinstance(row[i], tuple) for row in self.rows) for i in range(len(self.columns))]
        header: list[str] = []
        for column, pair in zip(self.columns, wide, strict=True):
            header += [f"{column.title}, low", f"{column.title}, high"] if pair else [column.title]
        lines = []
        for row in self.rows:
            values: list[Any] = []
            for value, pair in zip(row, wide, strict=True):
                values += (value if isinstance(value, tuple) else (None, None)) if pair else [value]
            lines.append(["" if value is None else value for value in values])
        return csv_text(header, lines)


def _cell(column: Column, value: Any) -> Cell:
    known = None if value is None or value != value else value
    first = known[0] if isinstance(known, tuple) else known
    bar = round(100 * min(max(float(known), 0.0), 1.0), 1) if column.bar and known is not None else None
    return Cell(column.text(value), None if first is None else str(first), bar)


def csv_text(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """CSV of a header and rows."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
