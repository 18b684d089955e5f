"""torchvision's Faster R-CNN and SSDlite over an EfficientNet-Lite with its ImageNet weights; no part has seen COCO."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import torch
from torch import nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator, DefaultBoxGenerator
from torchvision.models.detection.ssd import SSD
from torchvision.models.detection.ssdlite import SSDLiteHead
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool
from torchvision.ops.misc import Conv2dNormActivation

from detection.backbones.lite import LITE_MEAN, LITE_STD, published_weights
from detection.backbones.networks import cut_network, measure_shapes, network_spec

# Modules whose outputs a detector takes -> stride in px. Faster R-CNN: a pyramid on the maps that this package pools,
# and a third one of half their size, as torchvision has it for MobileNet: a map of a finer stride would cost most of
# the time on a CPU. SSDlite: as in MobileNet's papers, the wide layer with which the first block of stride 32 begins,
# and the last one.
_PYRAMID = {"blocks.4": 16, "blocks.6": 32}
_SINGLE_SHOT = {"blocks.5.0.act1": 16, "act2": 32}
# Modules before the groups of blocks.
_STEM = ("conv_stem.", "bn1.")
# torchvision takes images of 0..1.
_INPUT = {"image_mean": [one / 255 for one in LITE_MEAN], "image_std": [one / 255 for one in LITE_STD]}
_PYRAMID_CHANNELS = 256
_ANCHOR_SIDES, _ANCHOR_RATIOS = (32, 64, 128, 256, 512), (0.5, 1.0, 2.0)
_EXTRA_CHANNELS = (512, 256, 256, 128)


class LiteMaps(nn.Module):
    """An EfficientNet-Lite cut behind some modules: (N, 3, H, W) -> "0", "1", ... -> map (N, C, h, w).

    channels: of each map. frozen_groups: the stem and the first so many groups of blocks are not trained; 0: all is.
    freezes_norms: batch norms keep the statistics and factors of ImageNet.
    """

    def __init__(self, name: str, modules: Mapping[str, int], frozen_groups: int, freezes_norms: bool) -> None:
        super().__init__()
        cut = cut_network(replace(network_spec(name), stages=modules), tuple(modules)).to_empty(device="cpu")
        weights = published_weights(name)
        cut.load_state_dict({key: weights[key] for key in cut.state_dict()})
        self.channels = [one.channels for one in measure_shapes(name, tuple(modules.values()), cut)]
        self.body, self._freezes_norms = cut, freezes_norms
        frozen = (*_STEM, *(f"blocks.{group}." for group in range(frozen_groups))) if frozen_groups else ()
        for key, value in cut.named_parameters():
            value.requires_grad_(not key.startswith(frozen))
        for norm in self._norms() if freezes_norms else ():
            norm.requires_grad_(False)

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """See the class."""
        return {str(place): one for place, one in enumerate(self.body(images))}

    def train(self, mode: bool = True) -> "LiteMaps":
        """As every module's; frozen batch norms stay as they are."""
        super().train(mode)
        for norm in self._norms() if self._freezes_norms else ():
            norm.eval()
        return self

    def _norms(self) -> list[nn.BatchNorm2d]:
        return [one for one in self.body.modules() if isinstance(one, nn.BatchNorm2d)]


class _Pyramid(nn.Module):
    """The maps of a Lite, joined from the coarsest down, and one more by every second cell of the coarsest."""

    def __init__(self, maps: LiteMaps) -> None:
        super().__init__()
        self.maps, self.out_channels = maps, _PYRAMID_CHANNELS
        self.fpn = FeaturePyramidNetwork(maps.channels, self.out_channels, LastLevelMaxPool())

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        return self.fpn(self.maps(images))


class _SingleShotMaps(nn.Module):
    """The maps of a Lite, and four more, each of half the side of the one before."""

    def __init__(self, maps: LiteMaps, norm: partial) -> None:
        super().__init__()
        self.maps, self.channels = maps, [*maps.channels, *_EXTRA_CHANNELS]
        pairs = zip(self.channels[1:], _EXTRA_CHANNELS, strict=False)
        self.extra = nn.ModuleList(_halving(inputs, outputs, norm) for inputs, outputs in pairs)

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        found = self.maps(images)
        last = found["1"]
        for block in self.extra:
            last = block(last)
            found[str(len(found))] = last
        return found


def _halving(inputs: int, outputs: int, norm: partial) -> nn.Sequential:
    layer, narrow = partial(Conv2dNormActivation, norm_layer=norm, activation_layer=nn.ReLU6), outputs // 2
    block = nn.Sequential(
        layer(inputs, narrow, 1), layer(narrow, narrow, 3, 2, groups=narrow), layer(narrow, outputs, 1)
    )
    for one in block.modules():
        if isinstance(one, nn.Conv2d):
            nn.init.normal_(one.weight, std=0.03)
    return block


def faster_rcnn(backbone: str, classes: int, side: int, frozen_groups: int, regions: int) -> FasterRCNN:
    """Faster R-CNN with a feature pyramid.

    side: px of an image's short side; the long one has at most twice as many. regions: proposals of an image that the
    head learns from at a time. Anchors, and how many proposals are kept, as in torchvision's for MobileNet at 320 px.
    """
    maps = LiteMaps(backbone, _PYRAMID, frozen_groups, freezes_norms=True)
    levels = len(_PYRAMID) + 1
    return FasterRCNN(
        _Pyramid(maps),
        classes + 1,
        min_size=side,
        max_size=2 * side,
        rpn_anchor_generator=AnchorGenerator((_ANCHOR_SIDES,) * levels, (_ANCHOR_RATIOS,) * levels),
        rpn_pre_nms_top_n_test=150,
        rpn_post_nms_top_n_test=150,
        rpn_score_thresh=0.05,
        box_batch_size_per_image=regions,
        box_roi_pool=MultiScaleRoIAlign([str(place) for place in range(len(_PYRAMID))], 7, 2),
        **_INPUT,
    )


def ssdlite(backbone: str, classes: int, side: int, frozen_groups: int) -> SSD:
    """SSDlite; side: px of both sides, to which every image is brought. Batch norms are trained."""
    norm = partial(nn.BatchNorm2d, eps=0.001, momentum=0.03)
    maps = LiteMaps(backbone, _SINGLE_SHOT, frozen_groups, freezes_norms=False)
    for one in maps.modules():
        if isinstance(one, nn.BatchNorm2d):
            one.momentum = norm.keywords["momentum"]
    features = _SingleShotMaps(maps, norm)
    boxes = DefaultBoxGenerator([[2, 3]] * len(features.channels), min_ratio=0.2, max_ratio=0.95)
    return SSD(
        features,
        boxes,
        (side, side),
        classes + 1,
        head=SSDLiteHead(features.channels, boxes.num_anchors_per_location(), classes + 1, norm),
        score_thresh=0.001,
        nms_thresh=0.55,
        detections_per_img=300,
        topk_candidates=300,
        **_INPUT,
    )
