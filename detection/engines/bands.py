"""Convolutions in bands of rows: what lies between a wide layer and the next stays in the processor's caches.

An inverted residual widens few channels to many, and the maps between its layers are the largest of a network: tens of
MB at the scales of detection, which go to memory and come back. In bands of rows they do not, and every value is
computed from the same numbers in the same order.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch
from torch import fx, nn

from detection.engines.convolution import FusedConvolution

# From this size on a map between two layers is made in bands, which take so many bytes of it: measured on EfficientNet
# at 256 to 704 px, with caches of 1 MiB beside a processor and 32 MiB for all. Smaller bands cost more calls and more
# rows that two bands need.
_LARGE = 16 * 2**20
_BAND = 5 * 2**20
_BYTES_OF_A_VALUE = 4

_Sizes = list[tuple[int, int]]


class ConvolutionChain(nn.Module):
    """Convolutions of which each reads nothing but the one before, as one layer. layers: two or more of them.

    The last may add a tensor of its output's shape.
    """

    def __init__(self, layers: Sequence[FusedConvolution]) -> None:
        super().__init__()
        self._layers = tuple(layers)
        # By (height, width) of an input: asked at every call.
        self._plans: dict[tuple[int, int], tuple[_Sizes, int]] = {}

    def forward(self, x: torch.Tensor, other: torch.Tensor | None = None) -> torch.Tensor:
        """(N, C, H, W), and what is added -> (N, C', h, w), equal to the layers one after the other."""
        size = (x.shape[2], x.shape[3])
        if size not in self._plans:
            self._plans[size] = self._plan(size)
        sizes, rows = self._plans[size]
        # Rows of one image are one piece of memory, those of a batch are not.
        in_bands = rows < sizes[-1][0] and len(x) == 1 and x.dtype == torch.float32
        if in_bands and (other is None or other.shape[2:] == sizes[-1]):
            return self._in_bands(x, other, sizes, rows)
        for layer in self._layers[:-1]:
            x = layer(x)
        return self._layers[-1](x) if other is None else self._layers[-1](x, other)

    def _in_bands(self, x: torch.Tensor, other: torch.Tensor | None, sizes: _Sizes, rows: int) -> torch.Tensor:
        shape = (1, self._layers[-1].convolution.out_channels, *sizes[-1])
        output = torch.empty(shape, dtype=x.dtype, memory_format=torch.channels_last)
        for start in range(0, shape[2], rows):
            # Rows of every layer's input, then of the output.
            spans = [(start, min(start + rows, shape[2]))]
            for layer, (height, _) in zip(self._layers[::-1], sizes[-2::-1], strict=True):
                spans.insert(0, _rows_read(layer, *spans[0], height))
            band, added = x[:, :, slice(*spans[0])], () if other is None else (other[:, :, slice(*spans[-1])],)
            for number, layer in enumerate(self._layers):
                band = layer(band, *(added if number == len(self._layers) - 1 else ()))
                first, stop = spans[number + 1]
                above = first - spans[number][0] // layer.convolution.stride[0]
                band = band[:, :, above : above + stop - first]
            output[:, :, slice(*spans[-1])] = band
        return output

    def _plan(self, size: tuple[int, int]) -> tuple[_Sizes, int]:
        """(height, width) of an input -> that of every layer's input and of the output, rows of output of a band."""
        sizes = [size]
        for layer in self._layers:
            sizes.append(layer.output_size(sizes[-1]))
        # The output is made whole in any case.
        between = zip(self._layers[:-1], sizes[1:-1], strict=True)
        largest = max(_BYTES_OF_A_VALUE * layer.convolution.out_channels * math.prod(one) for layer, one in between)
        height = sizes[-1][0]
        return sizes, max(1, round(height * _BAND / largest)) if largest >= _LARGE else height


def _rows_read(layer: FusedConvolution, start: int, stop: int, height: int) -> tuple[int, int]:
    """Rows [a, b) of a layer's input, of `height` rows, that give the rows [start, stop) of its output.

    Given these rows alone the layer pads them as it pads a map: a is a multiple of the stride, and so far above that
    the rows which see the padding lie above `start`.
    """
    conv = layer.convolution
    stride, pad, reach = conv.stride[0], conv.padding[0], conv.dilation[0] * (conv.kernel_size[0] - 1)
    above = max(0, start - -(-pad // stride)) * stride
    return above, min(height, (stop - 1) * stride - pad + reach + 1)


def in_bands(network: fx.GraphModule) -> fx.GraphModule:
    """A network of `fuse` whose chains of convolutions are layers; the layers are the same objects.

    A chain ends where a convolution of one px gives fewer channels than it has: the map there is small.
    """
    view = fx.GraphModule(network, copy.deepcopy(network.graph))
    for number, nodes in enumerate(_chains(view)):
        view.add_submodule(f"chain_{number}", ConvolutionChain([view.get_submodule(node.target) for node in nodes]))
        first, last = nodes[0], nodes[-1]
        with view.graph.inserting_before(last):
            joined = view.graph.call_module(f"chain_{number}", (first.args[0], *last.args[1:]))
        last.replace_all_uses_with(joined)
        for node in nodes[::-1]:
            view.graph.erase_node(node)
    view.delete_all_unused_submodules()
    view.recompile()
    return view.eval()


def _chains(view: fx.GraphModule) -> list[list[fx.Node]]:
    chains: list[list[fx.Node]] = []
    open_chain: list[fx.Node] = []
    for node in view.graph.nodes:
        layer = view.get_submodule(node.target) if node.op == "call_module" else None
        if not isinstance(layer, FusedConvolution) or layer.goes_winograds_way:
            continue
        follows = open_chain and node.args[0] is open_chain[-1] and len(open_chain[-1].users) == 1
        # In bands a sum can only be had where rows of output are rows of input.
        fits = len(node.args) == 1 or _is_pointwise(layer.convolution)
        if follows and fits:
            open_chain.append(node)
        else:
            chains.append(open_chain)
            open_chain = [node] if len(node.args) == 1 else []
        if len(node.args) == 2 or _narrows(layer.convolution):
            chains.append(open_chain)
            open_chain = []
    return [chain for chain in (*chains, open_chain) if len(chain) > 1]


def _narrows(conv: nn.Conv2d) -> bool:
    return _is_pointwise(conv) and conv.out_channels < conv.in_channels


def _is_pointwise(conv: nn.Conv2d) -> bool:
    return conv.kernel_size == conv.stride == (1, 1) and conv.padding == (0, 0)
