"""How many threads one process computes with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits


@contextmanager
def limit_threads(threads: int) -> Iterator[None]:
    """Compute with `threads` threads in this process while the block runs: torch, BLAS and OpenMP.

    Convolutions and matrix products differ in their last bits with the number of threads, so that it is part
    of what makes a run repeatable. Raises ValueError for fewer than 1.
    """
    if threads < 1:
        raise ValueError(f"threads: expected at least 1, got {threads}")
    before = torch.get_num_threads()
    with threadpool_limits(limits=threads):
        torch.set_num_threads(threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)
