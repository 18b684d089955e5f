"""OpenVINO on a CPU: a network converted by OpenVINO itself through ``torch.export``, for images of any size."""

import copy
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from detection.engines.ir_cache import load_or_convert
from detection.engines.openvino_import import import_openvino
from detection.engines.openvino_operations import extensions
from detection.storage import fingerprint, shortened

# Raised whenever the code here converts a network to something else.
_VERSION = 1
# float32 throughout, also where the CPU has bfloat16. A request computes with one thread, so that no bit depends on
# how many there are; pinned to cores, requests of several callers would share some and leave others idle.
_OPTIONS = {
    "INFERENCE_PRECISION_HINT": "f32",
    "NUM_STREAMS": 1,
    "INFERENCE_NUM_THREADS": 1,
    "ENABLE_CPU_PINNING": False,
    # What is prepared for one size of image is kept for so many sizes and layers; more would grow with every photo.
    "CPU_RUNTIME_CACHE_CAPACITY": 1,
}
# Sides, in multiples, of the image that a network is exported on: unequal, or they are taken for one. And of another
# that tells whether the exporter took a number that came from them for a constant, which it does without a word.
_EXAMPLE, _OTHER = (5, 7), (6, 4)
# Of a map's largest value: rounding stays far below, a wrong constant far above.
_TOLERANCE = 1e-2
# Characters of an error's text that are passed on.
_SHOWN = 400
_converting = threading.Lock()


class OpenVINOEngine:
    """A network compiled for float32 on one thread a request. Each process compiles for itself.

    Callers at one time get a request each: their results are the same bit for bit, whatever their number and order.
    """

    name = "openvino"

    def __init__(self, network: nn.Module, size_multiple: int) -> None:
        """Raises ValueError for a network that cannot be exported with sides of any length."""
        self._network, self._size_multiple = network, size_multiple
        self._prepare()

    def _prepare(self) -> None:
        weights = {name: value.numpy() for name, value in self._network.state_dict().items()}
        versions = (_VERSION, import_openvino().__version__, torch.__version__)
        key = fingerprint(versions, self._network.code, repr(self._network), self._size_multiple, weights)
        self._model = load_or_convert(key, lambda: _convert(self._network, self._size_multiple))
        self._lock = threading.Lock()
        # Requests that nobody uses just now, each of a compiled network with one stream.
        self._idle: list[Any] = []

    def __getstate__(self) -> dict[str, Any]:
        return {"_network": self._network, "_size_multiple": self._size_multiple}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._prepare()

    def __call__(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """See ``Engine``. The maps have memory of their own."""
        with self._lock:
            request = self._idle.pop() if self._idle else None
        request = request or _core().compile_model(self._model, "CPU", _OPTIONS).create_infer_request()
        # Where it lacks memory OpenVINO can leave the last images' maps where these are to be, without a word.
        for tensor in request.output_tensors:
            tensor.data.flat[:1] = np.nan
        # Outputs are copied: the next call writes over the originals.
        found = request.infer({0: images.detach().contiguous().numpy()}, share_inputs=True, share_outputs=False)
        maps = tuple(torch.from_numpy(found[index]) for index in range(len(found)))
        if any(one.flatten()[:1].isnan().any() for one in maps):
            raise MemoryError("OpenVINO computed no maps, as where memory is short, or maps that are no numbers")
        with self._lock:
            self._idle.append(request)
        return maps


def _core() -> Any:
    return import_openvino().Core()


def _convert(network: nn.Module, size_multiple: int) -> Any:
    """The network as an ``openvino.Model`` with batch, height and width dynamic."""
    with _converting, _quiet(), torch.no_grad():
        try:
            program = _export(network, size_multiple)
            (name,) = program.graph_signature.user_inputs
            shape = next(node.meta["val"].shape for node in program.graph.nodes if node.name == name)
            if any(str(shape[axis]).isdigit() for axis in (0, 2, 3)):
                raise TypeError(f"torch.export fixed the input's shape to {tuple(shape)}")
            model = import_openvino().convert_model(program, extension=extensions())
            _check(model, network, size_multiple)
            return model
        except Exception as error:  # whatever the exporter or the converter stumble over in a foreign network
            why = shortened(" ".join(str(error).split()) or type(error).__name__, _SHOWN)
            raise ValueError(
                f"features.engine: OpenVINO cannot convert this backbone for images of any size ({why}); "
                "set engine torch"
            ) from error


def _check(model: Any, network: nn.Module, size_multiple: int) -> None:
    """Raise TypeError where the model does not compute the network's maps of images of other sides."""
    sides = (size_multiple * one for one in _OTHER)
    images = torch.randn(1, 3, *sides, generator=torch.Generator().manual_seed(0))
    found = _core().compile_model(model, "CPU", _OPTIONS)({0: images.numpy()})
    for index, expected in enumerate(network(images.contiguous(memory_format=torch.channels_last))):
        one = torch.from_numpy(found[index])
        if one.shape != expected.shape or not (one - expected).abs().max() <= _TOLERANCE * expected.abs().max():
            raise TypeError("torch.export took numbers that come from an image's sides for constants")


def _export(network: nn.Module, size_multiple: int) -> torch.export.ExportedProgram:
    plain = copy.deepcopy(network)
    for module in plain.modules():
        # In place, an activation is taken apart anew at every call: five times the seconds.
        if getattr(module, "inplace", False):
            module.inplace = False
    example = torch.zeros(2, 3, *(size_multiple * one for one in _EXAMPLE))
    any_length = torch.export.Dim.AUTO
    shapes = ({0: any_length, 2: any_length, 3: any_length},)
    return torch.export.export(plain, (example,), dynamic_shapes=shapes, strict=False)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the pages that torch logs about lengths it cannot solve for, and goes on.

    OpenVINO's converter sets the level of all logging, and leaves it so where it fails: it is given back.
    """
    loggers = [logging.getLogger(), logging.getLogger("torch.fx.experimental.symbolic_shapes")]
    before = [one.level for one in loggers]
    loggers[1].setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
