"""How long a batch of fine-tuning takes on this machine, found by doing some."""

from __future__ import annotations

import time

import numpy as np
import torch
from torch.nn import functional

from detection.learning.finetune.network import Scaling, TrainedHead, initial_layers, optimiser_of
from detection.learning.finetune.settings import FinetuneSettings


def batch_seconds(length: int, num_classes: int, settings: FinetuneSettings, device: str = "cpu") -> float:
    """Seconds of one batch on made-up vectors of `length` values: forward, backward and step, the second of two."""
    return batches(length, num_classes, settings, device, 2)[-1][0]


def batches(
    length: int, num_classes: int, settings: FinetuneSettings, device: str, count: int
) -> list[tuple[float, float]]:
    """(seconds, loss) of `count` batches of the same made-up vectors, one after the other."""
    scaling = Scaling(np.zeros(length), np.ones(length))
    network = TrainedHead(initial_layers(length, num_classes, settings), scaling, settings.dropout).to(device)
    optimiser = optimiser_of(network, settings)
    generator = torch.Generator(device).manual_seed(0)
    made_up = torch.rand((settings.batch_size, length), generator=torch.Generator().manual_seed(0))
    vectors, targets = made_up.to(device), torch.arange(settings.batch_size, device=device) % (num_classes + 1)
    done = []
    for _ in range(count):
        start = time.perf_counter()
        optimiser.zero_grad()
        loss = functional.cross_entropy(network(vectors, generator), targets)
        loss.backward()
        optimiser.step()
        value = loss.item()  # waits for a GPU
        done.append((time.perf_counter() - start, value))
    return done
