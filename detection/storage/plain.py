"""Plain data of the project's own files: every value of its kind, or an error that names file and key."""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from detection.storage.names import shortened

Record = TypeVar("Record")


def expect_mappings(content: Any, keys: Iterable[str], where: Path | str) -> None:
    """Raise ValueError where one of `keys` is absent or no mapping with text as its keys. where: the content's file."""
    for key in keys:
        if key not in content:
            raise ValueError(f"{where}: expected the key {key}, found none: the file is damaged or cut off")
        value = content[key]
        if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
            raise ValueError(f"{where}: {key}: expected names with values, got {value!r:.80}")


def record_of(kind: type[Record], values: Mapping[str, Any], where: str) -> Record:
    """A dataclass of plain values; lists become tuples. where: file and key, for a message.

    Raises ValueError for a name that `kind` has not, a value of another type than its field's, and one that it refuses.
    """
    hints = get_type_hints(kind)
    fields = {one.name for one in dataclasses.fields(kind)}
    if unknown := sorted(set(values) - fields):
        raise ValueError(f"{where}: expected the keys of {kind.__name__}, got {shortened(', '.join(unknown))}")
    found = {name: _tupled(value) for name, value in values.items()}
    for name, value in found.items():
        if not _fits(value, hints[name]):
            wanted = hints[name].__name__ if isinstance(hints[name], type) else str(hints[name])
            raise ValueError(f"{where}: {name}: expected {wanted.replace('typing.', '')}, got {values[name]!r:.80}")
    try:
        return kind(**found)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _tupled(value: Any) -> Any:
    return tuple(map(_tupled, value)) if isinstance(value, list) else value


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of a type: a plain one, a choice, a tuple of such, or one of several."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(_fits(value, one) for one in inner)
    if origin is Literal:
        return type(value) is str and value in inner
    if origin is tuple:
        return isinstance(value, tuple) and all(_fits(one, inner[0]) for one in value)
    if hint is float:
        return type(value) in (int, float)
    return type(value) is hint
