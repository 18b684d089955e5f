"""A backbone's convolutions by OpenVINO, on Intel's and AMD's CPUs: ``FeatureSettings.engine`` "openvino".

OpenVINO's converters trace or export a network, which takes seconds in every process. A cut network is a short list
of layers: it is written down in OpenVINO's operations directly, in milliseconds.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from detection.backbones.zf5 import WithinChannelResponseNorm
from detection.engines.convolution import FusedConvolution
from detection.engines.fusion import SUMS

# A node of OpenVINO's graph, whose types exist where it is installed alone.
_Node = Any
# float32 throughout, also where the CPU has bfloat16. One stream: a call's threads all work on its own image. Pinned to
# cores, threads of several compiled networks would share some cores and leave others idle. With hyper-threading off
# there may be fewer threads than asked for.
_OPTIONS = {
    "INFERENCE_PRECISION_HINT": "f32",
    "NUM_STREAMS": 1,
    "ENABLE_CPU_PINNING": False,
    "ENABLE_HYPER_THREADING": True,
}


def check_engine(engine: str, device: str) -> None:
    """Raise ValueError, naming the setting, where an engine is not installed or does not compute on a device."""
    if engine == "torch":
        return
    if torch.device(device).type != "cpu":
        raise ValueError(f"features.engine: openvino computes on the device cpu alone, got device {device}")
    if find_spec("openvino") is None:
        raise ValueError(
            "features.engine: openvino needs the package openvino, which is not installed; "
            'pip install "sppnet[openvino]", or set engine torch'
        )


class OpenVINONetwork:
    """The function of a cut network that `fuse` gave, as its weights are now: images -> maps of its stages.

    May be called from several threads at once, and pickled; every process compiles for itself, when first called.
    The last bits depend on the number of threads (``torch.get_num_threads()`` where it is called) and on nothing
    else in the process.
    """

    def __init__(self, network: fx.GraphModule) -> None:
        """Raises ValueError, naming the layer, for one that there is no translation of."""
        self._network = network
        self._prepare()

    def _prepare(self) -> None:
        self._model = _translate(self._network)
        self._lock = threading.Lock()
        # Number of threads -> compiled networks that nobody uses just now. A compiled network with one stream answers
        # one call at a time: threads that call at once get one each.
        self._idle: dict[int, list[Any]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"_network": self._network}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._prepare()

    def __call__(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(N, 3, H, W) float32 on the CPU -> T maps (N, C_t, h_t, w_t) float32, memory of their own."""
        threads = torch.get_num_threads()
        with self._lock:
            idle = self._idle.setdefault(threads, [])
            request = idle.pop() if idle else None
        request = request or self._compile(threads)
        values = np.ascontiguousarray(images.detach().numpy())
        # Outputs are copied: the next call writes over the originals.
        found = request.infer({0: values}, share_inputs=True, share_outputs=False)
        maps = tuple(torch.from_numpy(found[index]) for index in range(len(found)))
        with self._lock:
            idle.append(request)
        return maps

    def _compile(self, threads: int) -> Any:
        options = {**_OPTIONS, "INFERENCE_NUM_THREADS": threads}
        return _core().compile_model(self._model, "CPU", options).create_infer_request()


@lru_cache(maxsize=1)
def _core() -> Any:
    import openvino

    return openvino.Core()


def _operations() -> Any:
    from openvino import opset14

    return opset14


def _translate(network: fx.GraphModule) -> Any:
    """The network in OpenVINO's operations, for any number of images of any size."""
    import openvino

    values: dict[fx.Node, _Node] = {}
    inputs, outputs = [], []
    for node in network.graph.nodes:
        given = [values[one] if isinstance(one, fx.Node) else one for one in node.args]
        if node.op == "placeholder":
            values[node] = _operations().parameter([-1, 3, -1, -1], np.float32, name=node.name)
            inputs.append(values[node])
        elif node.op == "output":
            outputs = [values[one] for one in node.args[0]]
        elif node.op == "call_module" and not node.kwargs:
            values[node] = _layer(network.get_submodule(node.target), node.target, *given)
        elif node.op == "call_function" and node.target in SUMS and len(node.all_input_nodes) == len(given) == 2:
            values[node] = _operations().add(*given)
        else:
            raise _unknown(str(node.target), node.op)
    return openvino.Model(outputs, inputs, "backbone")


