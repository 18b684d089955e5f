"""fc6 and fc7 on pooled vectors: a network's own, or fine-tuned ones; each as one matrix or as two thin ones.

A layer of weights W (outputs, inputs) may stand as `down` (rank, inputs) and `up` (outputs, rank) with W ~ up down and
no nonlinearity between (Fast R-CNN, section 3.1); ``detection.features.compression`` makes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from detection.backbones.names import HEAD_BACKBONES
from detection.backbones.networks import network_spec, random_state, read_state, select_state, state_names
from detection.engines import parallel_executor
from detection.features.settings import FeatureSettings

# Level of the pyramid that has the bins of the pooling before fc6, and where fc6 and fc7 lie in torchvision.
_TRAINED_LEVEL = {"alexnet": 6, "vgg16": 7}
_LAYERS = {
    "alexnet": {"fc6": "classifier.1", "fc7": "classifier.4"},
    "vgg16": {"fc6": "classifier.0", "fc7": "classifier.3"},
}
HEAD_LAYERS = ("fc6", "fc7")
# Rows multiplied at a time: the last block is filled up with zeros, so that a row's bits never depend on how
# many regions an image has.
_BLOCK_ROWS = 256
# Outputs of a product are filled up with zeros to a multiple of this: BLAS takes other paths for a handful of outputs
# (seen up to 10), on which a row's bits depend on its place in the block.
_OUTPUT_MULTIPLE = 16


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
    if settings.pooling != "max":
        raise ValueError(f"pooling: {settings.layer} of {settings.backbone} reads maxima, got {settings.pooling}")


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
    alexnet, 7 x 7 for vgg16); the other levels have weight 0, and their products are left out. So does the fc6 of a
    file that is as long as that level. Any other fc6 reads whole pooled vectors, in the order that
    ``detection.pooling.spp`` states.
    """

    def __init__(self, settings: FeatureSettings, pooled_length: int, state: Mapping[str, np.ndarray]) -> None:
        """pooled_length: D. state: as `state()` gave it. Raises ValueError where it does not fit."""
        check_head_names(state)
        self._start, self._stop = _columns(settings, pooled_length, state)
        widths = tuple(len(state[f"{name}.bias"]) for name in HEAD_LAYERS)
        if settings.head == "network":
            widths = _network_widths(settings.backbone)
        shapes = _shapes(state, self._stop - self._start, widths)
        selected = select_state(state, shapes, set(state), f"head weights of {settings.backbone!r}")
        self._pooled_length, self._shapes = pooled_length, shapes
        self._tensors = {name: torch.from_numpy(_filled_up(name, value)) for name, value in selected.items()}

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

        In place of a weight there may be NAME.down.weight (rank, inputs) and NAME.up.weight (outputs, rank). Further
        layers may be there. Raises FileNotFoundError or ValueError, which name the file.
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
        """Weights and biases as float32 arrays, under the names of a file (see `from_file`)."""
        return {
            name: np.ascontiguousarray(value.cpu().numpy()[tuple(map(slice, self._shapes[name]))])
            for name, value in self._tensors.items()
        }

    def length(self, layer: str) -> int:
        """Length of the vectors of "fc6" or "fc7"."""
        return self._shapes[f"{layer}.bias"][0]

    def __call__(self, pooled: np.ndarray | torch.Tensor, layer: str) -> np.ndarray:
        """(R, D) float32 pooled vectors -> (R, length) float32 of `layer`, all >= 0.

        On a CPU each block of rows is computed by one thread alone, several in parallel: no bit depends on how many. A
        tensor is computed in one go where it lies, as are arrays on another device.
        """
        if tuple(pooled.shape[1:]) != (self._pooled_length,):
            raise ValueError(f"head: expected pooled vectors of length {self._pooled_length}, got {pooled.shape}")
        if isinstance(pooled, torch.Tensor) or self._device.type != "cpu":
            return self._layers(torch.as_tensor(pooled).to(self._device)[:, self._start : self._stop], layer)
        values = np.empty((len(pooled), self.length(layer)), np.float32)
        starts = range(0, len(pooled), _BLOCK_ROWS)
        blocks = (pooled[start : start + _BLOCK_ROWS, self._start : self._stop] for start in starts)
        compute = parallel_executor().map
        for start, found in zip(starts, compute(partial(self._block, layer=layer), blocks), strict=True):
            values[start : start + len(found)] = found
        return values

    @torch.inference_mode()
    def gradient(self, pooled: np.ndarray, layer: str, weights: np.ndarray) -> np.ndarray:
        """How weights . head(pooled, layer) changes with each pooled value, (D,) float64.

        pooled: (D,) one vector. weights: (length,). Around the vector the head is linear, so that the sum of
        gradient x value and what the biases add is the score itself.
        """
        values = torch.from_numpy(np.array(pooled[None, self._start : self._stop])).to(self._device)
        hidden = {}
        for name in _up_to(layer):
            values = hidden[name] = self._layer(values, name)
        back = torch.zeros(hidden[layer].shape[1], dtype=torch.float64, device=self._device)
        back[: len(weights)] = torch.from_numpy(np.asarray(weights, np.float64))
        for name in reversed(_up_to(layer)):
            back = back * (hidden[name][0] > 0)
            for matrix in reversed(self._matrices(name)):
                back = back @ matrix.double()
        result = np.zeros(self._pooled_length)
        result[self._start : self._stop] = back.cpu().numpy()
        return result

    @property
    def _device(self) -> torch.device:
        return self._tensors["fc6.bias"].device

    def _block(self, rows: np.ndarray, layer: str) -> np.ndarray:
        block = np.zeros((_BLOCK_ROWS, rows.shape[1]), np.float32)
        block[: len(rows)] = rows
        return self._layers(torch.from_numpy(block), layer)[: len(rows)]

    @torch.inference_mode()
    def _layers(self, hidden: torch.Tensor, layer: str) -> np.ndarray:
        """(n, inputs of fc6) on the head's device -> (n, length)."""
        for name in _up_to(layer):
            hidden = self._layer(hidden, name)
        return hidden[:, : self.length(layer)].cpu().numpy()

    def _layer(self, values: torch.Tensor, name: str) -> torch.Tensor:
        """(n, inputs) -> (n, outputs) after the ReLU."""
        *first, last = self._matrices(name)
        for matrix in first:
            values = functional.linear(values, matrix)
        return torch.relu_(functional.linear(values, last, self._tensors[f"{name}.bias"]))

    def _matrices(self, name: str) -> list[torch.Tensor]:
        """What a layer multiplies by, one after the other."""
        return [self._tensors[one] for one in weight_names(self._tensors, name)]


