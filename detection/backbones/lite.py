"""EfficientNet-Lite: the networks that need no library beside torch (Tan and Le, arXiv 1905.11946; the variants are
those of tensorflow/tpu, models/official/efficientnet/lite).

Written here because importing timm takes longer than everything else a saved detector needs to start. Modules have the
names and the order that they have in timm's tf_efficientnet_liteN, so a state dict of either fits the other, and the
values are the same bit for bit.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

from detection.backbones.packaged import packaged_weights
from detection.backbones.spec import NetworkSpec

# The input is (rgb - mean) / std.
LITE_MEAN = (127.5, 127.5, 127.5)
LITE_STD = (127.5, 127.5, 127.5)
# Module whose output is a stage -> stride in px.
LITE_STAGES = {"blocks.0": 2, "blocks.1": 4, "blocks.2": 8, "blocks.4": 16, "blocks.6": 32}
# Factors of channels and of blocks a group.
_FACTORS = {"efficientnet_lite0": (1.0, 1.0), "efficientnet_lite1": (1.0, 1.1), "efficientnet_lite2": (1.1, 1.2)}

_STEM, _HEAD, _CLASSES = 32, 1280, 1000
# Numbers of channels are multiples of this, and never less than this part of what the factor asks for.
_CHANNEL_MULTIPLE, _LEAST_SHARE = 8, 0.9
_NORM_EPSILON = 1e-3


class _Group(NamedTuple):
    """Blocks of one width; the first has the stride. Expansion 1: no convolution before the depthwise one."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int


_GROUPS = (
    _Group(1, 3, 1, 1, 16),
    _Group(2, 3, 2, 6, 24),
    _Group(2, 5, 2, 6, 40),
    _Group(3, 3, 2, 6, 80),
    _Group(3, 5, 1, 6, 112),
    _Group(4, 5, 2, 6, 192),
    _Group(1, 3, 1, 6, 320),
)


class Conv2dSame(nn.Conv2d):
    """TensorFlow's SAME padding: as many cells as the stride goes into the input, the odd one at the end."""

    is_traced_whole = True  # its code asks for the size of its input

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> (N, C', ceil(H / stride), ceil(W / stride))."""
        pads = []
        for length, kernel, stride in zip(x.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True):
            total = max((math.ceil(length / stride) - 1) * stride + kernel - length, 0)
            pads += [total // 2, total - total // 2]
        return functional.conv2d(functional.pad(x, pads), self.weight, self.bias, self.stride, 0, 1, self.groups)


def _depthwise(channels: int, kernel: int, stride: int) -> nn.Conv2d:
    if stride == 1:
        return nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels, bias=False)
    return Conv2dSame(channels, channels, kernel, stride, groups=channels, bias=False)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=_NORM_EPSILON)


class _FirstBlock(nn.Module):
    """Depthwise, then pointwise convolution."""

    def __init__(self, inputs: int, group: _Group, outputs: int) -> None:
        super().__init__()
        self.conv_dw, self.bn1 = _depthwise(inputs, group.kernel, group.stride), _norm(inputs)
        self.act1 = nn.ReLU6(inplace=True)
        self.conv_pw, self.bn2 = nn.Conv2d(inputs, outputs, 1, bias=False), _norm(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) -> (N, C', h, w)."""
        return self.bn2(self.conv_pw(self.act1(self.bn1(self.conv_dw(x)))))


class _Block(nn.Module):
    """Pointwise convolution to more channels, depthwise one, pointwise one to few; the input added where it fits."""

    def __init__(self, inputs: int, group: _Group, stride: int, outputs: int) -> None:
        super().__init__()
        wide = inputs * group.expansion
        self.conv_pw, self.bn1 = nn.Conv2d(inputs, wide, 1, bias=False), _norm(wide)
        self.act1 = nn.ReLU6(inplace=True)
        self.conv_dw, self.bn2 = _depthwise(wide, group.kernel, stride), _norm(wide)
        self.act2 = nn.ReLU6(inplace=True)
        self.conv_pwl, self.bn3 = nn.Conv2d(wide, outputs, 1, bias=False), _norm(outputs)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) -> (N, C', ceil(h / stride), ceil(w / stride))."""
        wide = self.act1(self.bn1(self.conv_pw(x)))
        narrow = self.bn3(self.conv_pwl(self.act2(self.bn2(self.conv_dw(wide)))))
        return narrow + x if self.adds else narrow


class EfficientNetLite(nn.Module):
    """Whole network of one of ``names.PACKAGED_BACKBONES``, with the classifier that published state dicts have."""

    def __init__(self, name: str) -> None:
        super().__init__()
        width, depth = _FACTORS[name]
        self.conv_stem, self.bn1 = Conv2dSame(3, _STEM, 3, 2, bias=False), _norm(_STEM)
        self.act1 = nn.ReLU6(inplace=True)
        self.blocks = nn.Sequential()
        inputs = _STEM
        for number, group in enumerate(_GROUPS):
            outputs = _channels(group.channels * width)
            # The first and the last group are never deepened.
            ends = number in (0, len(_GROUPS) - 1)
            blocks = group.blocks if ends else math.ceil(group.blocks * depth)
            self.blocks.append(_group(inputs, group, blocks, outputs))
            inputs = outputs
        self.conv_head, self.bn2 = nn.Conv2d(inputs, _HEAD, 1, bias=False), _norm(_HEAD)
        self.act2 = nn.ReLU6(inplace=True)
        self.classifier = nn.Linear(_HEAD, _CLASSES)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) normalised -> logits (N, 1000)."""
        maps = self.blocks(self.act1(self.bn1(self.conv_stem(images))))
        return self.classifier(self.act2(self.bn2(self.conv_head(maps))).mean((2, 3)))


def _group(inputs: int, group: _Group, blocks: int, outputs: int) -> nn.Sequential:
    if group.expansion == 1:
        return nn.Sequential(_FirstBlock(inputs, group, outputs))
    first = _Block(inputs, group, group.stride, outputs)
    return nn.Sequential(first, *(_Block(outputs, group, 1, outputs) for _ in range(blocks - 1)))


def _channels(wanted: float) -> int:
    rounded = max(_CHANNEL_MULTIPLE, int(wanted + _CHANNEL_MULTIPLE / 2) // _CHANNEL_MULTIPLE * _CHANNEL_MULTIPLE)
    return rounded if rounded >= _LEAST_SHARE * wanted else rounded + _CHANNEL_MULTIPLE


def network_spec(name: str) -> NetworkSpec:
    """One of ``names.PACKAGED_BACKBONES``, without weights."""
    with torch.device("meta"):
        network = EfficientNetLite(name)
    return NetworkSpec(name, network.eval(), LITE_STAGES, LITE_MEAN, LITE_STD)


def published_weights(name: str) -> Mapping[str, torch.Tensor]:
    """Its state dict, of an installed package: see `packaged_weights`."""
    return packaged_weights(name, network_spec(name).network.state_dict())
