"""Work over the images of a data set: in order, wherever an executor takes it, with progress and a time left."""

import ctypes
import errno
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import count
from typing import TypeVar

from rich.console import Console

from detection.data import DataError, Problems
from detection.data.problems import Problem
from detection.parallel import OrderedMap, in_place
from detection.talking import LOG, OnProgress, progress

Item = TypeVar("Item")
Result = TypeVar("Result")

# A process that convolves holds its own copy of the network and its buffers, so more is not always better.
_MAX_DEFAULT_WORKERS = 4
# Images after which a process gives free memory back. glibc keeps what it was given, and images of many sizes break it
# into pieces that fit no other: a process that convolves grew from 1.4 to 3 GB within 300 photos while single maps took
# up to 60 MB. What goes back comes again page by page: after every 16 images that was 3 % of the time.
_RETURN_AFTER = 64
_tasks = count(1)
# What a disk says that is away for a moment, as shared ones are, and seconds after which it is asked again.
_PASSING = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EBUSY, errno.ECONNRESET, errno.ENOTCONN)
_PAUSES = (1, 4, 10)


def default_workers() -> int:
    """Processors this process may use, at most 4."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(available, _MAX_DEFAULT_WORKERS)


@dataclass(frozen=True)
class Work:
    """How a stage does its work; only `threads` and `device` can change a result, in its last bits.

    workers: processes over images; as many threads of this process pool and train while learning goes on in it.
    executor: where images are worked on; by itself in this process, one by one (others: ``pipeline.executors``).
    threads: threads a process for convolutions and matrix products. device: torch device of the convolutions.
    keep_maps: whether maps go on disk, or are computed anew in each pass. problems: where unusable images are listed.
    console: where results are printed; by itself they are not. log: where notices and progress go. on_progress: is told
    of progress instead (title, done, total), in the thread that called.
    """

    workers: int = 1
    threads: int = 1
    device: str = "cpu"
    problems: Problems = field(default_factory=Problems)
    console: Console = field(default_factory=partial(Console, quiet=True))
    log: logging.Logger = LOG
    on_progress: OnProgress | None = None
    executor: OrderedMap = in_place
    keep_maps: bool = True

    def progress(self, title: str, total: int, done: int = 0) -> AbstractContextManager[Callable[[], None]]:
        """`talking.progress` as it is wanted here."""
        return progress(title, total, done, self.on_progress, self.log)

    @property
    def pooling_threads(self) -> int:
        """Threads of this process that make the next images' vectors while a learner learns; 0: none beside it."""
        return self.workers if self.workers > 1 else 0


def guarded(task: Callable[[Item], Result], item: Item) -> tuple[Result | None, Problem | None]:
    """(task(item), None), or (None, the problem) where it raised DataError.

    A disk that is away for a moment is asked again for a quarter of a minute.
    """
    pauses = iter(_PAUSES)
    while True:
        try:
            return task(item), None
        except (DataError, OSError) as error:
            if _passes(error) and (pause := next(pauses, None)) is not None:
                time.sleep(pause)
            elif isinstance(error, DataError):
                return None, Problem("left out", error.kind, error.file, error.message)
            else:
                raise


def _passes(error: BaseException | None) -> bool:
    cause = error.__cause__ if isinstance(error, DataError) else error
    return isinstance(cause, OSError) and cause.errno in _PASSING


def _attend(task: Callable[[Item], Result], item: Item) -> tuple[Result | None, Problem | None]:
    """`guarded`, and now and then the memory goes back that images of other sizes have left."""
    outcome = guarded(task, item)
    if next(_tasks) % _RETURN_AFTER == 0:
        return_memory()
    return outcome


def return_memory() -> None:
    """Give the memory that this process has freed back to the system, where the C library has a call for it (glibc)."""
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@lru_cache(maxsize=1)
def _malloc_trim() -> Callable[[int], int] | None:
    """Glibc's call that gives free memory back; None where the C library is another."""
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, TypeError, AttributeError):
        return None


def map_images(
    task: Callable[[Item], Result], items: Sequence[Item], work: Work, title: str
) -> Iterator[tuple[Item, Result]]:
    """Yield (item, task(item)) in the order of `items`, computed by ``work.executor``.

    task: a picklable callable. An item whose task raises DataError is listed in ``work.problems`` (which
    raises it again when strict) and left out; any other exception ends the run. Progress is shown under
    `title`. Few results are held at a time.
    """
    if not items:
        return
    outcomes = work.executor(partial(_attend, task), items)
    with work.progress(title, len(items)) as advance:
        for item, (result, problem) in zip(items, outcomes, strict=True):
            advance()
            if problem is not None:
                work.problems.extend([problem])
            else:
                yield item, result


@contextmanager
def threads(count: int) -> Iterator[ThreadPoolExecutor | None]:
    """An executor of `count` threads of this process, which end with the block; None for 0: computed in place."""
    if count <= 0:
        yield None
        return
    pool = ThreadPoolExecutor(count)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def peak_memory_mib() -> int | None:
    """Most memory that this process has held so far, in MiB; None where the system does not tell (Windows)."""
    try:
        import resource
    except ImportError:
        return None
    # Linux counts in KiB, macOS in bytes.
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // unit
