"""Write the pages that are made from docstrings and help, and what completion knows: `make docs`.

docs/commands/NAME.md    a page a command, from its --help
docs/settings/GROUP.md   a page a group of settings, from --help-all
docs/api.md              the names that each room offers, from their docstrings
detection/commands/options.json
"""

import contextlib
import importlib
import inspect
import io
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

# The pages are of one width, whatever terminal they are made in.
os.environ["COLUMNS"] = "100"

from detection import option_parser
from detection.commands import sppnet
from detection.help_text import OF_ALL_TITLE, SHARED_TITLE, Option, options

ROOT = Path(__file__).resolve().parents[1]
_BY = "Reference, written by `make docs` from what the program says of itself: change it there."
# Rooms of which a program of a user's imports names, in the order of the figure in architecture.md.
ROOMS = (
    "detection", "detection.types", "detection.data", "detection.proposals", "detection.features", "detection.pooling",
    "detection.learning", "detection.evaluation", "detection.visualization",
)  # fmt: skip


def calls() -> Iterator[list[str]]:
    """The words of each command: its name, or its name and one of the commands that it is of."""
    for name, one in sppnet.COMMANDS.items():
        yield from [[name, part] for part in one.parts] if one.parts and name != "completion" else [[name]]


def help_of(words: list[str]) -> tuple[str, list[Option]]:
    """(what ``sppnet WORDS --help`` prints, all its options)."""
    told: list[Option] = []
    text, real = io.StringIO(), option_parser.help_text

    def noted(parser: Any, *more: Any) -> str:
        told.extend(options(parser))
        return real(parser, *more)

    printed, ended = contextlib.redirect_stdout(text), contextlib.suppress(SystemExit)
    with mock.patch.object(option_parser, "help_text", noted), printed, ended:
        sppnet.main([*words, "--help"])
    return text.getvalue(), told


def _values(one: Option) -> list[str] | None:
    return list(one.choices) if one.value else None


def _settings_page(group: str, settings: Mapping[str, Option]) -> str:
    where = f"In a file of settings they stand under `{group}:`; on a command line as below. `null` is no value."
    items = [f"- **`{one.name}`** {one.text}" for one in settings.values()]
    return "\n\n".join([f"# Settings: {group}", _BY, where, "\n".join(items)]) + "\n"


def pages() -> dict[str, str]:
    """Path -> text of every file that is written here."""
    found: dict[str, str] = {}
    commands: dict[str, dict[str, Any]] = {}
    groups: dict[str, dict[str, Option]] = {}
    texts: dict[str, list[str]] = {}
    for words in calls():
        text, told = help_of(words)
        own_text = text.split(f"\n\n{SHARED_TITLE}")[0].split(f"\n\n{OF_ALL_TITLE}")[0]
        texts.setdefault(words[0], []).append(_block(own_text))
        own = {one.name: _values(one) for one in told if one.name[:1] == "-" and "." not in one.dest}
        stages = [one for one in told if "." in one.dest]
        for one in stages:
            groups.setdefault(one.dest.split(".")[0], {})[one.name] = one
        names = list(dict.fromkeys(one.dest.split(".")[0] for one in stages))
        commands[" ".join(words)] = {"options": own, "groups": names}
    for name, parts in texts.items():
        where = sorted({group for one, c in commands.items() if one.split()[0] == name for group in c["groups"]})
        links = ", ".join(f"[{group}](../settings/{group}.md)" for group in where)
        more = [f"Settings that `--help-all` tells: {links}."] if links else []
        title = f"# sppnet {name}"
        found[f"docs/commands/{name}.md"] = "\n\n".join([title, _BY, *parts, *more]) + "\n"
    for group, settings in groups.items():
        found[f"docs/settings/{group}.md"] = _settings_page(group, settings)
    found["docs/commands/README.md"] = _index(help_of(["run"])[0])
    found["docs/api.md"] = _api()
    values = {group: {name: _values(one) for name, one in them.items()} for group, them in groups.items()}
    told_options = json.dumps({"commands": commands, "groups": values}, indent=1, sort_keys=True)
    found["detection/commands/options.json"] = f"{told_options}\n"
    return found


def _block(text: str) -> str:
    return f"```text\n{text.rstrip()}\n```"


def _index(run_help: str) -> str:
    lines = ["# Commands", _BY]
    for title, group in sppnet.GROUPS.items():
        lines.append(f"## {title}")
        rows = [f"| [`sppnet {name}`]({name}.md) | {one.text} |" for name, one in group.items()]
        lines.append("\n".join(["| command | |", "|---|---|", *rows]))
    shared = run_help[run_help.index(SHARED_TITLE) :].rpartition("\n\n")[0]
    return "\n\n".join([*lines, "## Options that all have, or all of a run", _block(shared)]) + "\n"


def _api() -> str:
    """Every name that a room offers, with its signature and the first sentence of its docstring."""
    lines = ["# Names for programs", _BY]
    lines.append("`help(NAME)` in Python tells shapes, types, units and errors of each.")
    for room in ROOMS:
        module = importlib.import_module(room)
        lines.append(f"## {room}\n\n{_first(module)}")
        named = {name: getattr(module, name) for name in sorted(_public(module))}
        rows = [_row(name, one) for name, one in named.items() if callable(one)]
        lines.append("\n".join(rows))
    return "\n\n".join(lines) + "\n"


def _public(module: Any) -> list[str]:
    own = [name for name, one in vars(module).items() if getattr(one, "__module__", None) == module.__name__]
    return [name for name in getattr(module, "__all__", own) if name[:1] != "_"]


def _row(name: str, value: Any) -> str:
    called = f"{name}({', '.join(inspect.signature(value).parameters)})" if inspect.isroutine(value) else name
    return f"- `{called}`: {_first(value)}"


def _first(value: Any) -> str:
    return re.split(r"(?<=[.;])\s", " ".join((inspect.getdoc(value) or "").split("\n\n")[0].split()))[0]


def main() -> int:
    """Write what differs; the exit status."""
    for path, text in pages().items():
        target = ROOT / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.is_file() or target.read_text(encoding="utf-8") != text:
            target.write_text(text, encoding="utf-8")
            print(f"written: {path}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
