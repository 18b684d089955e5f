"""Which networks there are, and how one is cut after the last stage in use.

A network is traced with ``torch.fx`` on the meta device (no memory, no arithmetic), its graph is ended at
the stages asked for and everything they do not need is dropped. A transformer is cut by its own code (``tokens``).
Parameters keep the names they have in the whole network, so that any checkpoint of it fits.
"""

import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import NamedTuple
from urllib.error import URLError

import numpy as np
import torch
from torch import fx, nn

from detection.backbones.names import family_of
from detection.backbones.spec import NetworkSpec, Stages
from detection.backbones.tokens import TokenMaps
from detection.storage import error_text, read_arrays, shortened

# State-dict entries that no forward pass in eval mode reads.
_UNUSED_SUFFIX = "num_batches_tracked"
# Sides, in largest strides, of the two images that tell the shapes of maps.
_PROBE_MULTIPLES = (3, 5)
# Characters of an error's text that are passed on.
_SHOWN = 300


def network_spec(name: str) -> NetworkSpec:
    """The network called `name` (see ``FeatureSettings.backbone``), without weights.

    Raises ValueError for an unknown name.
    """
    return import_module(family_of(name).module).network_spec(name)


class _Tracer(fx.Tracer):
    """Remembers the output of every module; timm's layers stay whole, and those that say ``is_traced_whole``."""

    def __init__(self) -> None:
        super().__init__()
        self.outputs: dict[str, fx.Proxy] = {}

    def is_leaf_module(self, module: nn.Module, qualified_name: str) -> bool:
        from_timm = type(module).__module__.startswith("timm.layers") and not type(module).__name__.startswith("ConvN")
        return from_timm or getattr(module, "is_traced_whole", False) or super().is_leaf_module(module, qualified_name)

    def call_module(self, module, forward, args, kwargs):
        output = super().call_module(module, forward, args, kwargs)
        self.outputs[self.path_of_module(module)] = output
        return output


def cut_network(spec: NetworkSpec, stages: Stages) -> fx.GraphModule | TokenMaps:
    """The part of a network that its `stages` need: (N, 3, H, W) -> tuple of T maps.

    Still on the meta device. Raises ValueError where a stage is not on offer or the network cannot be traced.
    """
    names = spec.stage_names(stages)
    if spec.has_tokens:
        return TokenMaps(spec.name, spec.network, names).eval()
    tracer = _Tracer()
    try:
        graph = tracer.trace(spec.network)
    except (fx.proxy.TraceError, TypeError, RuntimeError, AttributeError) as error:
        raise ValueError(f"backbone: {spec.name!r} cannot be cut into stages: {error}") from error
    nodes = [tracer.outputs[name].node for name in names]
    for node in [node for node in graph.nodes if node.op == "output"]:
        graph.erase_node(node)
    graph.output(tuple(nodes))
    # A graph knows which of its calls have no effect only once it has an owner; the second one holds no
    # module that the first found unused.
    fx.GraphModule(spec.network, graph).graph.eliminate_dead_code()
    cut = fx.GraphModule(spec.network, graph)
    _protect_outputs(cut, nodes)
    return cut.eval()


def _protect_outputs(cut: fx.GraphModule, nodes: list[fx.Node]) -> None:
    """A stage's map must not be changed in place by what follows it."""
    for node in nodes:
        for user in node.users:
            if user.op == "call_module" and getattr(cut.get_submodule(user.target), "inplace", False):
                cut.get_submodule(user.target).inplace = False


class StageShape(NamedTuple):
    """Of a stage: px from a cell to the next, channels of its map, and cells that it lacks along each axis."""

    stride: int
    channels: int
    missing: int


def stage_shapes(name: str, stages: Stages) -> tuple[StageShape, ...]:
    """The shape of every stage of a network, without its weights; see `measure_shapes`."""
    spec = network_spec(name)
    return measure_shapes(name, spec.strides(stages), cut_network(spec, stages).to_empty(device="cpu"))


def measure_shapes(name: str, strides: tuple[int, ...], cut: nn.Module) -> tuple[StageShape, ...]:
    """The shape of every stage of a cut network.

    An input of H px, a multiple of the largest stride, gives a map of H / stride - missing rows, and columns
    likewise: networks whose layers do not all pad lose cells at the border (alexnet 1). Raises ValueError
    where a stage's map does not have its stride.
    """
    device = next(cut.parameters()).device
    sides = [multiple * max(strides) for multiple in _PROBE_MULTIPLES]
    with torch.inference_mode():
        small, large = (cut(torch.zeros(1, 3, side, side, device=device)) for side in sides)
    shapes = []
    for one, other, stride in zip(small, large, strides, strict=True):
        missing = [side / stride - map_.shape[-1] for side, map_ in zip(sides, (one, other), strict=True)]
        if one.ndim != 4 or missing[0] != missing[1] or missing[0] < 0:
            raise ValueError(
                f"stages: {name!r} does not have stride {stride} at that stage: maps of {tuple(one.shape)} and "
                f"{tuple(other.shape)} for images of {sides} px"
            )
        shapes.append(StageShape(stride, int(one.shape[1]), int(missing[0])))
    return tuple(shapes)


