"""Short names for contents: two things with one fingerprint are the same thing."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

# 16 hex digits are 64 bits: a collision among a million files has a chance of 3e-8.
_DIGITS = 16
_ADDED = "added"


def added_field(default: Any) -> Any:
    """A dataclass's field that came after fingerprints of such records were kept.

    It counts where its value is another than the default, so that those fingerprints hold.
    """
    return dataclasses.field(default=default, metadata={_ADDED: True})


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        found = {one: getattr(value, one.name) for one in dataclasses.fields(value)}
        counts = {one.name: held for one, held in found.items() if _ADDED not in one.metadata or held != one.default}
        return {"": type(value).__name__, **counts}
    if isinstance(value, np.ndarray):
        content = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
        return [str(value.dtype), list(value.shape), content]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"fingerprint: expected plain data, a dataclass or an array, got {type(value).__name__}")


def fingerprint(*values: Any) -> str:
    """16 hex digits of the values' content: plain data, dataclasses and arrays, in order.

    The same on every machine and in every process. Raises TypeError for anything else.
    """
    text = json.dumps(values, default=_plain, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def file_fingerprint(path: Path | str) -> str:
    """16 hex digits of a file's bytes."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:_DIGITS]
