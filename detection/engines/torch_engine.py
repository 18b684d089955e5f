"""PyTorch as it comes, on any of its devices."""

import torch
from torch import nn


class TorchEngine:
    """A network run eagerly, channels last. Its last bits depend on the number of torch's threads."""

    name = "torch"

    def __init__(self, network: nn.Module, size_multiple: int) -> None:
        self._network = network

    @torch.inference_mode()
    def __call__(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """See ``Engine``. Weights that are loaded into the network later count."""
        return self._network(images.contiguous(memory_format=torch.channels_last))
