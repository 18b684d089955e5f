"""fc6 and fc7 of the networks that have them, on pooled vectors."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from detection.features.networks import network_spec, random_state, select_state, state_names
from detection.features.settings import HEAD_BACKBONES, FeatureSettings

# Level of the pyramid that has the bins of the pooling before fc6, and where fc6 and fc7 lie in torchvision.
_TRAINED_LEVEL = {"alexnet": 6, "vgg16": 7}
_LAYERS = {
    "alexnet": {"fc6": "classifier.1", "fc7": "classifier.4"},
    "vgg16": {"fc6": "classifier.0", "fc7": "classifier.3"},
}
# Rows multiplied at a time: the last block is filled up with zeros, so that a row's bits never depend on how
# many windows an image has.
_BLOCK_ROWS = 256


def check_head_settings(settings: FeatureSettings) -> None:
    """Raise ValueError where fc6 or fc7 is asked for and stages or levels do not fit it."""
    if settings.layer == "pool5":
        return
    level = _TRAINED_LEVEL[settings.backbone]
    if level not in settings.levels:
        raise ValueError(
            f"levels: {settings.layer} of {settings.backbone} was trained on {level} x {level} bins, "
            f"expected {level} among the levels, got {settings.levels!r}"
        )
    if tuple(settings.stages) != (16,):
        raise ValueError(
            f"stages: {settings.layer} of {settings.backbone} reads stride 16 alone, got {settings.stages}"
        )


class Head:
    """fc6 and fc7 with their ReLU, as in prediction (no dropout).

    The level of the spatial pyramid that matches the network's own pooling (6 x 6 for alexnet, 7 x 7 for
    vgg16) takes the weights of fc6; the other levels have weight 0, and their products are left out.
    """

    def __init__(self, settings: FeatureSettings, channels: int, state: Mapping[str, np.ndarray]) -> None:
        """state: as `state()` gave it. Raises ValueError where it does not fit."""
        level = _TRAINED_LEVEL[settings.backbone]
        before = settings.levels[: settings.levels.index(level)]
        self._start = channels * sum(n * n for n in before)
        self._stop = self._start + channels * level * level
        self._pooled_length = channels * sum(n * n for n in settings.levels)
        shapes = _shapes(settings.backbone)
        if shapes["fc6.weight"][1] != self._stop - self._start:
            raise ValueError(f"head: fc6 expects {shapes['fc6.weight'][1]} values, got {self._stop - self._start}")
        selected = select_state(state, shapes, set(), f"head weights of {settings.backbone!r}")
        self._tensors = {name: torch.from_numpy(value) for name, value in selected.items()}
        self._last = settings.layer

    @classmethod
    def random(cls, settings: FeatureSettings, channels: int) -> Head:
        """An untrained head of the settings' seed."""
        whole = random_state(network_spec(settings.backbone).network.classifier, settings.seed)
        return cls(settings, channels, _rename({f"classifier.{k}": v for k, v in whole.items()}, settings.backbone))

    @classmethod
    def from_network(cls, settings: FeatureSettings, channels: int, state: Mapping[str, np.ndarray]) -> Head:
        """From the state dict of the whole network (torchvision's names)."""
        return cls(settings, channels, _rename(state, settings.backbone))

    def to(self, device: str) -> Head:
        """Move to a device; returns itself."""
        self._tensors = {name: value.to(device) for name, value in self._tensors.items()}
        return self

    def state(self) -> dict[str, np.ndarray]:
        """fc6.weight, fc6.bias, fc7.weight, fc7.bias as float32 arrays."""
        return {name: value.cpu().numpy() for name, value in self._tensors.items()}

    def length(self, layer: str) -> int:
        """Length of the vectors of "fc6" or "fc7"."""
        return len(self._tensors[f"{layer}.bias"])

    @torch.inference_mode()
    def __call__(self, pooled: np.ndarray, layer: str) -> np.ndarray:
        """(R, D) float32 pooled vectors -> (R, length) float32 of `layer`, all >= 0."""
        if pooled.shape[1:] != (self._pooled_length,):
            raise ValueError(f"head: expected pooled vectors of length {self._pooled_length}, got {pooled.shape}")
        values = np.empty((len(pooled), self.length(layer)), np.float32)
        for start in range(0, len(pooled), _BLOCK_ROWS):
            rows = pooled[start : start + _BLOCK_ROWS, self._start : self._stop]
            values[start : start + len(rows)] = self._block(rows, layer)
        return values

    def _block(self, rows: np.ndarray, layer: str) -> np.ndarray:
        block = np.zeros((_BLOCK_ROWS, rows.shape[1]), np.float32)
        block[: len(rows)] = rows
        hidden = torch.from_numpy(block).to(self._tensors["fc6.weight"].device)
        for name in ("fc6", "fc7")[: 1 if layer == "fc6" else 2]:
            hidden = torch.relu_(
                torch.nn.functional.linear(hidden, self._tensors[f"{name}.weight"], self._tensors[f"{name}.bias"])
            )
        return hidden[: len(rows)].cpu().numpy()


def _shapes(backbone: str) -> dict[str, tuple[int, ...]]:
    return dict(_renamed_items(state_names(network_spec(backbone).network), backbone))


def _rename(state: Mapping[str, np.ndarray], backbone: str) -> dict[str, np.ndarray]:
    return dict(_renamed_items(state, backbone))


def _renamed_items(state: Mapping, backbone: str):
    if backbone not in HEAD_BACKBONES:
        raise ValueError(f"layer: fc6 and fc7 exist for {' and '.join(HEAD_BACKBONES)}, got backbone {backbone!r}")
    for layer, path in _LAYERS[backbone].items():
        for part in ("weight", "bias"):
            if f"{path}.{part}" in state:
                yield f"{layer}.{part}", state[f"{path}.{part}"]
