"""Torchvision's networks, with the first weights that it published: those of the literature's numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch

from detection.backbones.spec import IMAGENET_MEAN, IMAGENET_STD, NetworkSpec

if TYPE_CHECKING:
    from torchvision.models import WeightsEnum

# Module whose output is a stage -> stride in px. The ReLU that ends a stage belongs to it.
_RESNET_STAGES = {"layer1": 4, "layer2": 8, "layer3": 16, "layer4": 32}
_STAGES = {
    "alexnet": {"features.11": 16},
    "vgg16": {"features.8": 2, "features.15": 4, "features.22": 8, "features.29": 16},
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


def weights_source(name: str) -> str:
    """What to fetch by hand where there is no network."""
    return published_file(name)[0]


def _published(name: str) -> WeightsEnum:
    import torchvision

    return torchvision.models.get_model_weights(name)["IMAGENET1K_V1"]
