"""Work in processes of this machine."""

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

from detection.command_line import terminal
from detection.parallel import OrderedMap, in_place, over
from detection.talking import Manner, manner, talk_as


@contextmanager
def worker_processes(workers: int) -> Iterator[OrderedMap]:
    """Work by `workers` processes, which start when first needed and end with the block; one is this process itself.

    They leave Ctrl-C to this process, and end when it is killed. Forked children of a process with torch's or
    numba's threads can hang; spawned ones exist everywhere.
    """
    if workers <= 1:
        yield in_place
        return
    context = multiprocessing.get_context("spawn")
    pool = _WorkerPool(workers, mp_context=context, initializer=_start_worker, initargs=(manner(),))
    try:
        yield over(pool, workers)
        pool.shutdown()
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise


class _WorkerPool(ProcessPoolExecutor):
    """Processes that are not interrupted while they start, either: they inherit the signals that are held back."""

    def submit(self, *arguments: Any, **named: Any) -> Future:
        if not hasattr(signal, "pthread_sigmask"):
            return super().submit(*arguments, **named)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return super().submit(*arguments, **named)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker(told: Manner | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    talk_as(told, terminal(stderr=True))
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    # A pool's processes would wait for work for ever: they hold both ends of its pipe.
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)
