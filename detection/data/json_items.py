"""A large JSON file item by item, so that memory holds the text and one item, not a tree of all."""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from json.decoder import scanstring
from pathlib import Path
from typing import Any, NamedTuple

from detection.data.files import read_small
from detection.data.problems import DataError
from detection.storage.bounded import check_depth, decode_text, json_decoder, json_problem

# COCO's largest file of boxes has 450 MB.
MAX_ITEMS_BYTES = 2**31
_BLANKS = re.compile(r"[ \t\n\r]*")
# An item as it is written, in `edited_lists`.
KEPT = object()


class Item(NamedTuple):
    """An item of a list of the file's top level. line: where it begins, from 1. index: its place from 1."""

    key: str
    index: int
    line: int
    value: Any


def read_items(path: Path, keys: Collection[str]) -> Iterator[Item]:
    """The items of the lists `keys` of a JSON object, in the file's order; all else is passed over.

    Raises DataError naming file and line for what is not a JSON object or where a key has no list, for a file of
    more than MAX_ITEMS_BYTES, for NaN and infinity, and for nesting deeper than MAX_JSON_DEPTH.
    """
    scanner = _opened(path, finite=True)
    return _told(path, scanner, scanner.items(frozenset(keys)))


def read_entries(path: Path, finite: bool = True) -> tuple[bool, Iterator[Item]]:
    """(whether a JSON file is a list, else it is an object; its items, or its pairs, in the file's order).

    Items have the key "". finite: refuse NaN and infinity. Raises DataError as `read_items`, and where an object has a
    key twice.
    """
    scanner = _opened(path, finite)
    return scanner.is_list, _told(path, scanner, scanner.whole_list() if scanner.is_list else scanner.pairs())


def edited_lists(
    path: Path, replaced: Mapping[str, Mapping[int, Sequence[Any]]], added: Mapping[str, Sequence[Any]]
) -> str:
    """The text of a JSON object with some items of its lists changed; all else is as it is written.

    replaced: key of a list -> index of an item, from 1 -> what takes its place: values, and `KEPT` for itself. added:
    key -> values at the end of the list, which is made where there is none; the object is not empty. Raises DataError
    as `read_items`, and where a list is there twice.
    """
    keys, scanner = frozenset([*replaced, *added]), _opened(path, finite=True)
    spans: dict[str, list[tuple[int, int]]] = {key: [] for key in keys}
    for item in _told(path, scanner, scanner.items(keys)):
        spans[item.key].append(scanner.span)
    begins = dict(scanner.lists)
    if len(begins) < len(scanner.lists):
        raise DataError("malformed JSON", path, f"expected each list once, got {scanner.lists[-1][0]!r} again")
    text, end = scanner.text, scanner.text.rindex("}")
    for key in sorted(keys, key=lambda one: begins.get(one, end), reverse=True):
        changes, new = replaced.get(key, {}), added.get(key, ())
        if key in begins:
            text = _edited(text, begins[key] + 1, spans[key], changes, new)
        elif new:
            text = f'{text[:end]}, "{key}": [{", ".join(_texts(new, "", text))}]{text[end:]}'
    return text


def _edited(
    text: str, begin: int, spans: Sequence[tuple[int, int]], changes: Mapping[int, Sequence[Any]], new: Sequence[Any]
) -> str:
    """A text in which the items of one list are changed. begin: behind its bracket. spans: of its items."""
    ends = [begin, *(end for _, end in spans)]
    gaps = [text[before:start] for before, (start, _) in zip(ends, spans, strict=False)] or [""]
    comma, parts = gaps[1] if len(gaps) > 1 else f",{gaps[0]}", []
    for gap, index, (start, end) in zip(gaps, range(1, len(gaps) + 1), spans, strict=False):
        texts = _texts(changes.get(index, (KEPT,)), text[start:end], text)
        parts += [(comma if place else gap, one) for place, one in enumerate(texts)]
    parts += [(comma, one) for one in _texts(new, "", text)]
    parts[:1] = [(gaps[0], one) for _, one in parts[:1]]
    return text[:begin] + "".join(gap + one for gap, one in parts) + text[ends[-1] :]


def _texts(values: Sequence[Any], own: str, text: str) -> list[str]:
    """Values as JSON; in letters beyond ASCII where the file has such."""
    return [own if one is KEPT else json.dumps(one, allow_nan=False, ensure_ascii=text.isascii()) for one in values]


