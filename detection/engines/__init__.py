"""What computes a network: normalised images in, the maps of its stages out.

An engine is a module of this room and a line of `ENGINES`. Names are loaded when first used, so that what needs no
torch does not load it.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch
    from torch import nn

# Name -> (module, class): class(network, size_multiple) is an `Engine`, the network's function as its weights are.
ENGINES = {"torch": ("torch_engine", "TorchEngine"), "openvino": ("openvino_engine", "OpenVINOEngine")}
_THREADS = ("limit_threads", "parallel_executor", "single_threaded_pool")

__all__ = ["ENGINES", "Engine", "make_engine", "resolve_engine", "unavailable", *_THREADS]


class Engine(Protocol):
    """A network ready to compute; may be called from several threads at once, and pickled."""

    name: str

    def __call__(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(N, 3, H, W) float32 normalised -> T maps (N, C_t, h_t, w_t) float32 on the same device."""


def unavailable(name: str, device: str) -> str:
    """Why an engine cannot compute on a torch device here, an empty string where it can."""
    if name == "openvino" and device.split(":")[0] != "cpu":
        return f"openvino computes on the device cpu alone, got device {device}"
    if name == "openvino" and find_spec("openvino") is None:
        return "openvino needs the package openvino, which is not installed (pip install openvino)"
    return ""


def resolve_engine(setting: str, device: str) -> str:
    """The engine that a setting names on a torch device: "auto" is OpenVINO on a CPU where it is installed, else torch.

    Raises ValueError, naming the setting, for an engine that is unknown or cannot compute there.
    """
    if setting == "auto":
        return "torch" if unavailable("openvino", device) else "openvino"
    if setting not in ENGINES:
        raise ValueError(f"features.engine: expected auto or one of {', '.join(ENGINES)}, got {setting!r}")
    if fault := unavailable(setting, device):
        raise ValueError(f"features.engine: {fault}; set engine auto or torch")
    return setting


def make_engine(name: str, network: nn.Module, size_multiple: int) -> Engine:
    """The engine `name` (not "auto") for a folded network on its device.

    network: tells as its `code` what it computes with its layers, which are its `repr`. size_multiple: sides of images
    are multiples of it, in px. Raises ValueError where it cannot take the network.
    """
    module, kind = ENGINES[name]
    return getattr(import_module(f"{__name__}.{module}"), kind)(network, size_multiple)


def __getattr__(name: str):
    if name not in _THREADS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.threads"), name)
