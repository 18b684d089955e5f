"""The lists of a large JSON file item by item, so that memory holds the text and one item, not a tree of all."""

import json
import re
from collections.abc import Collection, Iterator
from json.decoder import JSONDecoder, scanstring
from pathlib import Path
from typing import Any, NamedTuple

from detection.data.files import decode_text, read_small
from detection.data.problems import DataError

# COCO's largest file of boxes has 450 MB.
MAX_JSON_BYTES = 2**31
_BLANKS = re.compile(r"[ \t\n\r]*")


class Item(NamedTuple):
    """An item of a list of the file's top level. line: where it begins, from 1. index: its place from 1."""

    key: str
    index: int
    line: int
    value: Any


def read_items(path: Path, keys: Collection[str]) -> Iterator[Item]:
    """The items of the lists `keys` of a JSON object, in the file's order; all else is passed over.

    Raises DataError naming file and line for what is not a JSON object or where a key has no list, for a file of
    more than MAX_JSON_BYTES, for NaN and infinity, and for nesting too deep to be read.
    """
    try:
        yield from _Scanner(decode_text(read_small(path, MAX_JSON_BYTES, "file"), path)).items(frozenset(keys))
    except DataError:
        raise
    except json.JSONDecodeError as error:
        raise DataError("malformed JSON", path, f"{error.msg}, column {error.colno}", error.lineno) from error
    except RecursionError as error:
        raise DataError("malformed JSON", path, "nested too deeply") from error
    except ValueError as error:
        raise DataError("malformed JSON", path, str(error).removeprefix(f"{path}: ")) from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"expected finite numbers, got {name}")


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self._scan = JSONDecoder(parse_constant=_refuse_constant).scan_once

    def items(self, keys: frozenset[str]) -> Iterator[Item]:
        at = self._expect(self._skip(0), "{", "an object at the top level")
        while self.text[at : at + 1] != "}":
            self._expect(at, '"', "a key in double quotes")
            key, at = scanstring(self.text, at + 1, True)
            at = self._expect(self._skip(at), ":", "a colon after a key")
            if key in keys:
                at = yield from self._list(key, self._expect(at, "[", f"a list under {key!r}"))
            else:
                at = self._value(at)[1]
            at = self._next(at, "}")
        if (end := self._skip(at + 1)) != len(self.text):
            raise json.JSONDecodeError("expected the end of the file", self.text, end)

    def _list(self, key: str, at: int) -> Iterator[Item]:
        index, line, counted = 0, self.text.count("\n", 0, at) + 1, at
        while self.text[at : at + 1] != "]":
            index, line, counted = index + 1, line + self.text.count("\n", counted, at), at
            value, at = self._value(at)
            yield Item(key, index, line, value)
            at = self._next(at, "]")
        return self._skip(at + 1)

    def _next(self, at: int, closing: str) -> int:
        """The place behind a comma, or of the closing bracket."""
        at = self._skip(at)
        if self.text[at : at + 1] == closing:
            return at
        at = self._expect(at, ",", f"a comma or {closing}")
        if self.text[at : at + 1] == closing:
            raise json.JSONDecodeError("expected a value after the comma", self.text, at)
        return at

    def _value(self, at: int) -> tuple[Any, int]:
        try:
            return self._scan(self.text, at)
        except StopIteration as stop:
            raise json.JSONDecodeError("expected a value", self.text, stop.value) from None

    def _skip(self, at: int) -> int:
        return _BLANKS.match(self.text, at).end()

    def _expect(self, at: int, sign: str, what: str) -> int:
        if self.text[at : at + 1] != sign:
            raise json.JSONDecodeError(f"expected {what}", self.text, at)
        return self._skip(at + 1) if sign != '"' else at
