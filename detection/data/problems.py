"""What happens to data that are not as they should be: the one policy of every reader.

An item that cannot be used (an image, an object, a line of a split file) is left out and listed: ``skip``. An
item with a fault that has one obvious remedy is repaired, kept and listed: ``repair``. Nothing is changed in
silence, and nothing stops a long run, unless the run is strict: then the first fault raises. What is wrong as
a whole (a folder that is not there, an empty split) is a ``ValueError`` at once, strict or not.
"""

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

# What libraries raise on a damaged file; each reader adds its library's own.
DAMAGE_ERRORS = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    EOFError,
    NotImplementedError,
    zlib.error,
)
# Names of files in one line of a summary; the rest is counted.
SUMMARY_FILES = 5


class DataError(ValueError):
    """One item (an image, an annotation) cannot be used.

    kind: the fault in a few words, the same for all its cases. file: the file or image it is in. message: the
    case at hand, what was expected and what came. line: where in the file, from 1; 0 where there is no line.
    """

    def __init__(self, kind: str, file: object, message: str, line: int = 0) -> None:
        super().__init__(kind, str(file), message, line)
        self.kind, self.file, self.message, self.line = kind, str(file), message, line

    def __str__(self) -> str:
        return f"{place(self.file, self.line)}: {self.kind}: {self.message}"


def place(file: str, line: int) -> str:
    """``file``, or ``file:line`` where there is a line."""
    return f"{file}:{line}" if line else file


@dataclass(frozen=True, order=True)
class Problem:
    """One fault that was met. action: what was done with the item. objects: how many were left out with it.

    Otherwise as `DataError`.
    """

    action: Literal["left out", "repaired"]
    kind: str
    file: str
    message: str
    line: int = 0
    objects: int = 0

    @property
    def place(self) -> str:
        """The file, and the line where there is one, as ``file:line``."""
        return place(self.file, self.line)


class Problems:
    """The faults met so far, each once, in the order they came. With ``strict`` the first one raises `DataError`.

    A worker process keeps one of its own and hands back its `records`, which can be pickled.
    """

    def __init__(self, strict: bool = False) -> None:
        self.strict = strict
        self._records: dict[Problem, None] = {}
        self._notes: dict[str, None] = {}
        self._objects = 0

    def note(self, text: str) -> None:
        """Something that a user should know and that is no fault, strict or not."""
        self._notes[text] = None

    @property
    def notes(self) -> tuple[str, ...]:
        """Every note once, in the order of the first."""
        return tuple(self._notes)

    def skip(self, kind: str, file: object, message: str, line: int = 0, objects: int = 0) -> None:
        """An item is left out, and so many objects with it. Raises DataError if strict."""
        self._add(Problem("left out", kind, str(file), message, line, objects))

    def repair(self, kind: str, file: object, message: str, line: int = 0) -> None:
        """An item was repaired and is kept. Raises DataError if strict."""
        self._add(Problem("repaired", kind, str(file), message, line))

    def skip_error(self, error: DataError, objects: int = 0) -> None:
        """The item that raised `error` is left out, and so many objects with it. Raises DataError if strict."""
        self.skip(error.kind, error.file, error.message, error.line, objects)

    def extend(self, records: Iterable[Problem]) -> None:
        """Take over others' records; one that is known counts once. Raises DataError if strict and there is one."""
        for record in records:
            self._add(record)

    def _add(self, record: Problem) -> None:
        if self.strict:
            raise DataError(record.kind, record.file, record.message, record.line)
        if record not in self._records:
            self._records[record] = None
            self._objects += record.objects

    @property
    def objects(self) -> int:
        """How many objects were left out."""
        return self._objects

    @property
    def records(self) -> tuple[Problem, ...]:
        """Every fault once, in the order of its first report."""
        return tuple(self._records)

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Problem]:
        return iter(self._records)

    def summary(self) -> list[str]:
        """One line of text a kind: how many were left out or repaired, and the first few files' names.

        Sorted, so it does not depend on the order of the reports. Empty if there was no fault.
        """
        groups: dict[tuple[str, str], list[Problem]] = {}
        for record in sorted(self._records):
            groups.setdefault((record.action, record.kind), []).append(record)
        return [_summary_line(action, kind, records) for (action, kind), records in groups.items()]


def _summary_line(action: str, kind: str, records: list[Problem]) -> str:
    files = list(dict.fromkeys(record.file for record in records))
    names = ", ".join(Path(file).name for file in files[:SUMMARY_FILES])
    more = f" and {len(files) - SUMMARY_FILES} more" if len(files) > SUMMARY_FILES else ""
    return f"{len(records)} {action}: {kind}: {names}{more}"
