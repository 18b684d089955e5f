"""What a mining has so far: samples, weights and log of all its SVMs, kept in a checkpoint and taken up from it."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from detection.learning.svm._rows import MIB, ClassCache, RowStore, Task
from detection.learning.svm.checkpoint import MiningCheckpoint
from detection.learning.svm.linear_svms import LinearSVMs, block_products, padded
from detection.learning.svm.log import MiningEntry, MiningLog, TrainingSamples
from detection.learning.svm.samples import NormSample
from detection.learning.svm.settings import SVMSettings

# Rows scored at a time for the log: few, as they are copied.
_SCORED_ROWS = 256
# What a mining knows of itself, as plain data.
_FACTS = ("layer", "length", "number", "done", "added", "last_image", "image_ids")


class MiningState:
    """The state of the SVMs of `tasks`, trained over the same images. checkpoint: where it is kept; None: nowhere."""

    def __init__(
        self, num_classes: int, tasks: Sequence[Task], settings: SVMSettings, checkpoint: MiningCheckpoint | None
    ) -> None:
        self.num_classes, self.settings, self.checkpoint = num_classes, settings, checkpoint
        self.caches = [ClassCache(task) for task in tasks]
        self.store = RowStore(settings.memory_mib * MIB, checkpoint.rows_file if checkpoint else None)
        self.entries: list[MiningEntry] = []
        self.layer, self.length = "", 0
        self.sample = NormSample(settings.norm)
        # Where it stands: pass (0: the positives), images done in it, negatives it added, id of the last image done.
        self.number = self.done = self.added = 0
        self.last_image: str | None = None
        self.image_ids: list[str] = []

    def begin(self, layer: str, length: int) -> None:
        """Make room for vectors of `length` values, and weights for all SVMs."""
        self.layer, self.length = layer, length
        self.store.open(length)
        self.weights = padded(np.zeros((len(self.caches), length), np.float32))
        self.biases = np.zeros(len(self.caches), np.float32)

    def commit(self) -> None:
        """Write the state, where it is kept, and let places that were set free be used again."""
        if self.checkpoint is not None:
            self.checkpoint.write(*self._state())
        self.store.commit()

    def _state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """(arrays, facts) for `MiningCheckpoint.write`: all but the rows, which have a file of their own."""
        arrays = {f"{i}.{name}": getattr(one, name) for i, one in enumerate(self.caches) for name in one.ARRAYS}
        arrays |= {f"norms.{position}": norms for position, norms in self.sample.norms.items()}
        arrays |= {"checks": self.store.used_checks(), "weights": self.weights, "biases": self.biases}
        facts = {name: getattr(self, name) for name in _FACTS}
        facts |= {"peak_rows": self.store.peak_rows, "seen": self.sample.seen}
        facts["caches"] = [{name: getattr(one, name) for name in one.FACTS} for one in self.caches]
        return arrays, facts | {"entries": [vars(one) for one in self.entries]}

    def restore(self) -> bool:
        """Take up the state in the checkpoint, as a new trainer; False where there is none that is whole."""
        found = self.checkpoint.read() if self.checkpoint else None
        if found is None:
            return False
        arrays, facts = found
        for name in _FACTS:
            setattr(self, name, facts[name])
        self.entries = [MiningEntry(**one) for one in facts["entries"]]
        self.sample.seen = facts["seen"]
        positions = sorted(int(name.removeprefix("norms.")) for name in arrays if name.startswith("norms."))
        self.sample.norms = {position: arrays[f"norms.{position}"] for position in positions}
        self.weights, self.biases = arrays["weights"], arrays["biases"]
        for index, (cache, numbers) in enumerate(zip(self.caches, facts["caches"], strict=True)):
            for name in cache.ARRAYS:
                setattr(cache, name, arrays[f"{index}.{name}"])
            for name in cache.FACTS:
                setattr(cache, name, numbers[name])
        self.store.open(self.length, kept=True)
        return self.store.restore([one.places for one in self.caches], arrays["checks"], facts["peak_rows"])

    def svms(self) -> LinearSVMs:
        """The SVMs, one a task."""
        trained = np.array([cache.trained for cache in self.caches], dtype=bool)
        return LinearSVMs(self.weights[: len(trained)].copy(), self.biases.copy(), trained, self.layer)

    def samples(self, index: int) -> TrainingSamples:
        """What the SVM of a task was trained on last, with its margins."""
        cache = self.caches[index]
        parts = np.split(cache.places, range(_SCORED_ROWS, len(cache.places), _SCORED_ROWS))
        scores = [block_products(self.store.values[part], self.weights)[:, index] for part in parts]
        margins = np.concatenate(scores) + self.biases[index]
        ids = tuple(self.image_ids[place] for place in [*cache.origins, *cache.keys[:, 0]])
        return TrainingSamples(cache.task.label, cache.positives, ids, cache.boxes, margins, cache.alphas)

    def log(self) -> MiningLog:
        """What happened."""
        return MiningLog(
            entries=tuple(self.entries),
            positives=tuple(cache.positives for cache in self.caches),
            mean_norm=self.sample.mean(),
            scale=self.sample.scale(),
            images=len(self.image_ids),
            peak_rows=self.store.peak_rows,
            peak_bytes=self.store.peak_bytes,
            samples=tuple(self.samples(index) for index, cache in enumerate(self.caches) if cache.trained),
        )
