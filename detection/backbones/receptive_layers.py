"""What a cell of a network's map can see, computed from the layers on the way to it.

Along each axis cell i sees the px [low + stride i, high + stride i) of the network's input. A layer with a kernel of k
taps that lie d cells apart, step s and p cells of padding before the first turns (low, high, stride) into
(low - p stride, high + (d (k - 1) - p) stride, s stride). Where paths meet, by addition, multiplication or
concatenation, the cell sees what any of them sees: the lowest low and the highest high.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from torch import fx, nn

Pair = tuple[float, float]


@dataclass(frozen=True)
class ReceptiveField:
    """What the cells of one map see of the network's input, both axes as (y, x).

    low, high: the px [low, high) that cell (0, 0) sees, beyond the border where there is padding; infinite where a
    layer on the way joins the whole image, as squeeze and excitation does. stride: px from a cell to the next; 0 of a
    map of one cell that stands for the whole image.
    """

    low: Pair
    high: Pair
    stride: int

    @property
    def size(self) -> Pair:
        """(height, width) in px."""
        return self.high[0] - self.low[0], self.high[1] - self.low[1]

    @property
    def first_centre(self) -> Pair:
        """The middle (y, x) of what cell (0, 0) sees; NaN where that is the whole image."""
        return (self.low[0] + self.high[0]) / 2, (self.low[1] + self.high[1]) / 2

    def boxes(self, cells: np.ndarray) -> np.ndarray:
        """What `cells` (N, 2) (row, column) see: (N, 4) float64 x1, y1, x2, y2 in px of the input, not clipped."""
        shift = self.stride * np.asarray(cells, np.float64).reshape(-1, 2)[:, ::-1]
        low, high = np.array(self.low[::-1]), np.array(self.high[::-1])
        return np.concatenate([low + shift, high + shift], axis=1)


WHOLE = ReceptiveField((-math.inf, -math.inf), (math.inf, math.inf), 0)

# Modules and functions by what they do to what a cell sees. Names, as timm and torchvision have classes of their own
# for many of them. Everything else of the libraries is traced into, and refused where that is not possible.
_POINTWISE_MODULES = (
    nn.modules.batchnorm._BatchNorm, nn.Identity, nn.LayerNorm, nn.Linear, nn.modules.dropout._DropoutNd,
)  # fmt: skip
_POINTWISE_NAMES = {"DropPath", "StochasticDepth", "LayerScale", "LayerScale2d", "LayerNorm2d", "GELUTanh", "RmsNorm2d"}
_WHOLE_MODULES = (
    nn.GroupNorm, nn.modules.instancenorm._InstanceNorm, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d,
)  # fmt: skip
_POINTWISE_CALLS = {
    "add", "add_", "addcmul", "batch_norm", "cat", "clamp", "clone", "concat", "contiguous", "detach", "drop_path",
    "dropout", "elu", "exp", "expand", "expand_as", "float", "gelu", "hardsigmoid", "hardswish", "hardtanh", "iadd",
    "imul", "leaky_relu", "mish", "mul", "mul_", "neg", "permute", "pow", "relu", "relu6", "relu_", "rsqrt", "sigmoid",
    "sigmoid_", "silu", "silu_", "softmax", "softplus", "sqrt", "stochastic_depth", "sub", "sub_", "tanh", "to",
    "truediv", "type_as",
}  # fmt: skip
_SPLITTING_CALLS = {"chunk", "split", "unbind", "tensor_split"}
_WHOLE_CALLS = {"mean", "norm", "sum", "amax", "max", "var", "std", "adaptive_avg_pool2d", "adaptive_max_pool2d"}


def receptive_fields(cut: fx.GraphModule, strides: Sequence[int]) -> tuple[ReceptiveField, ...]:
    """What a cell of every stage of a cut network (``networks.cut_network``) sees, before or after fusion.

    Inputs' sides must be multiples of the largest stride (TensorFlow's SAME padding is computed for that). Raises
    ValueError for a layer of unknown reach, and where a stage does not have its stride.
    """
    fields = _Reach(cut).run(ReceptiveField((0.0, 0.0), (1.0, 1.0), 1))
    for field, stride in zip(fields, strides, strict=True):
        if field.stride != stride:
            raise ValueError(f"receptive field: expected a map of stride {stride}, got one of {field.stride}")
    return tuple(fields)


class _Reach(fx.Interpreter):
    """Runs a graph on receptive fields in place of tensors; None stands for what depends on no pixel."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        # What fails is told by its own message; the interpreter's would name a node of a graph nobody sees.
        self.extra_traceback = False

    def call_module(self, target: str, args: tuple, kwargs: dict) -> Any:
        module, field = self.fetch_attr(target), _joined([args, kwargs])
        if field is None:
            return None
        if isinstance(module, nn.modules.conv._ConvTransposeNd):
            raise _unknown(module)
        if isinstance(module, nn.modules.conv._ConvNd) or hasattr(module, "kernel_size"):
            return _proposaled(module, field)
        name, home = type(module).__name__, type(module).__module__
        if isinstance(module, _WHOLE_MODULES):
            return WHOLE
        if isinstance(module, _POINTWISE_MODULES) or name in _POINTWISE_NAMES or "activation" in home:
            return field
        return _Reach(_traced(module)).run(*args)

    def call_function(self, target: Any, args: tuple, kwargs: dict) -> Any:
        return _call(getattr(target, "__name__", str(target)), args, kwargs)

    def call_method(self, target: str, args: tuple, kwargs: dict) -> Any:
        return _call(target, args, kwargs)

    def get_attr(self, target: str, args: tuple, kwargs: dict) -> None:
        return None


