"""Every setting and every option there is, found by introspection, and what shows that one has an effect."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import io
import json
import re
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from jsonargparse import ArgumentParser

from detection.command_line import Main
from detection.config import Settings, build_parser


@dataclass(frozen=True)
class Wire:
    """A setting's value other than the one in force, and who sees a difference.

    value: as on the command line; {sets} is the folder of small sets, {difficult} a set with
    difficult objects. look: called with the experiment, gives what is
    compared. given: options in force before and after the change. fresh: an empty run folder, not a finished run's.
    """

    value: object
    look: Callable[..., object]
    given: tuple[str, ...] = ()
    fresh: bool = False

    def option(self, name: str) -> str:
        """The command line's option that makes the change; a setting of the splits stands in a list of one."""
        split = re.fullmatch(r"dataset\.(train|test)\.(\w+)", name)
        if split is None:
            return f"--{name}={self.value}"
        source = {"split": {"train": "trainval", "test": "test"}[split[1]], split[2]: self.value}
        return f"--dataset.{split[1]}={json.dumps([source])}"


@dataclass(frozen=True)
class Call:
    """A call of a command without an option's change and with it.

    given: arguments in both; change: more of them; replaced: arguments that others take the place of. {out} is a new
    folder, {run} a copy of a finished run, {sets} the folder of small sets, {golden} that of the golden tests. begins,
    ends: exit statuses that the call may have without the change and with it.
    """

    command: str
    given: tuple[str, ...]
    change: tuple[str, ...] = ()
    replaced: Mapping[str, str] = field(default_factory=dict)
    begins: tuple[int, ...] = (0, 1)
    ends: tuple[int, ...] = (0, 1)

    def at(self, places: Mapping[str, str]) -> Call:
        """The call with more places, {name} for each, filled in."""
        known = [(f"{{{name}}}", place) for name, place in places.items()]

        def filled(arguments: tuple[str, ...]) -> tuple[str, ...]:
            for name, place in known:
                arguments = tuple(one.replace(name, place) for one in arguments)
            return arguments

        replaced = dict(filled(pair) for pair in self.replaced.items())
        return dataclasses.replace(self, given=filled(self.given), change=filled(self.change), replaced=replaced)

    @property
    def before(self) -> tuple[str, ...]:
        """The arguments without the change."""
        return self.given

    @property
    def after(self) -> tuple[str, ...]:
        """The arguments with it: an option that is given again counts for its last value."""
        return (*(self.replaced.get(one, one) for one in self.given), *self.change)


def setting_names(kind: type = Settings, prefix: str = "") -> Iterator[str]:
    """Dotted names of all fields, of dataclasses within dataclasses and in tuples of them too."""
    types = typing.get_type_hints(kind)
    for one in dataclasses.fields(kind):
        held = [types[one.name], *typing.get_args(types[one.name])]
        inner = [held_type for held_type in held if dataclasses.is_dataclass(held_type)]
        if inner:
            yield from setting_names(inner[0], f"{prefix}{one.name}.")
        else:
            yield prefix + one.name


class _CapturedError(BaseException):
    """Carries a command's parser out of it."""


def _parser_of(main: Main, arguments: list[str]) -> ArgumentParser:
    def capture(parser: ArgumentParser, *_: object, **__: object) -> None:
        raise _CapturedError(parser)

    kept, ArgumentParser.parse_args = ArgumentParser.parse_args, capture
    try:
        main(arguments)
    except _CapturedError as captured:
        return captured.args[0]
    finally:
        ArgumentParser.parse_args = kept
    raise AssertionError(f"{arguments}: no parser was asked")


def _subcommands(main: Main) -> list[str]:
    """The names that a command's first argument can have; none where it has no such argument."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.suppress(AssertionError, _CapturedError):
        _parser_of(main, ["none"])
    found = re.match(r"error: expected one of (.*), got 'none'", said.getvalue())
    return found[1].split(", ") if found else []


# tests/test_command_line.py and tests/test_talking.py show what they do.
_OF_EVERY_TOOL = {"help", "help_all", "config", "print_config", "debug", "quiet", "log_file"}
# Commands whose arguments decide which of two sets of options they take: the arguments of the second.
_OTHER_FORMS = {"detect": ["--model=x"], "evaluate": ["--detections=x"]}


def option_names(command: str) -> Iterator[str]:
    """Options of a command: ``COMMAND [SUBCOMMAND] --option``; settings of a run are none, a group of them is one."""
    of_a_run = {action.dest for action in build_parser()._actions}
    groups = {one.name for one in dataclasses.fields(Settings) if dataclasses.is_dataclass(one.default_factory)}
    main = importlib.import_module(f"detection.commands.{command}").main
    forms = [[one] for one in _subcommands(main)] or [[]]
    for form in [*forms, *([_OTHER_FORMS[command]] if command in _OTHER_FORMS else [])]:
        prefix = " ".join([command, *(one.split("=")[0] for one in form)])
        options = {one.dest: (one.option_strings or [one.dest])[0] for one in _parser_of(main, form)._actions}
        known = of_a_run if of_a_run <= set(options) else _OF_EVERY_TOOL
        for dest, option in options.items():
            head = dest.split(".")[0]
            if dest not in known and not (dest == head and any(one.startswith(f"{dest}.") for one in options)):
                yield f"{prefix} --{head}" if head in groups else f"{prefix} {option}"
