"""fc6 and fc7 on pooled vectors: a network's own, or fine-tuned ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from detection.features.networks import network_spec, random_state, read_state, select_state, state_names
from detection.features.settings import HEAD_BACKBONES, FeatureSettings

# Level of the pyramid that has the bins of the pooling before fc6, and where fc6 and fc7 lie in torchvision.
_TRAINED_LEVEL = {"alexnet": 6, "vgg16": 7}
_LAYERS = {
    "alexnet": {"fc6": "classifier.1", "fc7": "classifier.4"},
    "vgg16": {"fc6": "classifier.0", "fc7": "classifier.3"},
}
_NAMES = ("fc6.weight", "fc6.bias", "fc7.weight", "fc7.bias")
# Rows multiplied at a time: the last block is filled up with zeros, so that a row's bits never depend on how
# many windows an image has.
_BLOCK_ROWS = 256


def check_head_settings(settings: FeatureSettings) -> None:
    """Raise ValueError where the network's own fc6 or fc7 is asked for and stages or levels do not fit it."""
    if settings.layer == "pool5" or settings.head != "network":
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


def fits_network_head(settings: FeatureSettings) -> bool:
    """Whether the backbone has an fc6 and fc7 of its own and the settings pool the vectors that it reads."""
    level = _TRAINED_LEVEL.get(settings.backbone)
    return level is not None and level in settings.levels and tuple(settings.stages) == (16,)


def trained_columns(settings: FeatureSettings, channels: int) -> tuple[int, int]:
    """(first, last + 1) values of a pooled vector that the network's own fc6 reads: those of its level."""
    level = _TRAINED_LEVEL[settings.backbone]
    before = settings.levels[: settings.levels.index(level)]
    start = channels * sum(n * n for n in before)
    return start, start + channels * level * level


class Head:
    """fc6 and fc7 with their ReLU, as in prediction (no dropout).

    A network's own fc6 reads the level of the spatial pyramid that matches the network's own pooling (6 x 6 for
    alexnet, 7 x 7 for vgg16); the other levels have weight 0, and their products are left out. Any other fc6 reads
    whole pooled vectors, in the order that ``detection.features.spp`` states.
    """

    def __init__(self, settings: FeatureSettings, pooled_length: int, state: Mapping[str, np.ndarray]) -> None:
        """pooled_length: D. state: as `state()` gave it. Raises ValueError where it does not fit."""
        self._start, self._stop = 0, pooled_length
        if settings.head == "network":
            self._start, self._stop = trained_columns(settings, pooled_length // sum(n * n for n in settings.levels))
            shapes = _network_shapes(settings.backbone)
        else:
            shapes = _own_shapes(state, pooled_length)
        if shapes["fc6.weight"][1] != self._stop - self._start:
            raise ValueError(f"head: fc6 expects {shapes['fc6.weight'][1]} values, got {self._stop - self._start}")
        selected = select_state(state, shapes, set(state), f"head weights of {settings.backbone!r}")
        self._pooled_length = pooled_length
        self._tensors = {name: torch.from_numpy(value) for name, value in selected.items()}

    @classmethod
    def random(cls, settings: FeatureSettings, pooled_length: int) -> Head:
        """The untrained network's head of the settings' seed."""
        return cls(settings, pooled_length, random_head_state(settings))

    @classmethod
    def from_network(cls, settings: FeatureSettings, pooled_length: int, state: Mapping[str, np.ndarray]) -> Head:
        """From the state dict of the whole network (torchvision's names)."""
        return cls(settings, pooled_length, network_head_state(settings.backbone, state))

    @classmethod
    def from_file(cls, settings: FeatureSettings, pooled_length: int, path: Path | str) -> Head:
        """From a .safetensors or .pth file of fc6.weight (H6, D), fc6.bias, fc7.weight (H7, H6) and fc7.bias.

        Further layers may be there. Raises FileNotFoundError or ValueError, which name the file.
        """
        try:
            return cls(settings, pooled_length, read_state(Path(path)))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

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

    @torch.inference_mode()
    def gradient(self, pooled: np.ndarray, layer: str, weights: np.ndarray) -> np.ndarray:
        """How weights . head(pooled, layer) changes with each pooled value, (D,) float64.

        pooled: (D,) one vector. weights: (length,). Around the vector the head is linear, so that the sum of
        gradient x value and what the biases add is the score itself.
        """
        names = ("fc6", "fc7")[: 1 if layer == "fc6" else 2]
        hidden = [
            torch.from_numpy(np.array(pooled[None, self._start : self._stop])).to(self._tensors["fc6.bias"].device)
        ]
        for name in names:
            weight, bias = self._tensors[f"{name}.weight"], self._tensors[f"{name}.bias"]
            hidden.append(torch.relu_(torch.nn.functional.linear(hidden[-1], weight, bias)))
        back = torch.from_numpy(np.asarray(weights, np.float64)).to(hidden[0].device)
        for name, values in zip(reversed(names), reversed(hidden), strict=False):
            back = (back * (values[0] > 0)) @ self._tensors[f"{name}.weight"].double()
        result = np.zeros(self._pooled_length)
        result[self._start : self._stop] = back.cpu().numpy()
        return result

    def _block(self, rows: np.ndarray, layer: str) -> np.ndarray:
        block = np.zeros((_BLOCK_ROWS, rows.shape[1]), np.float32)
        block[: len(rows)] = rows
        hidden = torch.from_numpy(block).to(self._tensors["fc6.weight"].device)
        for name in ("fc6", "fc7")[: 1 if layer == "fc6" else 2]:
            hidden = torch.relu_(
                torch.nn.functional.linear(hidden, self._tensors[f"{name}.weight"], self._tensors[f"{name}.bias"])
            )
        return hidden[: len(rows)].cpu().numpy()


def _network_shapes(backbone: str) -> dict[str, tuple[int, ...]]:
    return dict(_renamed_items(state_names(network_spec(backbone).network), backbone))


def _own_shapes(state: Mapping[str, np.ndarray], pooled_length: int) -> dict[str, tuple[int, ...]]:
    """The shapes that layers of these widths have. Raises ValueError for layers of the wrong rank or absent ones."""
    missing = [name for name in _NAMES if name not in state]
    if missing:
        raise ValueError(
            f"head: expected {', '.join(_NAMES)}, missing keys {', '.join(missing)}; found {', '.join(state) or 'none'}"
        )
    widths = len(state["fc6.bias"]), len(state["fc7.bias"])
    shapes = ((widths[0], pooled_length), (widths[0],), (widths[1], widths[0]), (widths[1],))
    return dict(zip(_NAMES, shapes, strict=True))


def random_head_state(settings: FeatureSettings) -> dict[str, np.ndarray]:
    """The untrained network's fc6 and fc7 of the settings' seed, as ``Head.state`` names them."""
    whole = random_state(network_spec(settings.backbone).network.classifier, settings.seed)
    return network_head_state(settings.backbone, {f"classifier.{key}": value for key, value in whole.items()})


def network_head_state(backbone: str, state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """fc6 and fc7 out of the state dict of the whole network (torchvision's names), as ``Head.state`` names them."""
    return dict(_renamed_items(state, backbone))


def _renamed_items(state: Mapping, backbone: str):
    if backbone not in HEAD_BACKBONES:
        raise ValueError(f"layer: fc6 and fc7 exist for {' and '.join(HEAD_BACKBONES)}, got backbone {backbone!r}")
    for layer, path in _LAYERS[backbone].items():
        for part in ("weight", "bias"):
            if f"{path}.{part}" in state:
                yield f"{layer}.{part}", state[f"{path}.{part}"]
