"""Scratch memory that is kept from image to image: fresh pages of it cost as much as sorting what they hold."""

from __future__ import annotations

import math
import threading

import numpy as np

# A larger piece (an image of more than about 0.5 million px) is not kept: its time goes elsewhere, its memory matters.
MOST_KEPT_BYTES = 16 * 2**20


class Buffers(threading.local):
    """Named pieces of memory, a set for each thread."""

    def __init__(self) -> None:
        self._kept: dict[str, np.ndarray] = {}

    def take(self, name: str, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        """An array of any content. It is the caller's until the same thread takes the same name again."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if size > MOST_KEPT_BYTES:
            return np.empty(shape, dtype)
        if name not in self._kept or self._kept[name].size < size:
            self._kept[name] = np.empty(size, np.uint8)
        return self._kept[name][:size].view(dtype).reshape(shape)
