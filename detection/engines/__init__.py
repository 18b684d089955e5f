"""What computes a network: a backbone and images in, maps out.

Names are loaded when first used, so that what needs no torch does not load it.
"""

from __future__ import annotations

from importlib import import_module

_HOMES = {
    "threads": (
        "limit_threads",
        "single_threaded_pool",
        "parallel_executor",
    ),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
