"""CSV of ours: what a spreadsheet would run as a formula is text in it."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from detection.storage.names import error_text

# A cell that begins so is a formula to a spreadsheet, unless an apostrophe stands before it. Cells that have one there
# of their own get another: so every cell comes back.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_GUARDED = re.compile(r"'+[=+\-@\t\r]")


def csv_text(rows: Iterable[Sequence[Any]]) -> str:
    """CSV of rows, the header first; lines end in a line feed. Before what could be a formula stands an apostrophe."""
    return "".join(map(_line, rows))


def read_csv(path: Path | str) -> list[list[str]]:
    """The rows of a file that `csv_text` made, as they were given to it. Raises ValueError naming the file."""
    try:
        with Path(path).open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: expected CSV, got {error_text(error)}") from error
    return [[one[1:] if _GUARDED.match(one) else one for one in row] for row in rows]


def _line(row: Sequence[Any]) -> str:
    text, end = io.StringIO(), "\r\n"  # then both of its characters are quoted in a cell
    csv.writer(text, lineterminator=end).writerow([_guarded(one) for one in row])
    return text.getvalue().removesuffix(end) + "\n"


def _guarded(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) and not _is_number(cell) else cell


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text == text.strip()
