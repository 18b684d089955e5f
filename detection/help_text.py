"""What ``--help`` and ``--help-all`` print: a command's own options first, in words, without types."""

import argparse
import re
import shutil
import textwrap
from collections.abc import Collection, Iterable, Sequence
from dataclasses import is_dataclass
from types import UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

from jsonargparse import ArgumentParser

_MOST_COLUMNS = 100
_TEXT_AT = 26
# Longer lists of choices are told in the text alone.
_MOST_CHOICES = 40
# Options of every command, whatever it does.
OF_ALL = ("config", "print_config", "help", "help_all", "quiet", "log_file", "debug")
SHARED_TITLE, OF_ALL_TITLE = "settings of every command of a run", "of every command"
_SENTENCE_END = re.compile(r"(?<!e\.g)\.\s|; (?=0|null|None)")


class Option(NamedTuple):
    """An option as it is told.

    name: as it is typed. value: what stands for its value, nothing for a flag. choices: values of which it takes one.
    dest: where its value goes, dotted for settings of stages. text: what it means, with the value that it has by
    itself.
    """

    name: str
    value: str
    choices: tuple[str, ...]
    dest: str
    text: str

    @property
    def is_setting_of_a_stage(self) -> bool:
        """Whether it stands behind ``--help-all``."""
        return "." in self.dest


def options(parser: ArgumentParser) -> list[Option]:
    """The options of a parser that are told, in its order; those without dashes are arguments."""
    # While it parses, jsonargparse takes the mark off the actions themselves.
    needed = getattr(parser, "needed", ())
    return [_option(one, one.required or one.dest in needed) for one in parser._actions if _is_told(one)]


def help_text(parser: ArgumentParser, shared: Collection[str] = (), is_whole: bool = False) -> str:
    """The help of a parser.

    shared: settings that all commands of a run have, told shortly and behind its own options. is_whole: with the
    settings of stages, and every word on all.
    """
    told = options(parser)
    own = [one for one in told if one.name.startswith("-") and one.dest not in (*shared, *OF_ALL)]
    stages = [one for one in own if one.is_setting_of_a_stage]
    own = [one for one in own if not one.is_setting_of_a_stage]
    arguments = [one for one in told if not one.name.startswith("-")]
    common = [one for one in told if one.dest in shared]
    general = [one for one in told if one.dest in OF_ALL and (is_whole or one.dest != "print_config")]
    needed = [f"{one.name} {one.value}" for one in own if one.text.endswith("(needed)")]
    usage = " ".join(["usage:", parser.prog, *(one.value for one in arguments), *needed, "[options]"])
    parts = [_wrapped(usage, 0), *map(_paragraph, (parser.description or "").strip().split("\n\n"))]
    parts += _section("arguments", arguments, True) + _section("options", own, True)
    parts += _section(SHARED_TITLE, common, is_whole)
    parts += _section(OF_ALL_TITLE, general, is_whole)
    if is_whole:
        for group in dict.fromkeys(one.dest.split(".")[0] for one in stages):
            parts += _section(f"settings: {group}", [one for one in stages if one.dest.split(".")[0] == group], True)
    elif stages:
        groups = ", ".join(dict.fromkeys(one.dest.split(".")[0] for one in stages))
        parts.append(_wrapped(f"--help-all tells {len(stages)} settings more: {groups}.", 0))
    return "\n\n".join(parts) + "\n"


def _section(title: str, told: Sequence[Option], is_whole: bool) -> list[str]:
    if not told:
        return []
    lines = [f"{title}:"]
    for one in told:
        head = f"  {one.value if not one.name.startswith('-') else f'{one.name} {one.value}'.rstrip()}"
        text = one.text if is_whole else _first_sentence(one.text)
        lines += _entry(head, text)
    return ["\n".join(lines)]


