"""How long a batch of fine-tuning takes on this machine, found by doing one."""

from __future__ import annotations

import time

import numpy as np
import torch
from torch.nn import functional

from detection.learning.finetune.network import Scaling, TrainedHead, initial_layers, optimiser_of
from detection.learning.finetune.settings import FinetuneSettings


def batch_seconds(length: int, num_classes: int, settings: FinetuneSettings, device: str = "cpu") -> float:
    """Seconds of one batch on made-up vectors of `length` values: forward, backward and step, the second of two."""
    scaling = Scaling(np.zeros(length), np.ones(length))
    network = TrainedHead(initial_layers(length, num_classes, settings), scaling, settings.dropout).to(device)
    optimiser = optimiser_of(network, settings)
    generator = torch.Generator(device).manual_seed(0)
    vectors = torch.rand((settings.batch_size, length), generator=generator, device=device)
    targets = torch.arange(settings.batch_size, device=device) % (num_classes + 1)
    seconds = 0.0
    for _ in range(2):
        start = time.perf_counter()
        optimiser.zero_grad()
        loss = functional.cross_entropy(network(vectors, generator), targets)
        loss.backward()
        optimiser.step()
        loss.item()  # waits for a GPU
        seconds = time.perf_counter() - start
    return seconds
