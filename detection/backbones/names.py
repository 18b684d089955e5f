"""Names of the networks on offer; no torch, so that settings can be checked without it."""

from __future__ import annotations

# Networks whose ImageNet weights come from the package index, see `packaged_weights`.
PACKAGED_BACKBONES = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
BUILT_IN_BACKBONES = (*PACKAGED_BACKBONES, "alexnet", "vgg16", "zf5", "zf5_released", "resnet18", "resnet50")
TIMM_PREFIX = "timm/"
# Networks whose own fc6 and fc7 are on offer.
HEAD_BACKBONES = ("alexnet", "vgg16")
