"""Numbers within their ranges."""

from collections.abc import Mapping, Sequence
from typing import Any

_HOLDS = {
    "> 0": lambda value: value > 0,
    ">= 0": lambda value: value >= 0,
    ">= 1": lambda value: value >= 1,
    "0 .. 1": lambda value: 0 <= value <= 1,
    "0 .. 1 or null": lambda value: 0 <= value <= 1,
    "> 0 and <= 1": lambda value: 0 < value <= 1,
    "> 0 and < 1": lambda value: 0 < value < 1,
    ">= 0 and < 1": lambda value: 0 <= value < 1,
}


def check_ranges(where: str, values: Mapping[str, Any], ranges: Mapping[str, Sequence[str]]) -> None:
    """Raise ValueError unless the `values` are in their ranges, or None. ranges: one of `_HOLDS` -> names.

    where: what stands before a name in the message, as in ``svm.``.
    """
    for expected, names in ranges.items():
        for name in names:
            if values[name] is not None and not _HOLDS[expected](values[name]):
                raise ValueError(f"{where}{name}: expected {expected}, got {values[name]}")
