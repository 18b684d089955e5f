"""What every command line shares; it loads no torch, so that commands which need none start at once."""

import argparse
import inspect
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType, UnionType
from typing import Any, Union, get_args, get_origin

import docstring_parser
import yaml
from jsonargparse import ArgumentParser, DefaultHelpFormatter, Namespace, get_loader, set_loader
from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from detection.storage import printable
from detection.storage.bounded import YAML_ERRORS, check_yaml
from detection.storage.processes import address_space_left
from detection.storage.yaml_text import quoted_mapping, quoted_mappings

# The setting whose keys and values are text, whatever YAML would make of them: names of classes.
_TEXT_SETTING = "class_map"

# Takes arguments, None for those of the process, and returns the exit status.
Main = Callable[[list[str] | None], int]

# What a user gave that cannot be used; any other exception is a job that failed.
REFUSED = (ValueError, FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError)
_DEBUG = "--debug"
# A process in whose environment this is not empty shows tracebacks too.
DEBUG_VARIABLE = "SPPNET_DEBUG"
_shows_traceback: ContextVar[bool] = ContextVar("shows_traceback", default=False)
# How libraries say in a RuntimeError, or one of their own, that they got no memory.
_NO_MEMORY = (
    "allocate memory", "out of memory", "not enough memory", "insufficient memory", "bad_alloc", "start new thread",
)  # fmt: skip
# MiB that a command has to be left by a limit of its address space: with up to 160, LLVM and C++ libraries abort it.
_LEAST_LEFT = 256
_GOES_ON = "nothing that was finished is lost, the same command goes on from there"
_NEEDS_LESS = "--workers 1 and smaller --features.short_sides or --svm.memory_mib need less memory"


class TerminatedError(BaseException):
    """The process was asked to end (SIGTERM); as Ctrl-C, it is no Exception, so that everything is put in order."""


_load_yaml = get_loader("yaml")


def _load(text: str) -> Any:
    """A value, or a file of settings, as jsonargparse reads them, under the limits of `read_yaml`."""
    try:
        check_yaml(text)
        return _load_yaml(quoted_mappings(text, _TEXT_SETTING))
    except YAML_ERRORS as error:
        raise yaml.YAMLError(str(error) or type(error).__name__) from error


set_loader("yaml", _load, exceptions=(yaml.YAMLError,))


class HelpFormatter(DefaultHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Help that leaves the lines of a description as they are."""


class Parser(ArgumentParser):
    """Takes lists as ``a,b,c`` too: jsonargparse alone wants ``[a, b, c]``, and shells read brackets as patterns.

    Keys and values of mappings are text as it is typed: ``{NO: Norway}`` is no ``{false: Norway}``.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **{"formatter_class": HelpFormatter, **named})
        self.add_argument(_DEBUG, action="store_true", help="Show the traceback of an error.")

    def parse_args(self, args: Sequence[str] | None = None, *more: Any, **named: Any) -> Namespace:
        """As ``ArgumentParser.parse_args``."""
        words = list(sys.argv[1:] if args is None else args)
        for place, word in enumerate(words):
            name, is_joined, value = word.partition("=")
            as_yaml = _as_yaml(getattr(self._option_string_actions.get(name), "_typehint", None))
            if as_yaml is not None and is_joined:
                words[place] = f"{name}={as_yaml(value)}"
            elif as_yaml is not None and place + 1 < len(words):
                words[place + 1] = as_yaml(words[place + 1])
        return super().parse_args(words, *more, **named)


def _as_yaml(hint: Any) -> Callable[[str], str] | None:
    """What makes a typed value YAML: of lists and tuples, optional or not, and of mappings of text; None of all else.

    Lists of records are all else.
    """
    found = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    if any(get_origin(one) is dict for one in found):
        return quoted_mapping
    lists = [one for one in found if get_origin(one) in (list, tuple)]
    item = next((one for one in get_args(lists[0])[:1] if one in (str, int, float)), None) if lists else None
    return None if item is None else lambda value: _bracketed(value, item)


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


def command(run: Callable[[list[str]], object], failures: tuple[type[Exception], ...] = ()) -> Main:
    """The command line that gives `run` the arguments but for ``--debug``. failures: see `exit_status`."""

    def main(arguments: list[str] | None = None) -> int:
        """Run the command line; returns the exit status."""
        words = sys.argv[1:] if arguments is None else arguments
        # A command may have been called by another one, which has taken the word.
        before = _shows_traceback.set(_shows_traceback.get() or _DEBUG in words or bool(os.environ.get(DEBUG_VARIABLE)))
        try:
            return exit_status(lambda: run([one for one in words if one != _DEBUG]), failures)
        finally:
            _shows_traceback.reset(before)

    return main


