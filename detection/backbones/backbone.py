"""The convolutional part of a network, cut after the last stage in use."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np
import torch
from torch import nn

from detection.backbones.networks import (
    cut_network,
    fill_buffers,
    load_weights,
    measure_shapes,
    network_spec,
    random_state,
    select_state,
    state_names,
)
from detection.backbones.receptive import effective_field, measure_offsets
from detection.backbones.receptive_layers import ReceptiveField, receptive_fields
from detection.backbones.spec import Stages
from detection.backbones.tokens import patch_centres, token_fields
from detection.engines import make_engine, resolve_engine
from detection.engines.folding import fold
from detection.storage import fingerprint

_FULL = ("fc6", "fc7", "fc8")
# Stands for what no forward pass reads, the number of batches that a batch norm has seen.
_NOTHING = np.zeros((), np.int64)


class Backbone(nn.Module):
    """A frozen network: a batch of normalised images -> the maps of its stages in use.

    name: see ``FeatureSettings.backbone``. stages: as the settings have them. strides: (T,) px. channels: (T,).
    offsets: (T, 2) float64 (y, x): the centre of cell (i, j) of stage t lies at offsets[t] + strides[t] * (i, j) in
    continuous px of the input. mean, std: of each RGB channel in grey levels 0..255; the input is (rgb - mean) / std.
    engine: name of what computes `forward`, never "auto"; `network` is torch's in any case.
    """

    def __init__(
        self,
        name: str,
        stages: Stages,
        state: Mapping[str, np.ndarray],
        device: str = "cpu",
        offsets: np.ndarray | None = None,
        fused: bool = True,
        engine: str = "torch",
    ) -> None:
        """Build from weights at hand: nothing is downloaded.

        state: the network's state dict as float32 arrays, whole or as `state()` gave it. offsets: as a backbone of the
        same name and stages told them, or None to find them. fused: fold batch norms (the same function with less
        work). engine: see ``FeatureSettings.engine``. Raises ValueError for an unknown name or stage, a state dict
        that does not fit, or an engine that is not installed, or not for this device or network.
        """
        super().__init__()
        self.engine = resolve_engine(engine, device)
        spec = network_spec(name)
        cut = cut_network(spec, tuple(stages))
        self.name, self.stages, self.strides = name, tuple(stages), spec.strides(stages)
        self.mean, self.std = spec.mean, spec.std
        # Fully connected layers may lie beside ZF-5's convolutions.
        whole = {*spec.network.state_dict(), *(f"{fc}.{part}" for fc in _FULL for part in ("weight", "bias"))}
        self._state = select_state(state, state_names(cut), whole, f"weights of {name!r}")
        # Assigned: filling empty tensors in place of the meta device's makes torch import a computer algebra system.
        weights = {key: torch.from_numpy(self._state.get(key, _NOTHING)).clone() for key in cut.state_dict()}
        fill_buffers(cut)
        cut.load_state_dict(weights, assign=True)
        cut.requires_grad_(False)
        if offsets is None:
            offsets = patch_centres(self.strides) if spec.has_tokens else measure_offsets(cut, self.strides)
        self.offsets = np.asarray(offsets, np.float64)
        self.network = (fold(cut) if fused else cut).to(device, memory_format=torch.channels_last)
        shapes = measure_shapes(name, self.strides, self.network)
        self.channels = tuple(shape.channels for shape in shapes)
        self._compute = make_engine(self.engine, self.network, max(self.strides))
        self.eval()

    @classmethod
    def from_weights(cls, name: str, stages: Stages, weights: str, seed: int = 0, **options) -> Backbone:
        """Build with the weights that `weights` names (see ``FeatureSettings.weights``)."""
        if weights == "random":
            state = random_state(cut_network(network_spec(name), tuple(stages)), seed)
        else:
            state = load_weights(name, weights)
        return cls(name, stages, state, **options)

    @torch.inference_mode()
    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(N, 3, H, W) float32 normalised -> T maps (N, C_t, h_t, w_t) float32, h_t = H / stride_t (alexnet: - 1).

        H and W must be multiples of the largest stride, else ValueError: offsets are constant only then.
        """
        multiple = max(self.strides)
        if images.shape[2] % multiple or images.shape[3] % multiple:
            raise ValueError(f"backbone: expected sides that are multiples of {multiple}, got {tuple(images.shape)}")
        return self._compute(images)

    def state(self) -> dict[str, np.ndarray]:
        """All that `Backbone` needs to be built again, as float32 arrays: the weights before folding."""
        return dict(self._state)

    def receptive_fields(self) -> tuple[ReceptiveField, ...]:
        """What a cell of every stage sees, by the network's layers. Raises ValueError for layers of unknown reach."""
        spec = network_spec(self.name)
        if spec.has_tokens:
            return token_fields(self.strides)
        # Of the network before folding, which makes some kernels larger by zeros.
        return receptive_fields(cut_network(spec, self.stages), self.strides)

    def effective_field(self, stage: int, share: float = 0.95) -> ReceptiveField:
        """The square around a cell's centre that holds `share` of its gradient's energy: see `effective_field`."""
        return effective_field(self.network, self.receptive_fields(), stage, self.offsets[stage], share)

    @cached_property
    def weights_fingerprint(self) -> str:
        """16 hex digits of the weights in use."""
        return fingerprint(self._state)