def fill_buffers(cut: nn.Module) -> None:
    """Give what no state dict holds its values, which timm's modules compute: a network on the meta device has none."""
    for module in list(cut.modules()):
        if hasattr(module, "init_non_persistent_buffers"):
            module.to_empty(device="cpu")
            module.init_non_persistent_buffers()


def state_names(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor that predicting reads."""
    return {
        name: tuple(value.shape) for name, value in module.state_dict().items() if not name.endswith(_UNUSED_SUFFIX)
    }


def random_state(module: nn.Module, seed: int) -> dict[str, np.ndarray]:
    """Untrained weights for every tensor of a module: Gaussian, of variance 1 / fan-in.

    Normalisations do nothing, nor do the factors of residual branches (layer scale: gamma), which are 1.

    A variance of 2 / fan-in would let residual networks grow beyond float16.
    """
    generator = np.random.default_rng(seed)
    state = {}
    for name, shape in state_names(module).items():
        if len(shape) >= 2:
            fan_in = int(np.prod(shape[1:]))
            state[name] = (generator.standard_normal(shape) * np.sqrt(1 / fan_in)).astype(np.float32)
        else:
            ones = name.rpartition(".")[2].startswith(("weight", "running_var", "gamma"))
            state[name] = np.full(shape, 1.0 if ones else 0.0, np.float32)
    return state


def load_weights(name: str, weights: str) -> dict[str, np.ndarray]:
    """The state dict of the whole network `name` as float32 arrays.

    weights: "default" or a path (see ``FeatureSettings.weights``). Raises FileNotFoundError where the path
    does not exist, ValueError where the file is no state dict or the package of the weights is not installed,
    ConnectionError where the weights cannot be fetched: it says which file to fetch, and from where.
    """
    family = import_module(family_of(name).module)
    if weights != "default":
        state = read_state(Path(weights))
        return family.own_names(name, state) if hasattr(family, "own_names") else state
    try:
        tensors = family.published_weights(name)
    except (URLError, OSError, RuntimeError) as error:
        raise ConnectionError(
            f"weights: those of {name!r} are not on this machine and cannot be fetched "
            f"({shortened(' '.join(str(error).split()), _SHOWN)}); fetch them once with a network, or fetch "
            f"{family.weights_source(name)} elsewhere, and give its path as weights: --features.weights FILE"
        ) from error
    return _as_arrays(tensors)


def read_state(path: Path) -> dict[str, np.ndarray]:
    """A state dict in a .safetensors or .pth file as float32 arrays. Raises FileNotFoundError or ValueError."""
    if not path.is_file():
        raise FileNotFoundError(
            f"weights: expected default, random or the path of a state dict, got {os.fspath(path)!r}"
        )
    if path.suffix == ".safetensors":
        return {name: np.asarray(value, np.float32) for name, value in read_arrays(path)[0].items()}
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises whatever the damaged or foreign file makes it stumble over
        raise ValueError(
            f"{path}: expected a state dict that loads with weights_only=True, got {error_text(error)}"
        ) from error
    for key in ("state_dict", "model"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    if not isinstance(loaded, Mapping) or not all(isinstance(value, torch.Tensor) for value in loaded.values()):
        raise ValueError(f"{path}: expected a state dict (name -> tensor), got {type(loaded).__name__}")
    return _as_arrays(loaded)


def _as_arrays(tensors: Mapping[str, torch.Tensor]) -> dict[str, np.ndarray]:
    return {
        name: value.detach().to("cpu", torch.float32).numpy()
        for name, value in tensors.items()
        if not name.endswith(_UNUSED_SUFFIX)
    }


def select_state(
    state: Mapping[str, np.ndarray], wanted: Mapping[str, tuple[int, ...]], allowed: set[str], what: str
) -> dict[str, np.ndarray]:
    """The entries of `state` that a part of a network needs.

    wanted: name -> shape of what is needed. allowed: further names that may be there (the rest of the
    network). Raises ValueError naming missing, unexpected and misshapen entries.
    """
    missing = [name for name in wanted if name not in state]
    unexpected = [name for name in state if name not in wanted and name not in allowed]
    if missing or unexpected:
        raise ValueError(
            f"{what}: expected the network's state dict, got one with "
            f"missing keys {_some(missing)} and unexpected keys {_some(unexpected)}"
        )
    for name, shape in wanted.items():
        if state[name].shape != shape:
            raise ValueError(f"{what}, key {name!r}: expected shape {shape}, got {state[name].shape}")
    return {name: np.ascontiguousarray(state[name], np.float32) for name in wanted}


def _some(names: list[str], shown: int = 8) -> str:
    listed = ", ".join(names[:shown]) or "none"
    return f"{listed} ... ({len(names)})" if len(names) > shown else listed
