"""Plain vision transformers of timm: the tokens of patches laid out as maps."""

import copy
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from detection.backbones.receptive_layers import WHOLE, ReceptiveField

# Behind a block's name: its tokens through the network's last norm, as timm's ``forward_intermediates(norm=True)`` has.
NORM_SUFFIX = ".norm"


def token_stages(network: nn.Module) -> dict[str, int]:
    """Stages of a transformer: blocks.N, and blocks.N.norm where it has a last norm -> side of a patch in px.

    The last of all, which the stride alone stands for, is the network's own output.
    """
    blocks = {info["module"]: int(info["reduction"]) for info in network.feature_info}
    if isinstance(network.norm, nn.Identity):
        return blocks
    return blocks | {name + NORM_SUFFIX: stride for name, stride in blocks.items()}


def patch_centres(strides: Sequence[int]) -> np.ndarray:
    """(T, 2) float64: the centre (y, x) of the first patch of every stage, in px of the network's input."""
    return np.repeat(np.array(strides, np.float64)[:, None] / 2, 2, axis=1)


def token_fields(strides: Sequence[int]) -> tuple[ReceptiveField, ...]:
    """What a token of every stage sees: by attention the whole image."""
    return tuple(ReceptiveField(WHOLE.low, WHOLE.high, stride) for stride in strides)


@contextmanager
def _symbolic_sizes(rope: nn.Module | None) -> Iterator[None]:
    """While a network is exported: sides of a map stay symbols where timm's rotary positions divide by them.

    timm calls ``float`` on them, which makes constants of them.
    """
    if rope is None or not torch.compiler.is_compiling():
        yield
        return
    module = sys.modules[type(rope).__module__]
    module.float = lambda side: side
    try:
        yield
    finally:
        del module.float


class TokenMaps(nn.Module):
    """A transformer without the blocks that its stages do not need: images -> a map of each stage.

    name: the backbone's. network: timm's, for images of any size (``dynamic_img_size``); left as it is. stages: of
    `token_stages`. Names of weights are the network's own.
    """

    def __init__(self, name: str, network: nn.Module, stages: Sequence[str]) -> None:
        super().__init__()
        self.name, self.stages = name, tuple(stages)
        numbers = [int(name.removesuffix(NORM_SUFFIX).rpartition(".")[2]) for name in self.stages]
        self.blocks, self.normed = tuple(numbers), tuple(name.endswith(NORM_SUFFIX) for name in self.stages)
        self.network = copy.deepcopy(network)
        self.network.prune_intermediate_layers(sorted(set(numbers)), prune_norm=not any(self.normed))

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(N, 3, H, W), sides multiples of the patch's -> T maps (N, C, H / patch, W / patch), channels last."""
        wanted = sorted(set(self.blocks))
        with _symbolic_sizes(getattr(self.network, "rope", None)):
            tokens = self.network.forward_intermediates(
                images, indices=wanted, stop_early=True, output_fmt="NLC", intermediates_only=True
            )
        found = dict(zip(wanted, tokens, strict=True))
        size = self.network.patch_embed.dynamic_feat_size(images.shape[2:])
        maps = []
        for block, normed in zip(self.blocks, self.normed, strict=True):
            values = self.network.norm(found[block]) if normed else found[block]
            maps.append(values.unflatten(1, size).permute(0, 3, 1, 2))
        return tuple(maps)

    def state_dict(self, *arguments: Any, **named: Any) -> dict[str, torch.Tensor]:
        """As ``nn.Module.state_dict``, under the names that the whole network has."""
        return self.network.state_dict(*arguments, **named)

    def load_state_dict(self, state: Mapping[str, torch.Tensor], *arguments: Any, **named: Any) -> Any:
        """As ``nn.Module.load_state_dict``, under the names that the whole network has."""
        return self.network.load_state_dict(state, *arguments, **named)

    @property
    def code(self) -> str:
        """What it computes beside its layers and weights, for keys of what is made from it."""
        import timm

        return f"timm {timm.__version__} {self.name} {' '.join(self.stages)}"
