"""A convolution together with what follows it: one pass over memory on a CPU, by the algorithm with the least work."""

from __future__ import annotations

import copy
import math
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from detection.engines import winograd
from detection.engines.products import FixedMatrices

# As oneDNN names them, with their bounds.
_ONEDNN_ACTIVATIONS = {
    nn.ReLU: ("relu", []),
    nn.ReLU6: ("hardtanh", [0.0, 6.0]),
    nn.Hardswish: ("hardswish", []),
    nn.SiLU: ("swish", []),
}
# Activations that clip, with their bounds; without one nothing is clipped.
_LIMITS = {nn.ReLU: (0.0, math.inf), nn.ReLU6: (0.0, 6.0), type(None): (-math.inf, math.inf)}


def has_one_pass(activation: nn.Module) -> bool:
    """Whether a convolution can be joined with an activation of this type."""
    return type(activation) in _ONEDNN_ACTIVATIONS


class FusedConvolution(nn.Module):
    """activation(convolution(x) + other), on a CPU in one pass over memory.

    Kernels of 3 x 3 and 5 x 5 px go Winograd's way where that is faster, others are oneDNN's, by the operator that
    PyTorch's own compiler emits. Without it, on other devices and where gradients are asked for, the parts run one
    after the other. Outputs then differ by rounding.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.convolution, self.activation = convolution, None
        # Asked at every call, of every layer, for every scale of an image.
        self._suits_winograd = winograd.suits(convolution)
        self._kernels: tuple[tuple, FixedMatrices] | None = None

    def activate(self, activation: nn.Module) -> None:
        """Join an activation that `has_one_pass`."""
        # A network may use one module in several places; here nothing else reads the convolution's output.
        self.activation = copy.copy(activation)
        self.activation.inplace = True

    def __getstate__(self) -> dict[str, Any]:
        # Made again where they are needed.
        return {**self.__dict__, "_kernels": None}

    def forward(self, x: torch.Tensor, other: torch.Tensor | None = None) -> torch.Tensor:
        """(N, C, H, W), and a tensor that can be added to the convolution's output -> that output."""
        conv = self.convolution
        # A network that is exported is to run elsewhere, where the operators are not known.
        if torch.compiler.is_compiling() or _wants_gradients(x, other, conv) or x.device.type != "cpu":
            return self._apart(x, other)
        if other is not None and tuple(other.shape) != self._output_shape(x):
            return self._apart(x, other)
        if self.goes_winograds_way and x.dtype == torch.float32 and min(self._output_shape(x)) > 0:
            limits = _LIMITS[type(self.activation)]
            side = conv.kernel_size[0]
            return winograd.convolve(x, self._transformed(), side, conv.bias, conv.padding, other, limits)
        return self._by_onednn(x, other) if _onednn_is_on_offer() else self._apart(x, other)

    @property
    def goes_winograds_way(self) -> bool:
        """Whether float32 maps on a CPU do, where no gradients are asked for."""
        return self._suits_winograd and type(self.activation) in _LIMITS

    def _apart(self, x: torch.Tensor, other: torch.Tensor | None) -> torch.Tensor:
        output = self.convolution(x)
        output = output if other is None else output + other
        return output if self.activation is None else self.activation(output)

    def output_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) of an input -> that of the output."""
        conv = self.convolution
        height, width = (
            (length + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1
            for length, pad, dilation, kernel, stride in zip(
                size, conv.padding, conv.dilation, conv.kernel_size, conv.stride, strict=True
            )
        )
        return height, width

    def _output_shape(self, x: torch.Tensor) -> tuple[int, ...]:
        return (len(x), self.convolution.out_channels, *self.output_size((x.shape[2], x.shape[3])))

    def _by_onednn(self, x: torch.Tensor, other: torch.Tensor | None) -> torch.Tensor:
        conv = self.convolution
        name, scalars = _ONEDNN_ACTIVATIONS.get(type(self.activation), (None, []))
        given = (conv.weight, conv.bias, conv.padding, conv.stride, conv.dilation, conv.groups)
        if other is None:
            return torch.ops.mkldnn._convolution_pointwise(x, *given, name or "none", scalars, "")
        # After a sum the operator knows one activation.
        joined = name if name in (None, "relu") else None
        output = torch.ops.mkldnn._convolution_pointwise(x, other, *given, "add", 1.0, joined, [], "")
        return output if joined == name else self.activation(output)

    def _transformed(self) -> FixedMatrices:
        weight = self.convolution.weight
        # Weights may be loaded or trained later.
        state = (weight.data_ptr(), 0 if weight.is_inference() else weight._version)
        if self._kernels is None or self._kernels[0] != state:
            self._kernels = (state, winograd.transform_kernels(weight))
        return self._kernels[1]


def _wants_gradients(x: torch.Tensor, other: torch.Tensor | None, conv: nn.Conv2d) -> bool:
    if not torch.is_grad_enabled():
        return False
    tensors = (x, *conv.parameters()) if other is None else (x, other, *conv.parameters())
    return any(one.requires_grad for one in tensors)


@lru_cache(maxsize=1)
def _onednn_is_on_offer() -> bool:
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_convolution_pointwise")
