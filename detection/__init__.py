"""SPP-net object detection: one convolutional pass an image, pyramid pooling, linear SVMs, box regression.

``from detection import Detector`` gives the trained detector; every room can be imported by itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from detection.caches import choose_kernel_folder

if TYPE_CHECKING:
    from detection.detector import Detector

__all__ = ["Detector"]

# Before any room loads numba.
choose_kernel_folder(Path(__file__).parent)


def __getattr__(name: str) -> Any:
    # Not imported above: it brings torch, which the other rooms do without.
    if name == "Detector":
        from detection.detector import Detector

        return Detector
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