def _entry(head: str, text: str) -> Iterable[str]:
    wrapped = _wrapped(text, _TEXT_AT)
    if len(head) > _TEXT_AT - 2:
        return head, wrapped
    return (f"{head:<{_TEXT_AT}}{wrapped.lstrip()}",)


def _paragraph(text: str) -> str:
    """A paragraph in lines of the terminal; one with columns or indented lines as it stands."""
    is_text = all(line[:1] != " " and "  " not in line.strip() for line in text.splitlines())
    return _wrapped(" ".join(text.split()), 0) if is_text else text


def _wrapped(text: str, indent: int) -> str:
    columns = min(shutil.get_terminal_size((_MOST_COLUMNS, 24)).columns, _MOST_COLUMNS)
    margin = " " * indent
    return textwrap.fill(
        text, max(columns, 2 * _TEXT_AT), initial_indent=margin, subsequent_indent=margin, break_on_hyphens=False
    )


def _first_sentence(text: str) -> str:
    first = _SENTENCE_END.split(text, maxsplit=1)[0]
    return first if first == text else f"{first.rstrip('.')}."


def _is_told(action: argparse.Action) -> bool:
    is_whole_group = type(action).__name__ == "_ActionConfigLoad"
    is_help_on_records = any(one.endswith(".help") for one in action.option_strings)
    return action.help is not argparse.SUPPRESS and not is_whole_group and not is_help_on_records


def _option(action: argparse.Action, is_needed: bool) -> Option:
    name = action.option_strings[-1] if action.option_strings else action.dest
    hint = getattr(action, "_typehint", None)
    choices = _choices(action, hint)
    # In files and on command lines what Python calls None is null.
    text = re.sub(r"\bNone\b", "null", " ".join((action.help or "").replace("%%", "%").split()))
    if is_needed and action.option_strings:
        text += " (needed)"
    elif shown := _shown(action.default):
        text += f" (default: {shown})"
    dest = {"print_config": "print_config"}.get(name.lstrip("-"), action.dest)
    return Option(name, _value(action, hint, choices), choices, dest, text)


def _choices(action: argparse.Action, hint: Any) -> tuple[str, ...]:
    found = list(action.choices or ())
    for one in (hint, *get_args(hint)) if get_origin(hint) in (Union, UnionType) else (hint,):
        if get_origin(one) is Literal:
            found += get_args(one)
        elif one is bool and action.nargs != 0:
            found += ["true", "false"]
    return tuple(map(str, found))


def _value(action: argparse.Action, hint: Any, choices: Sequence[str]) -> str:
    """What stands for the value in the help."""
    name = action.dest.split(".")[-1].upper()
    if action.nargs == 0:
        return ""
    words = [action.metavar] if isinstance(action.metavar, str) else action.metavar
    # Those that jsonargparse and argparse make up are types and lists of choices.
    if words and words[0][0] not in "[{" and type(action).__name__ != "ActionConfigFile":
        return " ".join(words) + (" ..." if action.nargs == "+" and len(words) == 1 else "")
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    if choices and len("|".join(choices)) <= _MOST_CHOICES and action.nargs != "+":
        return "|".join(choices)
    if items := [get_args(one)[0] for one in kinds if get_origin(one) in (list, tuple)]:
        return "[{...},...]" if is_dataclass(items[0]) else "A,B,C"
    plain: dict[Any, str] = {int: "N", float: "X"}
    shown = next((plain[one] for one in (*kinds, action.type) if one in plain), name)
    shown = "FILE" if action.dest == "config" else shown
    return {"+": f"{shown} ...", "?": f"[{shown}]"}.get(action.nargs, shown)


def _shown(value: Any) -> str:
    """A value as it is typed; nothing where the text says what happens without one."""
    if isinstance(value, bool):
        return str(value).lower() if value else ""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, (list, tuple)):
        return ",".join(map(_shown, value)) if all(isinstance(one, (str, int, float)) for one in value) else ""
    return str(value) if isinstance(value, (str, int)) and value != argparse.SUPPRESS else ""
