"""What is said: notices and progress by ``logging`` (logger "detection"), results on the standard output.

The library only logs, and calls a function of its caller's with progress. A command line shows what is logged on the
standard error (`talking`), so that what it prints on the standard output is its result alone.
"""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from detection.caches import tell_compiling
from detection.storage import printable

LOG = logging.getLogger("detection")
# Told (title, done, total): images or bytes, of how many; None where that is not known.
OnProgress = Callable[[str, int, int | None], None]

# Where nothing draws bars, a line is logged after each such part of the work.
_PARTS = 10
_IS_PROGRESS = {"is_progress": True}
_PREFIX = {logging.WARNING: "warning: ", logging.ERROR: "error: "}
_FILE_FORMAT = "%(asctime)s %(levelname)s %(message)s"


def percent(share: float, digits: int = 0) -> str:
    """A share in [0, 1] as it is said: ``62%``; 0% and 100% of just these, else ``<1%`` and ``>99%``."""
    text, least = f"{share:.{digits}%}", 10.0**-digits
    if 0 < share < 1 and float(text[:-1]) in (0, 100):
        return f"<{least:.{digits}f}%" if share < 0.5 else f">{100 - least:.{digits}f}%"
    return text


class Notices(logging.Handler):
    """Prints what is logged on a console; on a terminal, bars stand for lines of progress."""

    def __init__(self, console: Console, level: int = logging.INFO) -> None:
        super().__init__(level)
        self.console = console

    @property
    def draws_bars(self) -> bool:
        """Whether progress is to be drawn on its console."""
        return self.console.is_terminal and self.level <= logging.INFO

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record: its text, behind what kind it is."""
        if self.draws_bars and getattr(record, "is_progress", False):
            return
        text = printable(f"{_PREFIX.get(record.levelno, '')}{record.getMessage()}", lines=True)
        style = "yellow" if record.levelno == logging.WARNING else None
        self.console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)


class Manner(NamedTuple):
    """How a command line talks. is_quiet: of errors and results alone. log_file: what gets all, with times; or None."""

    is_quiet: bool = False
    log_file: str | None = None


# Of the command line that this process is, or works for; None: it is a library.
_manner: Manner | None = None


def manner() -> Manner | None:
    """What worker processes are to `talk` by: as this one."""
    return _manner


@contextmanager
def talking(console: Console, is_quiet: bool = False) -> Iterator[Callable[[str | None], None]]:
    """Show what is logged on `console` while the block lasts, unless a command around it does so already.

    Yields what opens a log file, None for none; raises OSError where that cannot be written.
    """
    global _manner
    if _manner is not None:
        yield lambda _: None
        return
    before = LOG.level, LOG.propagate
    with ExitStack() as stack:
        _manner = Manner(is_quiet)
        LOG.setLevel(logging.INFO)
        # What other libraries set up for all logging would show it once more.
        LOG.propagate = False
        _add(Notices(console, logging.ERROR if is_quiet else logging.INFO), stack)
        tell_compiling(LOG.info)
        try:
            yield lambda log_file: _open_file(log_file, stack)
        finally:
            _manner = None
            LOG.setLevel(before[0])
            LOG.propagate = before[1]


def talk_as(told: Manner | None, console: Console) -> None:
    """Let this worker process talk as the one it works for; for good. told: its `manner`."""
    if told is not None:
        talking_for_good = talking(console, told.is_quiet)
        talking_for_good.__enter__()(told.log_file)
        _kept.append(talking_for_good)


_kept: list[Any] = []


def _add(handler: logging.Handler, stack: ExitStack) -> None:
    LOG.addHandler(handler)
    stack.callback(handler.close)
    stack.callback(LOG.removeHandler, handler)


def _open_file(log_file: str | None, stack: ExitStack) -> None:
    global _manner
    if log_file is None:
        return
    handler = logging.FileHandler(log_file, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(logging.Formatter(_FILE_FORMAT))
    _add(handler, stack)
    # Worker processes may have another working directory one day, and this one too.
    _manner = Manner(_manner is not None and _manner.is_quiet, str(Path(log_file).resolve()))
    stack.enter_context(redirect_stdout(_Noted(sys.stdout, handler)))  # type: ignore[type-var]


@contextmanager
def overheard(level: int) -> Iterator[list[tuple[int, str]]]:
    """Note (level, text) of what is logged while the block lasts, for another process to say; here it is not shown."""
    heard: list[tuple[int, str]] = []
    handler = logging.Handler(level)
    handler.emit = lambda record: heard.append((record.levelno, record.getMessage()))  # type: ignore[method-assign]
    before = LOG.level, LOG.propagate
    LOG.setLevel(level)
    LOG.propagate = False
    LOG.addHandler(handler)
    try:
        yield heard
    finally:
        LOG.removeHandler(handler)
        LOG.setLevel(before[0])
        LOG.propagate = before[1]


class _Noted:
    """The standard output, whose lines go to a log file too."""

    def __init__(self, stream: TextIO, handler: logging.Handler) -> None:
        self._stream, self._handler, self._line = stream, handler, ""

    def write(self, text: str) -> int:
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            self._handler.handle(logging.LogRecord(LOG.name, logging.INFO, __file__, 0, line, None, None))
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def reporting(log: logging.Logger = LOG) -> Iterator[OnProgress]:
    """What shows progress: bars where one of the log's handlers draws them, and a line now and then in the log."""
    lines = _Lines(log)
    drawn = next((one.console for one in log.handlers if isinstance(one, Notices) and one.draws_bars), None)
    if drawn is None:
        yield lines
        return
    columns = (BarColumn(), TextColumn("{task.fields[count]}"), TimeElapsedColumn(), TextColumn("left"))
    with Progress(TextColumn("{task.description:<26}"), *columns, TimeRemainingColumn(), console=drawn) as bars:
        tasks: dict[str, TaskID] = {}

        def report(title: str, done: int, total: int | None) -> None:
            lines(title, done, total)
            count = f"{done}/{total}" if total is not None else str(done)
            if title not in tasks:
                tasks[title] = bars.add_task(title, total=total, completed=done, count=count)
            bars.update(tasks[title], completed=done, total=total, count=count)

        yield report


