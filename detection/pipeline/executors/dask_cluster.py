"""Work by the workers of a Dask cluster, which see the same files under the same names. Nothing else knows of Dask.

A task is a function of the package with its arguments, some kilobytes; what it makes it writes to the shared disk, and
its outcome comes back. A worker that dies loses what it was at, which another one does again.
"""

from __future__ import annotations

import logging
import pickle
import secrets
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor
from contextlib import ExitStack, contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from detection.parallel import Item, OrderedMap, Result, over
from detection.pipeline.executors.worker_check import Expected, check_worker, expected_of_workers
from detection.talking import LOG, overheard

if TYPE_CHECKING:
    from distributed import Client, Future

# How often a task is handed out again that ended with an OSError: shared disks have moments.
_RETRIES = 2
# Seconds for which the number of workers, which come and go, counts as known; and without a result until it is looked
# whether there is any.
_KNOWN, _PATIENCE = 2.0, 20.0


@contextmanager
def dask_workers(address: str, folder: Path, mixed_processors: bool = False) -> Iterator[OrderedMap]:
    """Work by the workers of the scheduler at `address`; it is connected to when there is work. The cluster stays.

    folder: what the command writes in; workers must see it. mixed_processors: take workers with another processor than
    this machine's. Raises ImportError without the package distributed; at work ConnectionError where no scheduler
    answers, or none any more, ValueError for a worker that has threads or that `check_worker` refuses, BrokenExecutor
    for a task at which several workers died.
    """
    if find_spec("distributed") is None:
        raise ImportError('--scheduler: expected the package distributed (pip install "sppnet[dask]"), found none')
    with ExitStack() as stack:
        connect = cache(lambda: stack.enter_context(_connected(address, folder, mixed_processors)))
        yield lambda task, items: connect().compute(task, items)


@contextmanager
def _connected(address: str, folder: Path, mixed_processors: bool) -> Iterator[_Cluster]:
    from distributed import Client

    try:
        client = Client(address, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ConnectionError(
            f"--scheduler {address}: expected the address of a running Dask scheduler, such as tcp://HOST:8786, "
            f"got: {error}"
        ) from error
    with client, expected_of_workers(folder, mixed_processors) as expected:
        cluster = _Cluster(client, address, expected)
        there, has_dashboard = cluster.workers(), "dashboard" in client.scheduler_info()["services"]
        dashboard = f", dashboard {client.dashboard_link}" if has_dashboard else ""
        LOG.info(f"Dask: {there or 'no'} workers at {address}{dashboard}")
        yield cluster


class _Cluster(Executor):
    """What `ordered_map` hands tasks to."""

    def __init__(self, client: Client, address: str, expected: Expected) -> None:
        self._client, self._address, self._expected = client, address, expected
        self._known: tuple[float, int] = (-_KNOWN, 0)
        self._said: set[tuple[int, str]] = set()

    def compute(self, task: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """task(item) in the order of the items; workers' notices are said here, each once."""
        for outcome in over(self, lambda: max(self.workers(), 1))(task, items):
            for notice in outcome.notices:
                self._say(*notice)
            if outcome.error is not None:
                raise outcome.error
            yield outcome.result

    def submit(self, task: Callable[[Item], Any], item: Item, /) -> Any:
        """Hand a task to the cluster, as bytes: the scheduler unpickles what it is given, and has no need of torch."""
        import cloudpickle

        computed = cloudpickle.dumps(_Computed(task, self._expected, item))
        # A key of its own: with Dask's, of the content, what was done once would not be done again for other files.
        key = f"sppnet-{secrets.token_hex(8)}"
        return _Task(self._told(lambda: self._client.submit(pickle.loads, computed, key=key, retries=_RETRIES)), self)

    def workers(self) -> int:
        """How many tasks are worked on at a time: of the checked workers, one each."""
        asked, count = self._known
        if time.monotonic() - asked >= _KNOWN:
            count = len(self._told(self._client.nthreads))
            self._known = time.monotonic(), count
        return count

    def result(self, future: Future) -> Any:
        """The result of a task, which is waited for however long workers take to come."""
        while True:
            try:
                return self._told(lambda: future.result(timeout=_PATIENCE))
            except TimeoutError:
                if future.status == "error":
                    raise
                if not self.workers():
                    self._say(logging.INFO, f"Dask: no worker at {self._address}: waiting for one")

    def _say(self, level: int, text: str) -> None:
        if (level, text) not in self._said:
            self._said.add((level, text))
            LOG.log(level, text)

    def _told(self, ask: Callable[[], Any]) -> Any:
        """What the cluster answers; its own kinds of errors as those that any executor raises."""
        from distributed import KilledWorker
        from distributed.comm.core import CommClosedError

        try:
            return ask()
        except KilledWorker as error:
            raise BrokenExecutor(f"several at the same task, the last {error.last_worker.address}") from error
        except (CancelledError, CommClosedError) as error:
            raise ConnectionError(f"Dask: the connection to the scheduler at {self._address} was lost") from error
        except ImportError as error:
            message = (
                f"Dask: a worker at {self._address} lacks what the command has: {error}; install the same packages"
            )
            raise ImportError(message) from error


class _Task:
    """What `ordered_map` takes for a future."""

    def __init__(self, future: Future, cluster: _Cluster) -> None:
        self._future, self._cluster = future, cluster

    def result(self) -> Any:
        return self._cluster.result(self._future)

    def cancel(self) -> None:
        self._future.release()


class _Computed:
    """A task that is computed where it is unpickled: there it becomes its `_Outcome`."""

    def __init__(self, task: Callable[[Item], Result], expected: Expected, item: Item) -> None:
        self._given = task, expected, item

    def __reduce__(self) -> tuple[Callable, tuple]:
        return _compute, self._given


class _Outcome(NamedTuple):
    """What a task gave, or what it raised; notices: (level, text) of what it logged."""

    result: Any
    error: Exception | None
    notices: list[tuple[int, str]]


def _compute(task: Callable[[Item], Result], expected: Expected, item: Item) -> _Outcome:
    """A task, in a worker. Of what it raises an OSError alone is Dask's to try again: all else is an answer."""
    with overheard(logging.INFO) as notices:
        try:
            _check(expected)
            return _Outcome(task(item), None, notices)
        except OSError:
            raise
        except Exception as error:
            error.add_note(traceback.format_exc())
            return _Outcome(None, error, notices)


def _check(expected: Expected) -> None:
    """Refuse this worker before its first task, as `check_worker`, and where it has threads: they are a process's."""
    from distributed import get_worker

    worker = get_worker()
    if (threads := worker.state.nthreads) != 1:
        raise ValueError(
            f"Dask worker {worker.address}: expected one thread, got {threads}: start workers with --nthreads 1 (as "
            "many as there are processors with --nworkers), a LocalCluster with threads_per_worker=1"
        )
    check_worker(expected, f"Dask worker {worker.address}")
