"""What every command line shares; it loads no torch, so that commands which need none start at once."""

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from detection.interrupts import TerminatedError, interruptible
from detection.option_parser import (
    DEBUG,
    LOG_FILE,
    QUIET,
    Parser,
    add_function_options,
    options_of,
    plain_name,
)
from detection.storage import printable
from detection.storage.processes import address_space_left
from detection.talking import LOG, Manner, talking

# Takes arguments, None for those of the process, and returns the exit status.
Main = Callable[[list[str] | None], int]

# What a user gave that cannot be used; any other exception is a job that failed.
REFUSED = (ValueError, FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError)
# A process in whose environment this is not empty shows tracebacks too.
DEBUG_VARIABLE = "SPPNET_DEBUG"
# Everything is told.
_ALL = Manner()
_shows_traceback: ContextVar[bool] = ContextVar("shows_traceback", default=False)
# How libraries say in a RuntimeError, or one of their own, that they got no memory.
_NO_MEMORY = (
    "allocate memory", "out of memory", "not enough memory", "insufficient memory", "bad_alloc", "can't alloc",
    "start new thread",
)  # fmt: skip
# MiB that a command has to be left by a limit of its address space: with up to 160, LLVM and C++ libraries abort it.
_LEAST_LEFT = 256
_GOES_ON = "nothing that was finished is lost, the same command goes on from there"
_NEEDS_LESS = "--workers 1 and smaller --features.short_sides or --svm.memory_mib need less memory"


# An option without a value, in `add_function_options`.
FLAG = {"action": "store_true"}


def command(run: Callable[[list[str]], object], failures: tuple[type[Exception], ...] = ()) -> Main:
    """The command line that gives `run` the arguments but for ``--debug``, ``--quiet`` and ``--log-file FILE``.

    failures: see `exit_status`.
    """

    def main(arguments: list[str] | None = None) -> int:
        """Run the command line; returns the exit status."""
        words = sys.argv[1:] if arguments is None else arguments
        words, manner, is_debug = _without_manner(words)
        # A command may have been called by another one, which has taken the word.
        before = _shows_traceback.set(_shows_traceback.get() or is_debug or bool(os.environ.get(DEBUG_VARIABLE)))
        try:
            return exit_status(lambda: run(words), failures, manner)
        finally:
            _shows_traceback.reset(before)

    return main


def _without_manner(words: Sequence[str]) -> tuple[list[str], Manner, bool]:
    """(the words of a command, how it talks, whether with tracebacks); words on the latter stand anywhere."""
    rest, flags, log_file, coming = [], set(), None, iter(words)
    for word in coming:
        name, is_joined, value = word.partition("=")
        if word in (DEBUG, QUIET):
            flags.add(word)
        elif plain_name(name) != plain_name(LOG_FILE):
            rest.append(word)
        elif is_joined or (value := next(coming, "")):
            log_file = value
        else:
            rest.append(word)  # the command's parser says that its value is missing
    return rest, Manner(QUIET in flags, log_file), DEBUG in flags


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
        if name in ("-h", "--help", "--help-all"):
            called = Path(sys.argv[0]).name
            print(f"usage: {called} {'|'.join(mains)} [options]\n\n{(description or '').strip()}\n")
            print(f"{called} {next(iter(mains))} --help tells the options of that one.")
            return 0
        if name not in mains:
            raise ValueError(f"expected one of {', '.join(mains)}, got {name!r}\n\n{description}")
        # What the help of the command calls it.
        before, sys.argv[0] = sys.argv[0], f"{sys.argv[0]} {name}"
        try:
            return mains[name](rest)
        finally:
            sys.argv[0] = before

    return command(run)


def exit_status(body: Callable[[], object], failures: tuple[type[Exception], ...] = (), manner: Manner = _ALL) -> int:
    """The exit status of a command that does `body`: what that returns if it is an int, else 0.

    What ends it is told in one line, with a traceback where that was asked for. 2: settings, data or files that cannot
    be used, one of `REFUSED`. 1: the job failed; `failures`: kinds whose text says all. 130: Ctrl-C. 143: SIGTERM.
    manner: how it talks, unless a command around it talks already.
    """
    # Of several processes under torchrun the first speaks.
    is_quiet = manner.is_quiet or os.environ.get("RANK", "0") != "0"
    with talking(terminal(stderr=True), is_quiet) as log_to:
        try:
            log_to(manner.log_file)
            with interruptible():
                _check_memory()
                status = body()
            return status if isinstance(status, int) else 0
        except (Exception, KeyboardInterrupt, TerminatedError) as error:
            return _told_end(error, failures)


def _told_end(error: BaseException, failures: tuple[type[Exception], ...]) -> int:
    """Say in one line what ended a command; its exit status."""
    if (end := _signal_behind(error)) is not None:
        how = "interrupted" if end == signal.SIGINT else "terminated"
        LOG.critical(f"{how}: the same command goes on from here")
        return 128 + end
    if _shows_traceback.get():
        traceback.print_exception(error)
    is_told = isinstance(error, (*REFUSED, *failures))
    LOG.error(str(error) if is_told else _failure(error), exc_info=error)
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
    return f"{kind}: {text}; this is a fault of the program: run it again with {DEBUG}, which shows where it is"


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


def text_table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """A table of texts: the first column to the left, the others to the right."""
    table = Table(title=Text(title), title_justify="left", box=None, padding=(0, 2, 0, 0))
    for place, name in enumerate(header):
        table.add_column(Text(name), justify="right" if place else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table