class _Lines:
    """Logs how far each piece of work is, and the seconds left, after each tenth of it."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        # Title -> (when it began, how much was done then, how much is a part, parts told).
        self._begun: dict[str, tuple[float, int, int, int]] = {}

    def __call__(self, title: str, done: int, total: int | None) -> None:
        # A part is of the total at first: of one that grows with what is done none would ever be new.
        step = self._begun[title][2] if title in self._begun else max(1, round((total or 0) / _PARTS))
        part = done // step + (done == total)
        if title not in self._begun:
            self._begun[title] = time.monotonic(), done, step, part
            return
        started, before, _, told = self._begun[title]
        if part > told and total is not None:
            self._begun[title] = started, before, step, part
            elapsed = time.monotonic() - started
            left = elapsed / (done - before) * (total - done)
            self._log.info(f"{title}: {done}/{total}, {elapsed:.0f} s, {left:.0f} s left", extra=_IS_PROGRESS)


@contextmanager
def progress(
    title: str, total: int, done: int = 0, on_progress: OnProgress | None = None, log: logging.Logger = LOG
) -> Iterator[Callable[[], None]]:
    """Show how far a piece of work is; yields the function to call once for each item finished.

    total: grows with what is done where there prove to be more. done: items finished by an earlier call. on_progress:
    is told instead, of 0 too; it runs in this thread.
    """
    with ExitStack() as stack:
        report = on_progress or stack.enter_context(reporting(log))
        report(title, done, total)

        def advance() -> None:
            nonlocal done
            done += 1
            report(title, done, max(done, total))

        yield advance
