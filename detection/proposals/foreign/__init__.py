"""Window files of other programs: read, checked, mended, written.

Names are loaded when first used.
"""

from __future__ import annotations

from importlib import import_module

_HOMES = {
    "faults": (
        "FAULTS",
        "REMEDIES",
        "find_faults",
        "mend_windows",
    ),
    "formats": (
        "WindowFormat",
        "WrittenFormat",
        "read_windows",
        "write_windows",
    ),
    "window_files": (
        "BoxConvention",
        "WindowFile",
        "check_convention",
        "match_windows",
    ),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "FAULTS",
    "REMEDIES",
    "BoxConvention",
    "WindowFile",
    "WindowFormat",
    "WrittenFormat",
    "check_convention",
    "find_faults",
    "match_windows",
    "mend_windows",
    "read_windows",
    "write_windows",
]


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
