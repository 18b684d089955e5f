"""The `__init__.pyi` of packages whose names are loaded when first used: `python -m tests.stubs` writes them anew.

Type checkers and editors read them: what ``lazy_names`` gives they cannot see.
"""

from pathlib import Path

from tests.test_layering import PACKAGE, ROOT, lazy_homes

_HEAD = "# Written by `python -m tests.stubs` from the names in __init__.py.\n"


def stubs() -> dict[Path, str]:
    """File -> its text, of every package that calls ``lazy_names``."""
    found = {}
    for path in sorted((ROOT / PACKAGE).rglob("__init__.py")):
        homes = lazy_homes(path.read_text(encoding="utf-8"))
        if homes:
            # As ruff sorts them: constants first.
            names = sorted(homes.items(), key=lambda one: (one[1], not one[0].isupper(), one[0]))
            lines = (f"from .{module} import {name} as {name}\n" for name, module in names)
            found[path.with_suffix(".pyi")] = _HEAD + "".join(lines)
    return found


if __name__ == "__main__":
    for path, text in stubs().items():
        path.write_text(text, encoding="utf-8")