def _unknown(name: str, kind: str) -> ValueError:
    return ValueError(
        f"features.engine: openvino knows convolutions, norms, max pools, sums and {', '.join(_ACTIVATIONS)}; the "
        f"backbone has {kind} ({name}): set engine torch"
    )


def _layer(module: nn.Module, name: str, x: _Node, other: _Node | None = None) -> _Node:
    if isinstance(module, FusedConvolution):
        output = _convolution(module.convolution, name, x)
        output = output if other is None else _operations().add(output, other)
        return output if module.activation is None else _layer(module.activation, name, output)
    kind = type(module).__name__
    translation = {**_ACTIVATIONS, **_LAYERS}.get(kind)
    if translation is None or other is not None:
        raise _unknown(name, kind)
    return translation(module, x)


def _convolution(conv: nn.Conv2d, name: str, x: _Node) -> _Node:
    if conv.padding_mode != "zeros" or isinstance(conv.padding, str):
        raise _unknown(name, f"padding {conv.padding_mode} {conv.padding}")
    weight, operations = _array(conv.weight), _operations()
    places = (conv.stride, conv.padding, conv.padding, conv.dilation)
    if conv.groups == 1:
        output = operations.convolution(x, operations.constant(weight), *map(list, places))
    else:
        grouped = weight.reshape(conv.groups, -1, *weight.shape[1:])
        output = operations.group_convolution(x, operations.constant(grouped), *map(list, places))
    return output if conv.bias is None else operations.add(output, _by_channel(conv.bias))


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().numpy().copy(order="C")


def _by_channel(values: torch.Tensor) -> _Node:
    return _operations().constant(_array(values).reshape(1, -1, 1, 1))


def _number(value: float) -> _Node:
    return _operations().constant(np.float32(value))


def _batch_norm(norm: nn.BatchNorm2d, x: _Node) -> _Node:
    """One that follows no convolution, so that it was not folded."""
    factor = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    shift = norm.bias.double() - norm.running_mean.double() * factor
    scaled = _operations().multiply(x, _by_channel(factor.float()))
    return _operations().add(scaled, _by_channel(shift.float()))


def _max_pool(pool: nn.MaxPool2d, x: _Node) -> _Node:
    stride, padding, size, dilation = (
        [value, value] if isinstance(value, int) else list(value)
        for value in (pool.stride, pool.padding, pool.kernel_size, pool.dilation)
    )
    rounding = "ceil_torch" if pool.ceil_mode else "floor"
    return _operations().max_pool(x, stride, dilation, padding, padding, size, rounding).output(0)


def _response_norm(norm: nn.LocalResponseNorm, x: _Node) -> _Node:
    axes = _operations().constant(np.array([1], np.int64))
    return _operations().lrn(x, axes, norm.alpha, norm.beta, norm.k, norm.size)


def _within_channel_norm(norm: WithinChannelResponseNorm, x: _Node) -> _Node:
    operations, side, pads = _operations(), [norm.size] * 2, [norm.size // 2] * 2
    mean = operations.avg_pool(operations.multiply(x, x), [1, 1], pads, pads, side, False)
    base = operations.add(operations.multiply(mean, _number(norm.alpha)), _number(1))
    return operations.multiply(x, operations.power(base, _number(-norm.beta)))


# Type of a layer -> its translation. By name: subclasses may do something else.
_Translation = Callable[[Any, _Node], _Node]
_ACTIVATIONS: dict[str, _Translation] = {
    "ReLU": lambda _, x: _operations().relu(x),
    "ReLU6": lambda _, x: _operations().clamp(x, 0.0, 6.0),
    "Hardswish": lambda _, x: _operations().hswish(x),
    "SiLU": lambda _, x: _operations().swish(x),
}
_LAYERS: dict[str, _Translation] = {
    "Conv2d": lambda conv, x: _convolution(conv, "Conv2d", x),
    "BatchNorm2d": _batch_norm,
    "MaxPool2d": _max_pool,
    "LocalResponseNorm": _response_norm,
    "WithinChannelResponseNorm": _within_channel_norm,
}