def _unknown(what: Any) -> ValueError:
    name = what if isinstance(what, str) else type(what).__name__
    return ValueError(f"receptive field: expected layers whose reach is known, got {name}")


def _traced(module: nn.Module) -> fx.GraphModule:
    if not any(True for _ in module.children()) and type(module).__module__.startswith("torch.nn"):
        raise _unknown(module)
    try:
        return fx.symbolic_trace(module)
    except Exception as error:  # whatever the module's code does that a proxy cannot
        raise _unknown(module) from error


def _call(name: str, args: tuple, kwargs: dict) -> Any:
    if name == "getitem" and isinstance(args[0], (tuple, list)):
        return operator.getitem(*args)
    field = _joined([args, kwargs])
    if field is None or (name in ("getattr", "size", "dim", "getitem") and not _keeps_places(name, args)):
        return None
    if name in ("avg_pool2d", "max_pool2d"):
        given = dict(zip(("kernel_size", "stride", "padding"), args[1:], strict=False)) | kwargs
        return _proposaled(SimpleNamespace(**{"stride": None, "padding": 0} | given), field)
    if name == "pad":
        return _padded(field, args[1])  # torch records it by place, however it was given
    if name in _SPLITTING_CALLS:
        # As many parts as anybody may take: all see the same.
        return _Parts(field)
    if name in _WHOLE_CALLS:
        return field if _over_channels(args, kwargs) else WHOLE
    if name in _POINTWISE_CALLS or name == "getitem":
        return field
    raise _unknown(name)


class _Parts(tuple):
    """What a split gives: the same field whichever part is taken."""

    def __new__(cls, field: ReceptiveField) -> _Parts:
        parts = super().__new__(cls, (field,))
        parts.field = field
        return parts

    def __getitem__(self, _: Any) -> ReceptiveField:
        return self.field


def _keeps_places(name: str, args: tuple) -> bool:
    """Whether an index takes channels alone, x[:, a:b]; an error if it takes rows or columns."""
    if name != "getitem":
        return False
    index = args[1] if isinstance(args[1], tuple) else (args[1],)
    if all(one == slice(None) for one in (*index[:1], *index[2:])):
        return True
    raise _unknown("an index of rows or columns")


def _over_channels(args: tuple, kwargs: dict) -> bool:
    dimensions = kwargs.get("dim", args[1] if len(args) > 1 else None)
    return dimensions in (1, (1,), [1])


def _fields_in(value: Any) -> Iterator[ReceptiveField]:
    if isinstance(value, ReceptiveField):
        yield value
    elif isinstance(value, dict):
        yield from _fields_in(list(value.values()))
    elif isinstance(value, (tuple, list)):
        for one in value:
            yield from _fields_in(one)


def _joined(value: Any) -> ReceptiveField | None:
    """What is seen by any of the fields among arguments; None where there is none."""
    fields = list(_fields_in(value))
    if not fields:
        return None
    strides = {field.stride for field in fields} - {0}
    if len(strides) > 1:
        raise ValueError(f"receptive field: expected paths of one stride where they meet, got {sorted(strides)}")
    low = tuple(min(field.low[axis] for field in fields) for axis in (0, 1))
    high = tuple(max(field.high[axis] for field in fields) for axis in (0, 1))
    return ReceptiveField(low, high, max(strides, default=0))


def _pair(value: Any) -> tuple[int, int]:
    return (int(value[0]), int(value[-1])) if isinstance(value, (tuple, list)) else (int(value), int(value))


def _proposaled(module: Any, field: ReceptiveField) -> ReceptiveField:
    """Convolution or pooling."""
    if field.stride == 0:
        return field
    kernel, step = _pair(module.kernel_size), _pair(module.stride or module.kernel_size)
    dilation = _pair(getattr(module, "dilation", 1))
    if step[0] != step[1]:
        raise ValueError(f"receptive field: expected one step for both axes, got {step}")
    low, high = [], []
    for axis in (0, 1):
        reach = dilation[axis] * (kernel[axis] - 1)
        before = _before(module, axis, reach, step[axis])
        low.append(field.low[axis] - before * field.stride)
        high.append(field.high[axis] + (reach - before) * field.stride)
    return ReceptiveField(tuple(low), tuple(high), field.stride * step[0])


def _before(module: Any, axis: int, reach: int, step: int) -> int:
    """Cells of padding before the first."""
    # TensorFlow's SAME on a side that is a multiple of the step; timm says so in the class's name.
    if type(module).__name__.endswith("Same") or module.padding == "same":
        return max(reach + 1 - step, 0) // 2
    return 0 if module.padding == "valid" else _pair(module.padding)[axis]


def _padded(field: ReceptiveField, amounts: Sequence[int]) -> ReceptiveField:
    """Padding as torch has it: (left, right, top, bottom)."""
    if any(not isinstance(one, int) for one in amounts):
        raise _unknown("padding of a width that depends on the image")
    left, top = amounts[0], amounts[2] if len(amounts) > 2 else 0
    shift = (top * field.stride, left * field.stride)
    low = (field.low[0] - shift[0], field.low[1] - shift[1])
    return ReceptiveField(low, (field.high[0] - shift[0], field.high[1] - shift[1]), field.stride)
