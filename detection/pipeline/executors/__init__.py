"""Where images are worked on: in this process, in processes of this machine, on a cluster.

Each is an `OrderedMap`: called with a task and items as ``map`` is. A maker of one is a context manager, in a file of
its own; stages know no more of it than that.
"""

import os
from contextlib import AbstractContextManager
from pathlib import Path

from detection.parallel import OrderedMap
from detection.pipeline.executors.dask_cluster import dask_workers
from detection.pipeline.executors.processes import worker_processes

# What says where the scheduler is, where no option does; Dask's own tools read it too.
SCHEDULER_VARIABLE = "DASK_SCHEDULER_ADDRESS"


def opened_executor(
    workers: int, folder: Path, scheduler: str | None = None, mixed_processors: bool = False
) -> AbstractContextManager[OrderedMap]:
    """The executor of a command: the workers of the scheduler that is named, else `workers` processes; one: this one.

    folder: what the command writes in, see `dask_workers`, as for `mixed_processors`.
    """
    if address := scheduler_address(scheduler):
        return dask_workers(address, folder, mixed_processors)
    return worker_processes(workers)


def scheduler_address(option: str | None) -> str | None:
    """The address of the scheduler that the option or, without it, the environment names; None: nobody does."""
    return option or os.environ.get(SCHEDULER_VARIABLE) or None
