"""The options of a command: lists as ``a,b,c``, names as text; a function's parameters as options."""

import argparse
import inspect
import json
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from types import UnionType
from typing import Any, Literal, NoReturn, Union, get_args, get_origin

import docstring_parser
import yaml
from jsonargparse import ArgumentParser, Namespace, get_loader, set_loader

from detection.help_text import help_text
from detection.storage.bounded import YAML_ERRORS, check_yaml
from detection.storage.yaml_text import quoted_mapping, quoted_mappings
from detection.talking import LOG

# The setting whose keys and values are text, whatever YAML would make of them: names of classes.
_TEXT_SETTING = "class_map"
# Options of every command.
DEBUG, QUIET, LOG_FILE = "--debug", "--quiet", "--log-file"

_load_yaml = get_loader("yaml")


def _load(text: str) -> Any:
    """A value, or a file of settings, as jsonargparse reads them, under the limits of `read_yaml`."""
    try:
        check_yaml(text)
        return _load_yaml(quoted_mappings(text, _TEXT_SETTING))
    except YAML_ERRORS as error:
        raise yaml.YAMLError(str(error) or type(error).__name__) from error


set_loader("yaml", _load, exceptions=(yaml.YAMLError,))


class Parser(ArgumentParser):
    """Takes lists as ``a,b,c`` too: jsonargparse alone wants ``[a, b, c]``, and shells read brackets as patterns.

    Keys and values of mappings are text as it is typed: ``{NO: Norway}`` is no ``{false: Norway}``. Options can be
    written with ``-`` or ``_`` between their words.
    """

    # Settings that several commands share, told behind a command's own.
    shared: Collection[str] = ()
    # Where values go that have to be given.
    needed: Collection[str] = ()

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._option_string_actions["--help"].help = "Show this, and exit."
        self.add_argument("--help-all", action=_WholeHelp, nargs=0, help="The same with every setting, and exit.")
        self.add_argument(QUIET, action="store_true", help="Print results and errors alone.")
        self.add_argument(LOG_FILE, metavar="FILE", help="Write all that is said to this file too, with times.")
        self.add_argument(DEBUG, action="store_true", help="Show the traceback of an error.")

    def format_help(self, formatter: argparse.HelpFormatter | None = None) -> str:
        """What ``--help`` prints."""
        return help_text(self, self.shared)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Say what is wrong with the words in one line, and end with status 2; or raise, as asked for."""
        if not self.exit_on_error:
            super().error(message, ex)
        LOG.error(f"{message}; {self.prog} --help tells the options")
        self.exit(2)

    def parse_args(self, args: Sequence[str] | None = None, *more: Any, **named: Any) -> Namespace:
        """As ``ArgumentParser.parse_args``."""
        self.needed = {one.dest for one in self._actions if one.required}
        words = list(sys.argv[1:] if args is None else args)
        known = {plain_name(one): one for one in self._option_string_actions}
        for place, word in enumerate(words):
            name, is_joined, value = word.partition("=")
            name = known.get(plain_name(name), name) if name.startswith("--") else name
            words[place] = f"{name}{is_joined}{value}"
            as_yaml = _as_yaml(getattr(self._option_string_actions.get(name), "_typehint", None))
            if as_yaml is not None and is_joined:
                words[place] = f"{name}={as_yaml(value)}"
            elif as_yaml is not None and place + 1 < len(words):
                words[place + 1] = as_yaml(words[place + 1])
        return super().parse_args(words, *more, **named)


class _WholeHelp(argparse.Action):
    def __call__(self, parser: Any, *_: Any) -> None:
        print(help_text(parser, parser.shared, is_whole=True), end="")
        parser.exit()


def plain_name(option: str) -> str:
    """An option with ``_`` between its words: both ways of writing are one."""
    return option.replace("-", "_")


def _as_yaml(hint: Any) -> Callable[[str], str] | None:
    """What makes a typed value YAML: of lists and tuples, optional or not, and of mappings of text; None of all else.

    Lists of records are all else.
    """
    if get_origin(hint) is dict:
        return quoted_mapping
    found = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    lists = [one for one in found if get_origin(one) in (list, tuple)]
    item = next((one for one in get_args(lists[0])[:1] if _is_plain(one)), None) if lists else None
    return None if item is None else lambda value: _bracketed(value, item is str or get_origin(item) is Literal)


def _is_plain(item: Any) -> bool:
    """Whether a type is text or a number, one of several such, or one of some words."""
    kinds = get_args(item) if get_origin(item) in (Union, UnionType, Literal) else (item,)
    return all(one in (str, int, float) or isinstance(one, str) for one in kinds)


def _bracketed(value: str, is_text: bool) -> str:
    """``a,b,c`` as a list in YAML, of texts as they are typed; what is one already, or null, as it is."""
    if value[:1] == "[" or value == "null" or value.startswith("--"):
        return value
    words = [one.strip() for one in value.split(",")] if value.strip() else []
    return f"[{', '.join(json.dumps(one, ensure_ascii=False) if is_text else one for one in words)}]"


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


def described(function: Callable) -> str:
    """What a function does, as its docstring tells it: without its parameters and what it raises."""
    paragraphs = (inspect.getdoc(function) or "").split("\n\n")
    return "\n\n".join(one for one in paragraphs if not one.startswith(("Args:", "Raises ")))


def options_of(function: Callable, values: Mapping[str, Any], given: int = 1) -> dict[str, Any]:
    """The parsed values of the parameters of `function` behind the first `given`."""
    return {name: values[name] for name in list(inspect.signature(function).parameters)[given:]}
