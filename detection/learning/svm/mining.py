"""Training the SVMs of all classes with hard negatives, image by image (rcnn_train.m)."""

from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial

from detection.learning.svm._rows import Task
from detection.learning.svm._trainer import Trainer
from detection.learning.svm.checkpoint import MiningCheckpoint
from detection.learning.svm.linear_svms import LinearSVMs
from detection.learning.svm.log import MiningLog
from detection.learning.svm.samples import OnProgress, Stream
from detection.learning.svm.settings import SVMSettings


def train_svms(
    stream: Stream,
    num_classes: int,
    settings: SVMSettings | None = None,
    on_progress: OnProgress | None = None,
    *,
    first_pass: Stream | None = None,
    executor: Executor | None = None,
    checkpoint: MiningCheckpoint | None = None,
    fold_of: Mapping[str, int] | None = None,
) -> tuple[LinearSVMs, MiningLog]:
    """Train one SVM a class: positives are the ground-truth boxes, negatives are mined.

    stream() is called once for the positives and the mean norm, and once a mining pass; each time it yields
    the same images in the same order. first_pass() if given replaces the first of these calls: it may leave
    out the proposals (R = 0) of the images that `norm_sample_images` does not name, and the result is the same.

    Until a class is trained once, all its negatives are kept, so all of its first image; afterwards those scored above
    the hard threshold. All classes are scored in one go. Held in memory: the positives, the kept negatives (once for
    all classes), one image; the first two within ``settings.memory_mib``. Where the negatives do not fit, all classes
    are trained and what does not hold up any of them is dropped; of an image whose hard negatives still do not fit, the
    easier ones are left out, which the log counts. A class without a positive or without any negative stays untrained.

    executor: where classes that are due at the same image are trained at a time; threads share the rows, anything else
    gets copies; the result is the same. checkpoint: folder where the state is kept after every few images. Where it
    holds a state of the same key, training goes on behind its last image, bit-equal to one that was not interrupted;
    the streams are then called with that image's id, and yield the images behind it. The caller removes it.

    fold_of: image id -> fold; the log then has SVMs without each fold too, see `fit_folds`.

    Raises ValueError for labels out of range, images of different layers or lengths, passes that are not over the
    same number of images, or over none, and positives that do not fit into memory.
    """
    settings = settings or SVMSettings()
    tasks = [Task(label, settings.C, settings.positive_weight) for label in range(num_classes)]
    new = partial(Trainer, num_classes, tasks, settings, executor, checkpoint)
    trainer = new()
    if not trainer.restore():
        trainer = new()
    trainer.run(stream, first_pass or stream, on_progress)
    log = trainer.log()
    return trainer.svms(), log if fold_of is None else replace(log, held_out=tuple(trainer.held_out(fold_of)))
