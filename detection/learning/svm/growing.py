"""SVMs of a set of images that changes: images come, come again with other objects, and go; so do classes."""

from collections.abc import Mapping
from concurrent.futures import Executor

import numpy as np

from detection.learning.svm._rows import ClassCache, Task
from detection.learning.svm._trainer import Trainer
from detection.learning.svm.linear_svms import LinearSVMs, padded
from detection.learning.svm.samples import TrainingRegions, checked
from detection.learning.svm.settings import SVMSettings


class GrowingSVMs:
    """SVMs that are trained again after each change, from the dual variables of the time before.

    Of an image its positives are kept, and the negatives that its class scored above the hard threshold when the image
    was put or mined; all of them where the class was not trained yet. Once every image is mined until that adds none,
    the SVMs are those of `train_svms` with ``passes`` 0, to the tolerance. Memory: ``settings.memory_mib``, as there.
    executor: where several classes are trained at a time.
    """

    def __init__(self, settings: SVMSettings, executor: Executor | None = None) -> None:
        self._trainer = Trainer(0, [], settings, executor)
        # Image id -> position, of all that ever were put.
        self._positions: dict[str, int] = {}

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return self._trainer.num_classes

    @property
    def positives(self) -> np.ndarray:
        """(L,) int64: positives of each class."""
        return np.array([one.positives for one in self._trainer.caches], np.int64)

    def add_classes(self, count: int) -> None:
        """So many classes more, behind those there are; they are trained once they have positives and negatives."""
        trainer, settings = self._trainer, self._trainer.settings
        for label in range(trainer.num_classes, trainer.num_classes + count):
            trainer.caches.append(ClassCache(Task(label, settings.C, settings.positive_weight)))
        trainer.num_classes += count
        if trainer.layer:
            before = len(trainer.biases)
            trainer.weights = padded(np.pad(trainer.weights[:before], ((0, count), (0, 0))))
            trainer.biases = np.pad(trainer.biases, (0, count))

    def put(self, regions: TrainingRegions) -> None:
        """Take an image's samples, in place of those that it had.

        Raises ValueError for labels out of range, another layer or length than the first image's, and positives that
        do not fit into memory.
        """
        trainer = self._trainer
        self._check(regions)
        self.remove(regions.image_id)
        if regions.image_id not in self._positions:
            self._positions[regions.image_id] = trainer.images
            trainer._add_image(regions)
        trainer.done = self._positions[regions.image_id]
        trainer._add_positives(regions)
        for cache in self._of_image():
            cache.on_the_way = True
        trainer._mine_image(regions)

    def mine(self, regions: TrainingRegions) -> int:
        """Take the hard negatives that an image, put before, has for the SVMs of now; returns how many are new.

        Raises ValueError for an image that was not put before.
        """
        trainer = self._trainer
        if regions.image_id not in self._positions:
            raise ValueError(f"growing SVMs: image {regions.image_id!r}: expected one that was put before")
        trainer.done, before = self._positions[regions.image_id], trainer.added
        trainer._mine_image(regions)
        return trainer.added - before

    def remove(self, image_id: str) -> None:
        """Drop the samples of an image, if it has any."""
        trainer = self._trainer
        if image_id not in self._positions:
            return
        trainer.done = self._positions[image_id]
        for cache in self._of_image():
            trainer.store.release(cache.keep(cache.positions != trainer.done))
            cache.on_the_way = True
        trainer.store.commit()

    def train(self) -> None:
        """Train what has changed since the last time; a class without positives or negatives is untrained."""
        trainer = self._trainer
        if not trainer.layer:
            return
        for index, cache in enumerate(trainer.caches):
            if not (cache.positives and cache.negatives):
                trainer.weights[index], trainer.biases[index], cache.trained = 0, 0, False
        trainer._train([one for one in trainer._unsettled() if one.positives and one.negatives], 0)
        trainer.entries.clear()
        trainer.store.commit()

    def svms(self) -> LinearSVMs:
        """The SVMs of the last training. Raises ValueError before the first image."""
        if not self._trainer.layer:
            raise ValueError("growing SVMs: expected at least one image, got none")
        return self._trainer.svms()

    def held_out(self, fold_of: Mapping[str, int]) -> list[LinearSVMs]:
        """Of each fold SVMs that are trained on what is kept of the other folds' images; others count for nothing."""
        return self._trainer.held_out(fold_of)

    def _of_image(self) -> list[ClassCache]:
        """The classes that have samples of the image that is being done."""
        return [one for one in self._trainer.caches if (one.positions == self._trainer.done).any()]

    def _check(self, regions: TrainingRegions) -> None:
        known = (self._trainer.layer, self._trainer.length) if self._trainer.layer else None
        list(checked([regions], self.num_classes, "growing SVMs", known))
