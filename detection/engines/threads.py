"""How many threads one process computes with, and threads that compute alone, for work that goes side by side."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from threadpoolctl import threadpool_limits

Item = TypeVar("Item")
Result = TypeVar("Result")

# The threads of `parallel_executor` are kept: fresh ones would start with no scratch memory, image after image.
_POOLS: dict[int, ThreadPoolExecutor] = {}
_POOLS_LOCK = threading.Lock()


@contextmanager
def limit_threads(threads: int) -> Iterator[None]:
    """Compute with `threads` threads in this process while the block runs: torch, BLAS and OpenMP.

    Convolutions and matrix products differ in their last bits with the number of threads, so that it is part
    of what makes a run repeatable. Raises ValueError for fewer than 1.
    """
    _check(threads)
    before = torch.get_num_threads()
    with threadpool_limits(limits=threads):
        torch.set_num_threads(threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def single_threaded_pool(count: int) -> ThreadPoolExecutor:
    """`count` threads, in each of which torch computes with that thread alone: bits as under ``limit_threads(1)``.

    Work of several images or scales goes side by side in them; what it calls must release the interpreter lock, as
    torch and our kernels do. Raises ValueError for fewer than 1.
    """
    _check(count)
    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(count, initializer=_compute_alone)
    started = threading.Barrier(count + 1)
    for _ in range(count):
        pool.submit(started.wait)
    started.wait()
    # torch hands the last number that any thread has set to threads that are new to it: not to be ours.
    torch.set_num_threads(before)
    return pool


def _compute_alone() -> None:
    # A thread that is new to torch takes over the process's number when torch first asks for it: now, not later.
    torch.get_num_threads()
    torch.set_num_threads(1)


def parallel_executor(threads: int | None = None) -> Executor:
    """Where parts of one image are computed, each by one thread alone, so that no bit depends on `threads`.

    threads: how many at most; None: as many as torch would use here, which is 1 under ``limit_threads(1)``, with
    OMP_NUM_THREADS=1 and in threads of `single_threaded_pool`: then the parts are computed in place, one after the
    other. The executor is shared: not to be shut down. Tasks must not wait for tasks.
    """
    count = torch.get_num_threads() if threads is None else threads
    _check(count)
    if count == 1 and torch.get_num_threads() == 1:
        return _InPlace()
    with _POOLS_LOCK:
        if count not in _POOLS:
            _POOLS[count] = single_threaded_pool(count)
        return _POOLS[count]


def ordered_map(
    task: Callable[[Item], Result], items: Iterable[Item], executor: Executor, ahead: int
) -> Iterator[Result]:
    """Yield task(item) in the order of `items`, of which `ahead` are in work, or done, beside the one awaited.

    What a task raises is raised in its turn. Tasks that have not started when the iteration ends never do.
    """
    waiting: deque[Future] = deque()
    try:
        for item in items:
            waiting.append(executor.submit(task, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for one in waiting:
            one.cancel()


class _InPlace(Executor):
    """Computes when a task is handed in, in the thread that does it."""

    def submit(self, task: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future:
        future: Future = Future()
        try:
            future.set_result(task(*arguments, **named))
        except Exception as error:  # whatever it is, it is the caller's when the result is asked for
            future.set_exception(error)
        return future


def _check(threads: int) -> None:
    if threads < 1:
        raise ValueError(f"threads: expected at least 1, got {threads}")


def _forget_pools() -> None:
    global _POOLS_LOCK
    _POOLS.clear()
    _POOLS_LOCK = threading.Lock()


# A forked child has none of its parent's threads, and nobody to release what they had locked.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pools)
