"""YAML and JSON of the project's own, with a fingerprint of their content as the first entry."""

import copy
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from detection.storage.atomic import write_json, write_yaml
from detection.storage.bounded import MAX_YAML_BYTES, decode_text, parse_yaml, read_json, read_limited
from detection.storage.fingerprint import fingerprint
from detection.storage.names import shortened
from detection.storage.notices import notice_older

_NAME = "content_fingerprint"


def write_sealed_yaml(path: Path | str, content: Mapping[str, Any], durable: bool = False) -> None:
    """Write a mapping of plain data as YAML that `read_sealed_yaml` checks. durable: see ``atomic_path``."""
    write_yaml(path, _sealed(content), durable)


def write_sealed_json(path: Path | str, content: Mapping[str, Any]) -> None:
    """Write a mapping of plain data as JSON that `read_sealed_json` checks."""
    write_json(path, _sealed(content))


def read_sealed_yaml(path: Path | str, remedy: str) -> Any:
    """What `write_sealed_yaml` wrote, without the fingerprint.

    remedy: what a user can do where it is damaged. Raises ValueError, naming the file, for content that has changed
    since. A file without a fingerprint is of an earlier version, and is read as it is.
    """
    return _checked(path, _read_yaml, remedy)


def read_sealed_json(path: Path | str, remedy: str) -> Any:
    """What `write_sealed_json` wrote. Otherwise as `read_sealed_yaml`."""
    return _checked(path, read_json, remedy)


# A command asks a run's record some dozens of times; parsing is most of what that takes.
_parsed = lru_cache(maxsize=4)(parse_yaml)


def _read_yaml(path: Path | str) -> Any:
    return copy.deepcopy(_parsed(decode_text(read_limited(path, MAX_YAML_BYTES), path), path))


def _sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    return {_NAME: fingerprint(content), **content}


def _checked(path: Path | str, read: Callable[[Path | str], Any], remedy: str) -> Any:
    try:
        content = read(path)
    except ValueError as error:
        raise ValueError(f"{error}; {remedy}") from error
    if not isinstance(content, dict):
        return content
    if _NAME not in content:
        notice_older(path)
        return content
    rest = {key: value for key, value in content.items() if key != _NAME}
    try:
        found = fingerprint(rest)
    except (TypeError, ValueError) as error:  # keys or values that were never written
        found = f"none ({error})"
    if found != content[_NAME]:
        raise ValueError(
            f"{path}: damaged, or changed by hand: expected content of fingerprint "
            f"{shortened(str(content[_NAME]))}, got {found}; "
            f"where you changed it on purpose, delete its line {_NAME!r}, else {remedy}"
        )
    return rest