def function_command(
    description: str | None,
    function: Callable[..., object],
    own: Mapping[str, Mapping[str, Any]] | None = None,
    failures: tuple[type[Exception], ...] = (),
) -> Main:
    """The command line of a function, whose parameters are its options.

    own: see `add_function_options`. failures: see `exit_status`.
    """

    def run(arguments: list[str]) -> object:
        parser = Parser(description=description)
        parser.add_argument("--config", action="config", help="YAML file of options.")
        add_function_options(parser, function, own, given=0)
        return function(**options_of(function, parser.instantiate(parser.parse_args(arguments)), given=0))

    return command(run, failures)


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


def exit_status(body: Callable[[], object], failures: tuple[type[Exception], ...] = ()) -> int:
    """The exit status of a command that does `body`: what that returns if it is an int, else 0.

    What ends it is told in one line, with a traceback where that was asked for. 2: settings, data or files that cannot
    be used, one of `REFUSED`. 1: the job failed; `failures`: kinds whose text says all. 130: Ctrl-C. 143: SIGTERM.
    """
    console = terminal(stderr=True)
    try:
        with _terminable():
            _check_memory()
            status = body()
        return status if isinstance(status, int) else 0
    except (Exception, KeyboardInterrupt, TerminatedError) as error:
        if (end := _signal_behind(error)) is not None:
            how = "interrupted" if end == signal.SIGINT else "terminated"
            say(console, f"{how}: the same command goes on from here")
            return 128 + end
        if _shows_traceback.get():
            traceback.print_exc()
        is_told = isinstance(error, (*REFUSED, *failures))
        say(console, f"error: {error if is_told else _failure(error)}")
        return 2 if isinstance(error, REFUSED) else 1


def _check_memory() -> None:
    """Raise MemoryError where libraries would end the process without a word."""
    left = address_space_left()
    if left is not None and left < _LEAST_LEFT * 2**20:
        raise MemoryError(
            f"a limit (ulimit -v) leaves {left // 2**20} MiB of address space, expected at least {_LEAST_LEFT}"
        )


def _signal_behind(error: BaseException | None) -> signal.Signals | None:
    """The signal that ended the work, None for none: what is cleared up after it can raise errors of its own."""
    while error is not None:
        if isinstance(error, (KeyboardInterrupt, TerminatedError)):
            return signal.SIGINT if isinstance(error, KeyboardInterrupt) else signal.SIGTERM
        error = error.__context__
    return None


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM raise TerminatedError, where nobody has asked for something else."""

    def end(number: int, frame: FrameType | None) -> None:
        raise TerminatedError

    is_ours = threading.current_thread() is threading.main_thread()
    if not is_ours or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _failure(error: Exception) -> str:
    """One line: what failed, what became of the work, what to try."""
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, BrokenExecutor):
        return f"a worker process died, as they do where memory is short: {text}; {_GOES_ON}; {_NEEDS_LESS}"
    if isinstance(error, MemoryError) or any(words in text.lower() for words in _NO_MEMORY):
        return f"no memory: {text}; {_GOES_ON}; {_NEEDS_LESS}"
    if isinstance(error, OSError):
        return f"{text}; {_GOES_ON} once that is mended"
    if isinstance(error, ImportError):
        return text
    kind = type(error).__name__
    return f"{kind}: {text}; this is a fault of the program: run it again with {_DEBUG}, which shows where it is"


def say(console: Console, *lines: object) -> None:
    """Print lines as they are: nothing in them is markup, and none is broken; control characters are shown as codes."""
    console.print(printable("\n".join(map(str, lines)), lines=True), highlight=False, markup=False, soft_wrap=True)


def terminal(**options: Any) -> Console:
    """A console that shows control characters of whatever it prints as codes. options: of ``rich.Console``."""
    console = Console(**options)
    console.push_render_hook(_Printable())
    return console


class _Printable(RenderHook):
    """Goes over all that is printed: names of files and classes are in tables, lines and titles."""

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_PrintableText(one) for one in renderables]


class _PrintableText:
    def __init__(self, printed: ConsoleRenderable) -> None:
        self._printed = printed

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        for one in console.render(self._printed, options):
            yield one if one.control else Segment(printable(one.text, lines=True), one.style)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement.get(console, options, self._printed)


def text_table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """A table of texts: the first column to the left, the others to the right."""
    table = Table(title=Text(title), title_justify="left", box=None, padding=(0, 2, 0, 0))
    for place, name in enumerate(header):
        table.add_column(Text(name), justify="right" if place else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table
