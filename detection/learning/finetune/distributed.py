"""The processes that fine-tune together: one, or those that torchrun started."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist

Result = TypeVar("Result")

# The first process may make proposals and maps for days before the others go on.
_PATIENCE = timedelta(days=14)


@dataclass(frozen=True)
class Group:
    """rank: of this process. size: how many there are. device: where this one computes."""

    rank: int = 0
    size: int = 1
    device: str = "cpu"

    def sum(self, *tensors: torch.Tensor) -> None:
        """Replace each tensor by its sum over the processes, equal in all of them."""
        if self.size > 1:
            for one in tensors:
                dist.all_reduce(one)

    def gather(self, tensor: torch.Tensor) -> list[torch.Tensor]:
        """The processes' tensors of one shape, by rank, on the CPU."""
        if self.size == 1:
            return [tensor.cpu()]
        # nccl moves device memory alone.
        mine = tensor.to(self.device)
        found = [torch.empty_like(mine) for _ in range(self.size)]
        dist.all_gather(found, mine)
        return [one.cpu() for one in found]

    def barrier(self) -> None:
        """Wait for all processes."""
        if self.size > 1:
            dist.barrier()

    def first_then_all(self, task: Callable[[], Result]) -> Result:
        """`task` in the first process, then in the others: for work whose result on disk all of them need."""
        if self.rank == 0:
            result = task()
        self.barrier()
        if self.rank > 0:
            result = task()
        return result


@contextmanager
def process_group(device: str) -> Iterator[Group]:
    """The group that torchrun's environment describes; without it, this process alone.

    device: "cpu" (gloo) or "cuda" (nccl; each process takes the GPU of its local rank).
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Group(device=device)
        return
    on_gpu = device.startswith("cuda")
    if on_gpu:
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    store, rank, size = next(dist.rendezvous("env://"))
    named = dist.PrefixStore("group", store)
    backend = "nccl" if on_gpu else "gloo"
    dist.init_process_group(backend, store=named, rank=rank, world_size=size, timeout=_PATIENCE)
    try:
        yield Group(rank, size, device)
        # Wait for all: a process that still reads what the last operation sent dies of a closed line.
        store.set(f"through/{rank}", "yes")
        store.wait([f"through/{other}" for other in range(size)], _PATIENCE)
    finally:
        dist.destroy_process_group()