def weight_names(state: Mapping[str, object], name: str) -> tuple[str, ...]:
    """Names of the matrices of the layer `name` in the order in which vectors are multiplied: one, or down and up."""
    return (f"{name}.weight",) if f"{name}.weight" in state else (f"{name}.down.weight", f"{name}.up.weight")


def _up_to(layer: str) -> tuple[str, ...]:
    return HEAD_LAYERS[: 1 + HEAD_LAYERS.index(layer)]


def check_head_names(state: Mapping[str, np.ndarray]) -> None:
    """Raise ValueError unless both layers are there, each in one of its two forms."""
    missing, doubled = [], []
    for name in HEAD_LAYERS:
        whole, *thin = (f"{name}.{part}weight" for part in ("", "down.", "up."))
        wanted = thin if any(one in state for one in thin) else [whole]
        missing += [one for one in (*wanted, f"{name}.bias") if one not in state]
        doubled += [name] if whole in state and wanted == thin else []
    if missing or doubled:
        fault = f"missing keys {', '.join(missing)}" if missing else f"got both of {' and '.join(doubled)}"
        raise ValueError(
            f"head: expected weight, or down.weight and up.weight, and bias of {' and '.join(HEAD_LAYERS)}, {fault}; "
            f"found {', '.join(state) or 'none'}"
        )


def _filled_up(name: str, value: np.ndarray) -> np.ndarray:
    """With zeros for outputs up to `_OUTPUT_MULTIPLE`, and for the inputs that come from such outputs."""
    missing = [-length % _OUTPUT_MULTIPLE for length in value.shape]
    if name in ("fc6.weight", "fc6.down.weight"):
        missing[1] = 0  # pooled values
    return np.pad(value, [(0, more) for more in missing]) if any(missing) else value


def _columns(settings: FeatureSettings, pooled_length: int, state: Mapping[str, np.ndarray]) -> tuple[int, int]:
    """(first, last + 1) values of a pooled vector that fc6 reads."""
    own = settings.head == "network"
    if own or fits_network_head(settings):
        columns = trained_columns(settings, pooled_length // sum(n * n for n in settings.levels))
        if own or state[weight_names(state, "fc6")[0]].shape[-1] == columns[1] - columns[0]:
            return columns
    return 0, pooled_length


def _network_widths(backbone: str) -> tuple[int, int]:
    shapes = dict(_renamed_items(state_names(network_spec(backbone).network), backbone))
    return tuple(shapes[f"{name}.bias"][0] for name in HEAD_LAYERS)


def _shapes(state: Mapping[str, np.ndarray], inputs: int, widths: tuple[int, int]) -> dict[str, tuple[int, ...]]:
    """Name -> shape of the tensors of layers of these widths, on vectors of `inputs` values."""
    shapes = {}
    for name, outputs in zip(HEAD_LAYERS, widths, strict=True):
        first, *second = weight_names(state, name)
        rank = len(state[first])
        shapes[first] = (rank if second else outputs, inputs)
        shapes |= dict.fromkeys(second, (outputs, rank)) | {f"{name}.bias": (outputs,)}
        inputs = outputs
    return shapes


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
