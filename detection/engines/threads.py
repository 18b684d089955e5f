"""How many threads one process computes with, and threads that compute alone, for work in parallel."""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits

from detection.parallel import InPlaceExecutor

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

    Work of several images or scales goes in parallel in them; what it calls must release the interpreter lock, as
    torch and our kernels do. Raises ValueError for fewer than 1.
    """
    _check(count)
    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(count, initializer=_compute_alone)
    started = threading.Barrier(count + 1)
    try:
        for _ in range(count):
            pool.submit(started.wait)
        started.wait()
    except BaseException:
        # No memory for another thread, or Ctrl-C: those that are there would wait for ever, and the process for them.
        started.abort()
        pool.shutdown(wait=False)
        raise
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
        return InPlaceExecutor()
    with _POOLS_LOCK:
        if count not in _POOLS:
            _POOLS[count] = single_threaded_pool(count)
        return _POOLS[count]


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
