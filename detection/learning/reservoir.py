"""The examples that box regression keeps of a class."""

from collections.abc import Sequence

import numpy as np


class Reservoir:
    """A uniform random sample of at most `capacity` (row, target) pairs out of a stream of unknown length.

    Vitter's algorithm R; the same seed and stream give the same sample, however the stream is cut. new: positions in
    the sample of what came since they were last cleared.
    """

    def __init__(self, capacity: int, seed) -> None:
        self.capacity, self.seen = capacity, 0
        self.new: set[int] = set()
        self._generator = np.random.default_rng(seed)
        self._pairs: list[tuple[np.ndarray, np.ndarray]] = []

    @property
    def rows(self) -> np.ndarray:
        """(N, D) float32."""
        return np.stack([row for row, _ in self._pairs]) if self._pairs else np.zeros((0, 0), np.float32)

    @property
    def targets(self) -> np.ndarray:
        """(N, 4) float64."""
        return np.array([target for _, target in self._pairs]).reshape(-1, 4)

    def row(self, position: int) -> np.ndarray:
        """(D,) float32, that at a position in the sample."""
        return self._pairs[position][0]

    def add(self, rows: np.ndarray, targets: np.ndarray) -> None:
        """Offer rows (n, D) with targets (n, 4)."""
        for row, target in zip(rows, targets, strict=True):
            # One draw a row whether it is needed or not, so that cutting the stream elsewhere changes nothing.
            place = int(self._generator.random() * (self.seen + 1))
            self.seen += 1
            if len(self._pairs) < self.capacity:
                place = len(self._pairs)
                self._pairs.append((row.copy(), target))
            elif place < self.capacity:
                self._pairs[place] = row.copy(), target
            else:
                continue
            self.new.add(place)

    def restore(self, rows: Sequence[np.ndarray], targets: np.ndarray, seen: int) -> None:
        """Be, as a new reservoir, one that was offered `seen` rows and kept these."""
        self._pairs, self.seen = list(zip(rows, targets, strict=True)), seen
        self._generator.bit_generator.advance(seen)
