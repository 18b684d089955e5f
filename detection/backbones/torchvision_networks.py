"""Torchvision's networks, with the first weights that it published: those of the literature's numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch

from detection.backbones.spec import IMAGENET_MEAN, IMAGENET_STD, NetworkSpec

if TYPE_CHECKING:
    from torchvision.models import WeightsEnum

# Stride in px -> module whose output is the stage. The ReLU that ends a stage belongs to it.
_RESNET_STAGES = {4: "layer1", 8: "layer2", 16: "layer3", 32: "layer4"}
_STAGES = {
    "alexnet": {16: "features.11"},
    "vgg16": {2: "features.8", 4: "features.15", 8: "features.22", 16: "features.29"},
    "resnet18": _RESNET_STAGES,
    "resnet50": _RESNET_STAGES,
}


def network_spec(name: str) -> NetworkSpec:
    """One of torchvision's networks, without weights."""
    import torchvision

    with torch.device("meta"):
        network = torchvision.models.get_model(name, weights=None)
    return NetworkSpec(name, network.eval(), _STAGES[name], IMAGENET_MEAN, IMAGENET_STD)


def published_weights(name: str) -> Mapping[str, torch.Tensor]:
    """Its state dict, fetched once. Raises URLError or OSError where it cannot be fetched."""
    return _published(name).get_state_dict(check_hash=True)


def published_file(name: str) -> tuple[str, int]:
    """(address, bytes to within 1 KiB) of the file of its state dict; the file's name ends with its SHA-256's start."""
    found = _published(name)
    return found.url, round(found.meta["_file_size"] * 2**20)


def _published(name: str) -> WeightsEnum:
    import torchvision

    return torchvision.models.get_model_weights(name)["IMAGENET1K_V1"]
