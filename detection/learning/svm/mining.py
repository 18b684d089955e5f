"""Training the SVMs of all classes with hard negatives, image by image (rcnn_train.m)."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field

import numpy as np

from detection.learning.svm._cache import Task
from detection.learning.svm._trainer import Trainer
from detection.learning.svm.augmentation import ExtraPositives
from detection.learning.svm.checkpoint import MiningCheckpoint
from detection.learning.svm.linear_svms import LinearSVMs
from detection.learning.svm.solver import Loss
from detection.learning.svm.stream import NormSettings, Stream

# on_progress(phase, images done in it); phases are "positives" and "mining pass 1", "mining pass 2", ...
OnProgress = Callable[[str, int], None]

# A class with fewer positives than this is worth a warning.
FEW_POSITIVES = 10
# Bound of passes that go on "until one adds none": a class that never settles must end too.
MAX_PASSES = 100


@dataclass(frozen=True)
class SVMSettings:
    """How the SVMs are trained: R-CNN's protocol, which SPP-net follows (paper, section 4.1).

    Args:
        C: cost of a negative's loss at the features' target norm. R-CNN rcnn_train.m: 1e-3; the default is larger
            because it did better with the default backbone on folds of a training split (docs/choices.md).
        bias_multiplier: value of the constant feature whose weight gives the bias; large values penalise the
            bias less. R-CNN rcnn_train.m: 10.
        positive_weight: cost of a positive's loss, in costs of a negative's. R-CNN rcnn_train.m: 2.
        loss: hinge (R-CNN, liblinear -s 3) or squared_hinge.
        norm: scaling of the features; it is folded into the weights.
        negative_iou: proposals whose IoU with every instance of a class is below this are its negatives. R-CNN
            report, section 2.3, and spp_train.m: 0.3.
        negative_overlap: among the proposals that are negatives of every class, one is left out if its IoU with an
            earlier one is above this; null keeps all. SPP-net paper, section 4.1: 0.7; its released code: null.
        distinct_negatives: whether proposals with equal vectors, that is of one scale and the same cells, are left out
            but for the first. Released SPP-net: true (spp_train.m, spp_features_convX_to_poolX.m); paper: not stated.
        use_difficult: whether objects marked difficult are positives. R-CNN and the released SPP-net: true
            (imdb/roidb_from_voc.m). If not, proposals near them still are no negatives.
        mirrored_positives: whether objects are positives mirrored left to right too: needs maps of the mirrored
            photos with objects. For few photos (docs/learning.md). R-CNN, SPP-net: false.
        jittered_positives: boxes beside each object that are positives too. For few photos. R-CNN, SPP-net: 0.
        jitter_iou: least IoU of such a box with its object.
        hard_threshold: a negative scored above this is kept for training. SVM margin. rcnn_train.m: -1.0001.
        evict_threshold: after training, a negative scored below this is dropped. SVM margin. rcnn_train.m:
            -1.2 (Fast R-CNN: -1.1).
        retrain_after: a class is trained again when more than this many negatives were added since the last
            time. rcnn_train.m: 2000.
        retrain_growth: part of the negatives kept that must have been added as well, so that the time of all trainings
            grows with the negatives and not with their square. rcnn_train.m: 0.
        passes: times the images are gone through for negatives, fewer if one pass adds none; 0: until one adds
            none. rcnn_train.m: 1.
        memory_mib: most memory for the vectors of positives and kept negatives, in MiB. (R-CNN keeps what comes.)
        tolerance: largest duality gap of a trained class, as a part of its objective.
        mining_tolerance: the same of trainings on the way, which only choose negatives; every pass ends in one to
            `tolerance`. R-CNN trains to liblinear's default, projected gradients of 0.1 at most, throughout.
        max_iter: passes of the solver over its samples before it gives up.
        seed: of the order in which the solver visits samples.
    """

    C: float = 1e-2
    bias_multiplier: float = 10.0
    positive_weight: float = 2.0
    loss: Loss = "hinge"
    norm: NormSettings = field(default_factory=NormSettings)
    negative_iou: float = 0.3
    negative_overlap: float | None = None
    distinct_negatives: bool = False
    use_difficult: bool = True
    mirrored_positives: bool = False
    jittered_positives: int = 0
    jitter_iou: float = 0.8
    hard_threshold: float = -1.0001
    evict_threshold: float = -1.2
    retrain_after: int = 2000
    retrain_growth: float = 1.0
    passes: int = 1
    memory_mib: int = 2000
    tolerance: float = 5e-5
    mining_tolerance: float = 1e-3
    max_iter: int = 10_000
    seed: int = 3

    def __post_init__(self) -> None:
        for key in ("C", "positive_weight", "tolerance", "mining_tolerance", "max_iter", "memory_mib"):
            if not getattr(self, key) > 0:
                raise ValueError(f"svm.{key}: expected > 0, got {getattr(self, key)}")
        for key in ("bias_multiplier", "retrain_after", "retrain_growth", "seed", "passes", "jittered_positives"):
            if getattr(self, key) < 0:
                raise ValueError(f"svm.{key}: expected >= 0, got {getattr(self, key)}")
        for key in ("negative_iou", "jitter_iou"):
            if not 0 < getattr(self, key) <= 1:
                raise ValueError(f"svm.{key}: expected > 0 and <= 1, got {getattr(self, key)}")
        if self.negative_overlap is not None and not 0 <= self.negative_overlap <= 1:
            raise ValueError(f"svm.negative_overlap: expected 0 .. 1 or null, got {self.negative_overlap}")
        if self.evict_threshold > self.hard_threshold:
            raise ValueError(
                f"svm.evict_threshold: expected at most hard_threshold {self.hard_threshold}, "
                f"got {self.evict_threshold}: kept negatives would be dropped at once"
            )
        if self.loss not in ("hinge", "squared_hinge"):
            raise ValueError(f"svm.loss: expected hinge or squared_hinge, got {self.loss!r}")

    @property
    def extra_positives(self) -> ExtraPositives | None:
        """What is to be made of each object beside itself; None: nothing."""
        if not (self.mirrored_positives or self.jittered_positives):
            return None
        return ExtraPositives(
            self.mirrored_positives, self.jittered_positives, self.jitter_iou, self.use_difficult, self.seed
        )


@dataclass(frozen=True)
class MiningEntry:
    """One training of one class. images: images seen in the pass when it happened (pass from 1).

    positives, negatives: trained on. added: negatives new since the last training. evicted: negatives
    dropped after it. objective, gap: of the problem at the features' target norm. left_out: hard negatives
    that were not added for lack of memory.
    """

    label: int
    mining_pass: int
    images: int
    positives: int
    negatives: int
    added: int
    evicted: int
    objective: float
    gap: float
    iterations: int
    converged: bool
    left_out: int = 0


@dataclass(frozen=True)
class TrainingSamples:
    """What a class was trained on last and kept: its positives, then the negatives that were not dropped.

    image_ids: N strings. boxes: (N, 4) float32, image frame. margins: (N,) float32, scores by the trained SVM.
    alphas: (N,) float32, dual variables: those above 0 are the support vectors.
    """

    label: int
    positives: int
    image_ids: tuple[str, ...]
    boxes: np.ndarray
    margins: np.ndarray
    alphas: np.ndarray


@dataclass(frozen=True)
class MiningLog:
    """What happened: every training, the features' mean norm and scale, and the most memory held for rows.

    samples: of every SVM that was trained; left out when logs are compared.
    """

    entries: tuple[MiningEntry, ...]
    positives: tuple[int, ...]
    mean_norm: float
    scale: float
    images: int
    peak_rows: int
    peak_bytes: int
    samples: tuple[TrainingSamples, ...] = field(default=(), compare=False)


def train_svms(
    stream: Stream,
    num_classes: int,
    settings: SVMSettings | None = None,
    on_progress: OnProgress | None = None,
    *,
    first_pass: Stream | None = None,
    executor: Executor | None = None,
    checkpoint: MiningCheckpoint | None = None,
) -> tuple[LinearSVMs, MiningLog]:
    """Train one SVM a class: positives are the ground-truth boxes, negatives are mined.

    stream() is called once for the positives and the mean norm, and once a mining pass; each time it yields
    the same images in the same order. first_pass() if given replaces the first of these calls: it may leave
    out the proposals (R = 0) of the images that `norm_sample_images` does not name, and the result is the same.

    Until a class is trained once, all its negatives are kept, so all of its first image; afterwards those
    scored above the hard threshold. All classes are scored in one go. Held in memory: the positives, the
    kept negatives (once for all classes), one image; the first two within ``settings.memory_mib``. Where the
    negatives do not fit, all classes are trained and what does not hold up any of them is dropped; of an image
    whose hard negatives still do not fit, the easier ones are left out, which the log tells. A class without a
    positive or without any negative stays untrained.

    executor: where classes that are due at the same image are trained at a time; threads share the rows, anything
    else gets copies; the result is the same. checkpoint: folder where the state is kept after every few images. Where
    it holds a state of the same key, training goes on behind its last image, bit-equal to one that was not
    interrupted; the streams are then called with that image's id, and yield the images behind it. The caller
    removes it.

    Raises ValueError for labels out of range, images of different layers or lengths, passes that are not over the
    same number of images, or over none, and positives that do not fit into memory.
    """
    settings = settings or SVMSettings()
    tasks = [Task(label, settings.C, settings.positive_weight) for label in range(num_classes)]

    def new() -> Trainer:
        return Trainer(num_classes, tasks, settings, executor, checkpoint)

    trainer = new()
    if not trainer.restore():
        trainer = new()
    run_passes(trainer, stream, first_pass or stream, on_progress)
    return LinearSVMs(*trainer.machines(), trainer.layer), trainer.log()


def run_passes(trainer: Trainer, stream: Stream, first_pass: Stream, on_progress: OnProgress | None) -> None:
    """Take a trainer through all its passes, from where it stands."""
    report = on_progress or (lambda phase, done: None)

    def images(source: Stream):
        return source() if trainer.last_image is None else source(trainer.last_image)

    if not trainer.number:
        trainer.collect_positives(images(first_pass), lambda done: report("positives", done))
    last = trainer.settings.passes or MAX_PASSES
    while trainer.number <= last:
        number = trainer.number
        if not trainer.mine(images(stream), lambda done, n=number: report(f"mining pass {n}", done)):
            break