def _opened(path: Path, finite: bool) -> "_Scanner":
    content = read_small(path, MAX_ITEMS_BYTES, "file")
    try:
        return _Scanner(decode_text(content, path), finite)
    except ValueError as error:
        raise DataError("malformed JSON", path, str(error).removeprefix(f"{path}: ")) from error


def _told(path: Path, scanner: "_Scanner", items: Iterator[Item]) -> Iterator[Item]:
    """The items; whatever is wrong with the text becomes a DataError that names file and line."""
    try:
        yield from items
    except json.JSONDecodeError as error:
        raise DataError("malformed JSON", path, f"{error.msg}, column {error.colno}", error.lineno) from error
    except (RecursionError, ValueError) as error:
        raise DataError("malformed JSON", path, json_problem(error), scanner.line_of_value()) from error


class _Scanner:
    def __init__(self, text: str, finite: bool) -> None:
        self.text = text
        self._scan = json_decoder(finite).scan_once
        self._start = self._skip(0)
        self.is_list = text[self._start : self._start + 1] == "["
        # Where the value begins, and ends, that was read last.
        self._value_at = self._end = 0
        # (key, place of its bracket) of the lists that `items` has met.
        self.lists: list[tuple[str, int]] = []

    @property
    def span(self) -> tuple[int, int]:
        """Where the value begins, and ends, that was read last."""
        return self._value_at, self._end

    def line_of_value(self) -> int:
        """The line of the value that was read last, or could not be."""
        return self.text.count("\n", 0, self._value_at) + 1

    def whole_list(self) -> Iterator[Item]:
        """The items of the text, which is a list."""
        self._finish((yield from self._list("", self._expect(self._start, "[", "a list"))))

    def pairs(self) -> Iterator[Item]:
        """The pairs of the text, which is an object."""
        seen: set[str] = set()
        line, counted = 1, 0
        for index, (key, at) in enumerate(self._keys(), start=1):
            if key in seen:
                raise json.JSONDecodeError(f"the key {key!r:.80} more than once", self.text, at)
            seen.add(key)
            line, counted = line + self.text.count("\n", counted, at), at
            yield Item(key, index, line, self._value(at))

    def items(self, keys: frozenset[str]) -> Iterator[Item]:
        """The items of the lists `keys` of the text, which is an object."""
        for key, at in self._keys():
            if key in keys:
                self.lists.append((key, at))
                self._end = yield from self._list(key, self._expect(at, "[", f"a list under {key!r}"))
            else:
                self._value(at)

    def _keys(self) -> Iterator[tuple[str, int]]:
        """(key, where its value begins) of the pairs of the text; who takes one puts into `_end` where it ends."""
        at = self._expect(self._start, "{", "an object at the top level")
        while self.text[at : at + 1] != "}":
            self._expect(at, '"', "a key in double quotes")
            key, at = scanstring(self.text, at + 1, True)
            yield key, self._expect(self._skip(at), ":", "a colon after a key")
            at = self._next(self._end, "}")
        self._finish(at + 1)

    def _finish(self, at: int) -> None:
        if (end := self._skip(at)) != len(self.text):
            raise json.JSONDecodeError("expected the end of the file", self.text, end)

    def _list(self, key: str, at: int) -> Iterator[Item]:
        index, line, counted = 0, self.text.count("\n", 0, at) + 1, at
        while self.text[at : at + 1] != "]":
            index, line, counted = index + 1, line + self.text.count("\n", counted, at), at
            value = self._value(at)
            at = self._end
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

    def _value(self, at: int) -> Any:
        self._value_at = at
        try:
            value, self._end = self._scan(self.text, at)
        except StopIteration as stop:
            raise json.JSONDecodeError("expected a value", self.text, stop.value) from None
        check_depth(value, self.text.count("[", at, self._end) + self.text.count("{", at, self._end))
        return value

    def _skip(self, at: int) -> int:
        return _BLANKS.match(self.text, at).end()

    def _expect(self, at: int, sign: str, what: str) -> int:
        if self.text[at : at + 1] != sign:
            raise json.JSONDecodeError(f"expected {what}", self.text, at)
        return self._skip(at + 1) if sign != '"' else at
