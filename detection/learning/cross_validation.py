"""SVMs for cross-validation over images: several settings and folds trained in one go over the images."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from detection.learning.svm._rows import Task
from detection.learning.svm._trainer import Trainer
from detection.learning.svm.linear_svms import LinearSVMs
from detection.learning.svm.log import MiningLog
from detection.learning.svm.samples import OnProgress, Stream
from detection.learning.svm.settings import SVMSettings


def image_folds(image_ids: Sequence[str], folds: int, seed: int) -> dict[str, int]:
    """Image id -> fold in 0 .. folds - 1: a seeded random division into parts whose sizes differ by one at most.

    Raises ValueError for fewer than two folds or fewer images than folds.
    """
    if not 2 <= folds <= len(image_ids):
        raise ValueError(f"folds: expected 2 .. {len(image_ids)} (the images), got {folds}")
    order = np.random.default_rng(seed).permutation(len(image_ids))
    return {image_ids[image]: place % folds for place, image in enumerate(order)}


def train_fold_svms(
    stream: Stream,
    num_classes: int,
    settings: Sequence[SVMSettings],
    fold_of: Mapping[str, int],
    on_progress: OnProgress | None = None,
    *,
    first_pass: Stream | None = None,
) -> tuple[list[list[LinearSVMs]], MiningLog]:
    """[setting][fold]: the SVMs trained as by `train_svms` on the images of all other folds, and the log of all.

    settings: may differ in C and positive_weight alone, else ValueError; the memory of the first counts for all of
    them together. stream, first_pass: as for `train_svms`; the images are read once for all settings and folds. The
    features' scale, which no label enters, is that of all images.
    """
    first = settings[0]
    same = {replace(one, C=first.C, positive_weight=first.positive_weight) for one in settings}
    if len(same) > 1:
        raise ValueError("cross-validation: expected settings that differ in C and positive_weight alone")
    folds = sorted(set(fold_of.values()))
    tasks = [
        Task(label, one.C, one.positive_weight, fold)
        for one in settings
        for fold in folds
        for label in range(num_classes)
    ]
    trainer = Trainer(num_classes, tasks, first, folds=fold_of)
    trainer.run(stream, first_pass or stream, on_progress)
    places = np.arange(len(tasks)).reshape(len(settings), len(folds), num_classes)
    svms = trainer.svms()
    return [[svms.select(labels) for labels in of_folds] for of_folds in places], trainer.log()
