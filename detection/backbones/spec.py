"""What a network is before it is cut."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

# Grey levels: the means and deviations of ImageNet that torchvision's networks were trained with.
IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)


@dataclass(frozen=True)
class NetworkSpec:
    """A whole network on the meta device: what it is before cutting.

    stages: stride in px -> path of the module whose output is that stage. mean, std: of each RGB channel,
    in grey levels 0..255; the input is (rgb - mean) / std.
    """

    name: str
    network: nn.Module
    stages: Mapping[int, str]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
