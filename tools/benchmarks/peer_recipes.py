"""Recipes of torchvision's references/detection, cut to what two cores can do in minutes.

What a recipe's settings do not name is as in the reference: SGD with momentum, a rate that grows with the batch and
warms up, horizontal flips, batches of portraits or of landscapes alone, photos with objects alone.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

from benchmarks.peer_networks import faster_rcnn, ssdlite
from torch import nn
from torchvision.transforms import v2

from detection.learning.ranges import check_ranges

_WARM_UP_STEPS, _FIRST_RATE = 1000, 1e-3
# Where the rate of Faster R-CNN falls, as parts of all steps (epochs 16 and 22 of 26), and to which part of it.
_DROPS, _DROP = (16 / 26, 22 / 26), 0.1


@dataclass(frozen=True)
class Recipe:
    """How a peer is built and trained: what every kind of them, a class below, has.

    name: of the peer, and of the options of its settings. least_batch: images of a step, so that batch norms that learn
    have something to average over. augmentation: what is done to photos, in order.
    """

    name: ClassVar[str]
    least_batch: ClassVar[int] = 1
    augmentation: ClassVar[tuple[nn.Module, ...]] = (v2.RandomHorizontalFlip(0.5),)
    batch: int
    side: int
    image_rate: float
    weight_decay: float
    warm_up: float
    frozen_groups: int

    def __post_init__(self) -> None:
        if self.batch < self.least_batch:
            raise ValueError(f"{self.name}.batch: expected at least {self.least_batch}, got {self.batch}")
        ranges = {"> 0": ("image_rate",), ">= 0": ("weight_decay", "frozen_groups"), "0 .. 1": ("warm_up",)}
        check_ranges(f"{self.name}.", vars(self), {**ranges, ">= 1": ("side",)})

    def network(self, backbone: str, classes: int) -> nn.Module:
        """The untrained detector of so many classes, with the ImageNet weights of `backbone`."""
        raise NotImplementedError

    def fall(self, part: float) -> float:
        """Factor of the learning rate when `part` of all steps is done, 0 .. 1."""
        raise NotImplementedError

    def rate(self, step: int, steps: int, steps_an_epoch: int) -> float:
        """Learning rate of a step, counted from 0, of `steps`."""
        warm_up = min(_WARM_UP_STEPS, steps_an_epoch, self.warm_up * steps)
        warmth = _FIRST_RATE + (1 - _FIRST_RATE) * step / warm_up if step < warm_up else 1.0
        return self.image_rate * self.batch * warmth * self.fall(step / steps)


@dataclass(frozen=True)
class FasterRCNNRecipe(Recipe):
    """Faster R-CNN with a feature pyramid: batch norms and early layers are frozen, and the rate falls twice.

    Args:
        batch: images of a step. Reference: 16 (8 GPUs with 2 each).
        side: px of an image's short side; the long one has at most twice as many. Reference: 800, and 320 for small
            networks.
        image_rate: learning rate for each image of a batch. Reference: 0.02 for 16.
        weight_decay: as in the reference.
        warm_up: largest part of all steps in which the rate warms up. Reference: 1,000 steps, but no more than an
            epoch; of a short training that is too much.
        frozen_groups: the stem and so many groups of the backbone's blocks are not trained, 3 to stride 8; 0: all is.
            Reference: to stride 4, and to 8 for MobileNet.
        regions: proposals of an image that the head learns from in a step. Reference: 512, which takes three times as
            long a step; the paper (arXiv 1506.01497) has 128.
    """

    name: ClassVar[str] = "faster_rcnn"
    batch: int = 2
    side: int = 320
    image_rate: float = 0.02 / 16
    weight_decay: float = 1e-4
    warm_up: float = 0.1
    frozen_groups: int = 3
    regions: int = 128

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(f"{self.name}.", vars(self), {">= 1": ("regions",)})

    def network(self, backbone: str, classes: int) -> nn.Module:
        """See ``peer_networks``."""
        return faster_rcnn(backbone, classes, self.side, self.frozen_groups, self.regions)

    def fall(self, part: float) -> float:
        """A tenth, and a tenth again."""
        return _DROP ** sum(part >= one for one in _DROPS)


@dataclass(frozen=True)
class SSDLiteRecipe(Recipe):
    """SSDlite: everything learns, batch norms too; crops are random, and the rate falls as a cosine.

    Args:
        batch: images of a step, at least 2. Reference: 192 (8 GPUs with 24 each).
        side: px of both sides, to which every image is brought. Reference: 320.
        image_rate: learning rate for each image of a batch. Reference: 0.15 for 192.
        weight_decay: as in the reference.
        warm_up: as for Faster R-CNN.
        frozen_groups: as for Faster R-CNN. Reference: 0.
    """

    name: ClassVar[str] = "ssdlite"
    least_batch: ClassVar[int] = 2
    augmentation: ClassVar[tuple[nn.Module, ...]] = (v2.RandomIoUCrop(), *Recipe.augmentation)
    batch: int = 8
    side: int = 320
    image_rate: float = 0.15 / 192
    weight_decay: float = 4e-5
    warm_up: float = 0.1
    frozen_groups: int = 0

    def network(self, backbone: str, classes: int) -> nn.Module:
        """See ``peer_networks``."""
        return ssdlite(backbone, classes, self.side, self.frozen_groups)

    def fall(self, part: float) -> float:
        """A half cosine from 1 to 0."""
        return (1 + math.cos(math.pi * part)) / 2
