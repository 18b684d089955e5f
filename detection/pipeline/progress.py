"""How far a long piece of work is, and how much time is left."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

# Where the output is no terminal, a line is printed after each such share of the work.
_REPORT_SHARE = 0.1


@contextmanager
def progress(console: Console, title: str, total: int, done: int = 0) -> Iterator[Callable[[], None]]:
    """Show a bar with a count and the time left on a terminal, a line now and then elsewhere.

    done: items finished by an earlier call. Yields the function to call once for each item finished now.
    """
    if console.is_terminal:
        columns = (
            TextColumn(f"{title:<26}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console) as bar:
            row = bar.add_task(title, total=total, completed=done)
            yield lambda: bar.advance(row)
        return
    yield _line_reporter(console, title, total, done)


def _line_reporter(console: Console, title: str, total: int, before: int) -> Callable[[], None]:
    started = time.monotonic()
    step = max(1, round(total * _REPORT_SHARE))
    done = before

    def advance() -> None:
        nonlocal done
        done += 1
        if done % step == 0 or done == total:
            elapsed = time.monotonic() - started
            left = elapsed / (done - before) * (total - done)
            console.print(f"{title}: {done}/{total}, {elapsed:.0f} s, {left:.0f} s left", highlight=False)

    return advance
