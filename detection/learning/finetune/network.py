"""fc6, fc7 and the softmax layer while they are trained."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from detection.learning.finetune.settings import FinetuneSettings

LAYERS = ("fc6", "fc7", "fc8")
_WEIGHTS = 3  # distinguishes this generator from those of the samples


def initial_layers(
    length: int,
    num_classes: int,
    settings: FinetuneSettings,
    given: Mapping[str, np.ndarray] | None = None,
    start: int = 0,
) -> dict[str, np.ndarray]:
    """First weights and biases: name -> float32 array, for scaled vectors of `length` values.

    given: fc6.weight (fc6, n), fc6.bias, fc7.weight and fc7.bias that take the place of Gaussian ones; fc6's inputs
    from `start` to `start` + n are theirs, the others stay Gaussian. Raises ValueError where their shapes do not fit.
    """
    generator = np.random.default_rng([settings.seed, _WEIGHTS, length])
    sides = (length, *settings.widths, num_classes + 1)
    layers = {}
    for name, inputs, outputs in zip(LAYERS, sides[:-1], sides[1:], strict=True):
        sigma = settings.last_sigma if name == "fc8" else settings.initial_sigma or np.sqrt(2 / inputs)
        layers[f"{name}.weight"] = (generator.standard_normal((outputs, inputs), np.float32) * sigma).astype(np.float32)
        bias = 0.0 if name == "fc8" else settings.initial_bias
        layers[f"{name}.bias"] = np.full(outputs, bias, np.float32)
    for name, value in (given or {}).items():
        target = layers[name][:, start : start + value.shape[1]] if name == "fc6.weight" else layers[name]
        if target.shape != value.shape:
            raise ValueError(f"finetune.initial: {name}: expected shape {target.shape}, got {value.shape}")
        target[...] = value
    return layers


class Scaling:
    """What is done to pooled vectors before fc6: (x - shift) * factor. shift, factor: (D,) float32."""

    def __init__(self, shift: np.ndarray, factor: np.ndarray) -> None:
        self.shift, self.factor = shift.astype(np.float32), factor.astype(np.float32)

    def part(self, start: int, layers: Mapping[str, np.ndarray]) -> Scaling:
        """The scaling of the values from `start` on that the fc6 of `layers` reads."""
        stop = start + layers["fc6.weight"].shape[1]
        return Scaling(self.shift[start:stop], self.factor[start:stop])

    def unfolded(self, layers: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The layers for scaled vectors that do what `layers` do on vectors as they come."""
        weight = layers["fc6.weight"].astype(np.float64)
        bias = layers["fc6.bias"] + weight @ self.shift
        return {**layers, **_fc6(weight / self.factor, bias)}

    def folded(self, layers: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The inverse: what prediction uses, on vectors as they come."""
        weight = layers["fc6.weight"].astype(np.float64) * self.factor
        return {**layers, **_fc6(weight, layers["fc6.bias"] - weight @ self.shift)}


def _fc6(weight: np.ndarray, bias: np.ndarray) -> dict[str, np.ndarray]:
    return {"fc6.weight": weight.astype(np.float32), "fc6.bias": bias.astype(np.float32)}


class TrainedHead(nn.Module):
    """The layers as a module; vectors come in float16 or float32 and are scaled first."""

    def __init__(self, layers: Mapping[str, np.ndarray], scaling: Scaling, dropout: float) -> None:
        super().__init__()
        for name in LAYERS:
            outputs, inputs = layers[f"{name}.weight"].shape
            self.add_module(name, nn.Linear(inputs, outputs))
        self.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in layers.items()})
        self.dropout = dropout
        # Not of the state: they are no weights.
        self.register_buffer("shift", torch.from_numpy(scaling.shift), persistent=False)
        self.register_buffer("factor", torch.from_numpy(scaling.factor), persistent=False)

    def forward(self, pooled: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
        """(N, D) pooled vectors -> (N, L + 1) logits; the last is background. generator: of dropout; None: none."""
        hidden = (pooled.float() - self.shift) * self.factor
        for layer in (self.fc6, self.fc7):
            hidden = self._drop(functional.relu(layer(hidden)), generator)
        return self.fc8(hidden)

    def _drop(self, values: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
        if generator is None or self.dropout == 0:
            return values
        kept = torch.rand(values.shape, generator=generator, device=values.device) >= self.dropout
        return values * kept / (1 - self.dropout)

    def arrays(self) -> dict[str, np.ndarray]:
        """Name -> float32 array, copied."""
        return {name: value.detach().cpu().numpy().copy() for name, value in self.state_dict().items()}


def optimiser_of(network: TrainedHead, settings: FinetuneSettings) -> torch.optim.SGD:
    """Stochastic gradient descent with momentum; weights and biases are groups of their own, in this order."""
    weights = [value for name, value in network.named_parameters() if name.endswith("weight")]
    biases = [value for name, value in network.named_parameters() if name.endswith("bias")]
    groups = [{"params": weights, "weight_decay": settings.weight_decay}, {"params": biases, "weight_decay": 0.0}]
    return torch.optim.SGD(groups, lr=settings.learning_rates[0], momentum=settings.momentum)


def set_learning_rate(optimiser: torch.optim.SGD, rate: float, bias_rate: float) -> None:
    """The learning rate of the weights, and that of the biases `bias_rate` times it."""
    optimiser.param_groups[0]["lr"], optimiser.param_groups[1]["lr"] = rate, rate * bias_rate
