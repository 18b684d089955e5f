"""What every command line shares; it loads no torch, so that commands which need none start at once."""

import argparse
import inspect
import json
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import UnionType
from typing import Any, Union, get_args, get_origin

import docstring_parser
import yaml
from jsonargparse import ArgumentParser, DefaultHelpFormatter, Namespace, get_loader, set_loader
from rich.console import Console
from rich.table import Table
from rich.text import Text

from detection.storage import printable
from detection.storage.bounded import YAML_ERRORS, check_yaml

# Takes arguments, None for those of the process, and returns the exit status.
Main = Callable[[list[str] | None], int]


_load_yaml = get_loader("yaml")


def _load(text: str) -> Any:
    """A value, or a file of settings, as jsonargparse reads them, under the limits of `read_yaml`."""
    try:
        check_yaml(text)
        return _load_yaml(text)
    except YAML_ERRORS as error:
        raise yaml.YAMLError(str(error) or type(error).__name__) from error


set_loader("yaml", _load, exceptions=(yaml.YAMLError,))


class HelpFormatter(DefaultHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Help that leaves the lines of a description as they are."""


class Parser(ArgumentParser):
    """Takes lists as ``a,b,c`` too: jsonargparse alone wants ``[a, b, c]``, and shells read brackets as patterns."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **{"formatter_class": HelpFormatter, **named})

    def parse_args(self, args: Sequence[str] | None = None, *more: Any, **named: Any) -> Namespace:
        """As ``ArgumentParser.parse_args``."""
        words = list(sys.argv[1:] if args is None else args)
        for place, word in enumerate(words):
            name, is_joined, value = word.partition("=")
            item = _list_item(getattr(self._option_string_actions.get(name), "_typehint", None))
            if item is not None and is_joined:
                words[place] = f"{name}={_bracketed(value, item)}"
            elif item is not None and place + 1 < len(words):
                words[place + 1] = _bracketed(words[place + 1], item)
        return super().parse_args(words, *more, **named)


def _list_item(hint: Any) -> type | None:
    """The type of the items of a list or tuple, optional or not; None of anything else, and of lists of records."""
    found = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    lists = [one for one in found if get_origin(one) in (list, tuple)]
    return next((one for one in get_args(lists[0])[:1] if one in (str, int, float)), None) if lists else None


def _bracketed(value: str, item: type) -> str:
    """``a,b,c`` as a list in YAML; what is one already, or null, as it is."""
    if value[:1] == "[" or value == "null" or value.startswith("--"):
        return value
    words = [one.strip() for one in value.split(",")] if value.strip() else []
    return f"[{', '.join(json.dumps(one, ensure_ascii=False) if item is str else one for one in words)}]"


# An option without a value, in `add_function_options`.
FLAG = {"action": "store_true"}


def add_function_options(
    parser: ArgumentParser,
    function: Callable,
    own: Mapping[str, Mapping[str, Any]] | None = None,
    given: int = 1,
    left_out: Collection[str] = (),
) -> None:
    """An option for each parameter of `function` behind the first `given`, from its signature and docstring.

    own: option -> arguments of ``add_argument`` but for its help, of parameters that types do not describe: flags
    and several words. left_out: parameters that become none.
    """
    own = own or {}
    names = {option: option.lstrip("-").replace("-", "_") for option in own}
    parser.add_function_arguments(function, as_group=False, skip={given, *names.values(), *left_out})
    texts = {one.arg_name: one.description for one in docstring_parser.parse(function.__doc__).params}
    for option, more in own.items():
        parser.add_argument(option, **more, help=" ".join(texts[names[option]].split()))


def options_of(function: Callable, values: Mapping[str, Any], given: int = 1) -> dict[str, Any]:
    """The parsed values of the parameters of `function` behind the first `given`."""
    return {name: values[name] for name in list(inspect.signature(function).parameters)[given:]}


def command(run: Callable[[list[str]], object], refused: tuple[type[Exception], ...] = (ValueError, OSError)) -> Main:
    """The command line that gives `run` the arguments. refused: see `exit_status`."""

    def main(arguments: list[str] | None = None) -> int:
        """Run the command line; returns the exit status."""
        return exit_status(lambda: run(sys.argv[1:] if arguments is None else arguments), refused)

    return main


def function_command(
    description: str | None,
    function: Callable[..., object],
    own: Mapping[str, Mapping[str, Any]] | None = None,
    refused: tuple[type[Exception], ...] = (ValueError, OSError),
) -> Main:
    """The command line of a function, whose parameters are its options. own: see `add_function_options`."""

    def run(arguments: list[str]) -> object:
        parser = Parser(description=description)
        parser.add_argument("--config", action="config", help="YAML file of options.")
        add_function_options(parser, function, own, given=0)
        return function(**options_of(function, parser.instantiate(parser.parse_args(arguments)), given=0))

    return command(run, refused)


def subcommands(description: str | None, mains: Mapping[str, Main]) -> Main:
    """The command line of several commands: the first argument says which one has the others.

    ``--help`` alone prints `description`, which tells them; the exit status is 2 where the first argument is none of
    them.
    """

    def run(arguments: list[str]) -> int:
        name, *rest = arguments or [""]
        if name in ("-h", "--help"):
            print(description)
            return 0
        if name not in mains:
            raise ValueError(f"expected one of {', '.join(mains)}, got {name!r}\n\n{description}")
        return mains[name](rest)

    return command(run)


def exit_status(body: Callable[[], object], refused: tuple[type[Exception], ...] = (ValueError, OSError)) -> int:
    """The exit status of a command that does `body`: what that returns if it is an int, else 0.

    2: settings or data that cannot be used, one of `refused`; the message is printed without a traceback.
    130: interrupted.
    """
    console = Console(stderr=True)
    try:
        status = body()
        return status if isinstance(status, int) else 0
    except KeyboardInterrupt:
        console.print("interrupted: the same command goes on from here")
        return 130
    except refused as error:
        say(console, f"error: {error}")
        return 2


def say(console: Console, *lines: str) -> None:
    """Print lines as they are: nothing in them is markup, none is broken; what no UTF-8 can hold is escaped."""
    console.print(printable("\n".join(lines)), highlight=False, markup=False, soft_wrap=True)


def text_table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """A table of texts: the first column to the left, the others to the right."""
    table = Table(title=Text(title), title_justify="left", box=None, padding=(0, 2, 0, 0))
    for place, name in enumerate(header):
        table.add_column(Text(name), justify="right" if place else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table
