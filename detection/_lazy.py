"""Packages whose names are loaded when first used: importing them loads none of their modules."""

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def lazy_names(
    package: str, homes: Mapping[str, Sequence[str]], renamed: Mapping[str, str] | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """(``__getattr__``, ``__dir__``, ``__all__``) of a package.

    homes: module of the package -> the names it gives. renamed: a name of the last version -> its name now, or its
    whole dotted name where it moved to another package; asking for it gives a DeprecationWarning.
    """
    home_of = {name: module for module, names in homes.items() for name in names}
    names, old_names = sorted(home_of), renamed or {}

    def get(name: str) -> Any:
        if name in old_names:
            message = f"{package}.{name} is called {old_names[name]} now: the old name goes with the next version"
            warnings.warn(message, DeprecationWarning, stacklevel=2)
            name = old_names[name]
            if "." in name:
                other, _, name = name.rpartition(".")
                return getattr(import_module(other), name)
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{home_of[name]}"), name)

    return get, lambda: sorted([*vars(sys.modules[package]), *names]), names
