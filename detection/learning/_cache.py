"""What mining holds: feature rows that several classes share, and each class's samples among them."""

from __future__ import annotations

import numpy as np

# A full store grows by this factor: little waste, and few copies.
_GROWTH = 1.5
_FIRST_ROWS = 256


class RowStore:
    """Rows of float32 with use counts: a row is held once however many classes use it, and its place is
    used again when none does.

    values: (capacity, D) float32; a row's place stays the same while it is used.
    """

    def __init__(self) -> None:
        self.values = np.empty((0, 0), np.float32)
        self._uses = np.zeros(0, np.int32)
        self._top = 0
        self._free = np.zeros(0, np.int64)

    @property
    def held_rows(self) -> int:
        """Rows in use."""
        return int((self._uses[: self._top] > 0).sum())

    @property
    def held_bytes(self) -> int:
        """Bytes of memory reserved for rows."""
        return self.values.nbytes

    def add(self, values: np.ndarray) -> np.ndarray:
        """Places (N,) int64 of new rows (N, D), not in use yet: see `use`."""
        if not len(values):
            return np.zeros(0, np.int64)
        reused = self._free[: len(values)]
        fresh = len(values) - len(reused)
        self._reserve(self._top + fresh, values.shape[1])
        places = np.concatenate([reused, np.arange(self._top, self._top + fresh)])
        self._free = self._free[len(reused) :]
        self._top += fresh
        self.values[places] = values
        return places

    def use(self, places: np.ndarray) -> None:
        """Count one more user of each place (no place twice)."""
        self._uses[places] += 1

    def release(self, places: np.ndarray) -> None:
        """Count one user less of each place (no place twice); places without a user are free again."""
        self._uses[places] -= 1
        self._free = np.concatenate([self._free, places[self._uses[places] == 0]])

    def _reserve(self, rows: int, length: int) -> None:
        if rows <= len(self.values):
            return
        capacity = max(rows, int(self._top * _GROWTH), _FIRST_ROWS)
        values = np.empty((capacity, length), np.float32)
        values[: self._top] = self.values[: self._top].reshape(-1, length)
        self.values = values
        self._uses = np.concatenate([self._uses, np.zeros(capacity - len(self._uses), np.int32)])


class ClassCache:
    """One class's samples, as places in the shared rows, and their dual variables."""

    def __init__(self) -> None:
        self.places = np.zeros(0, np.int64)
        self.positives = 0
        self.keys = np.zeros((0, 2), np.int64)
        self.alphas = np.zeros(0, np.float32)
        self.added = 0
        self.trained = False

    @property
    def negatives(self) -> int:
        return len(self.places) - self.positives

    def append(self, places: np.ndarray, keys: np.ndarray) -> None:
        self.places = np.concatenate([self.places, places])
        self.alphas = np.concatenate([self.alphas, np.zeros(len(places), np.float32)])
        self.keys = np.concatenate([self.keys, keys])

    def keep(self, wanted: np.ndarray) -> np.ndarray:
        """Keep the samples where `wanted`; returns the places of the others, all negatives."""
        dropped = self.places[~wanted]
        self.places, self.alphas = self.places[wanted], self.alphas[wanted]
        self.keys = self.keys[wanted[self.positives :]]
        return dropped

    def windows_of(self, position: int) -> np.ndarray:
        """Windows of the image at `position` that are kept already."""
        return self.keys[self.keys[:, 0] == position, 1]
