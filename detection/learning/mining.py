"""Training the SVMs of all classes with hard negatives, image by image (rcnn_train.m)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from detection.learning._cache import ClassCache, RowStore
from detection.learning.assignment import max_overlaps, negatives_of
from detection.learning.classifier import LinearSVMs, block_products, padded
from detection.learning.stream import NormSample, NormSettings, Stream, TrainingRegions
from detection.learning.svm import Loss, solve_svm

# on_progress(phase, images done in it); phases are "positives" and "mining pass 1", "mining pass 2", ...
OnProgress = Callable[[str, int], None]


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
        negative_iou: windows whose IoU with every instance of a class is below this are its negatives. R-CNN
            report, section 2.3, and spp_train.m: 0.3.
        negative_overlap: among the windows that are negatives of every class, one is left out if its IoU with an
            earlier one is above this; null keeps all. SPP-net paper, section 4.1: 0.7; its released code: null.
        distinct_negatives: whether windows with equal vectors, that is of one scale and the same cells, are left out
            but for the first. Released SPP-net: true (spp_train.m, spp_features_convX_to_poolX.m); paper: not stated.
        use_difficult: whether objects marked difficult are positives. R-CNN and the released SPP-net: true
            (imdb/roidb_from_voc.m). If not, windows near them still are no negatives.
        hard_threshold: a negative scored above this is kept for training. SVM margin. rcnn_train.m: -1.0001.
        evict_threshold: after training, a negative scored below this is dropped. SVM margin. rcnn_train.m:
            -1.2 (Fast R-CNN: -1.1).
        retrain_after: a class is trained again when more than this many negatives were added since the last
            time. rcnn_train.m: 2000.
        passes: times the images are gone through for negatives, fewer if one pass adds none. rcnn_train.m: 1.
        tolerance: largest duality gap of a trained class, as a part of its objective.
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
    hard_threshold: float = -1.0001
    evict_threshold: float = -1.2
    retrain_after: int = 2000
    passes: int = 1
    tolerance: float = 5e-5
    max_iter: int = 10_000
    seed: int = 3

    def __post_init__(self) -> None:
        for key in ("C", "positive_weight", "tolerance", "max_iter", "passes"):
            if not getattr(self, key) > 0:
                raise ValueError(f"svm.{key}: expected > 0, got {getattr(self, key)}")
        for key in ("bias_multiplier", "retrain_after", "seed"):
            if getattr(self, key) < 0:
                raise ValueError(f"svm.{key}: expected >= 0, got {getattr(self, key)}")
        if not 0 < self.negative_iou <= 1:
            raise ValueError(f"svm.negative_iou: expected > 0 and <= 1, got {self.negative_iou}")
        if self.negative_overlap is not None and not 0 <= self.negative_overlap <= 1:
            raise ValueError(f"svm.negative_overlap: expected 0 .. 1 or null, got {self.negative_overlap}")
        if self.evict_threshold > self.hard_threshold:
            raise ValueError(
                f"svm.evict_threshold: expected at most hard_threshold {self.hard_threshold}, "
                f"got {self.evict_threshold}: kept negatives would be dropped at once"
            )
        if self.loss not in ("hinge", "squared_hinge"):
            raise ValueError(f"svm.loss: expected hinge or squared_hinge, got {self.loss!r}")


@dataclass(frozen=True)
class MiningEntry:
    """One training of one class. images: images seen in the pass when it happened (pass from 1).

    positives, negatives: trained on. added: negatives new since the last training. evicted: negatives
    dropped after it. objective, gap: of the problem at the features' target norm.
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


@dataclass(frozen=True)
class MiningLog:
    """What happened: every training, the features' mean norm and scale, and the most memory held for rows."""

    entries: tuple[MiningEntry, ...]
    positives: tuple[int, ...]
    mean_norm: float
    scale: float
    images: int
    peak_rows: int
    peak_bytes: int


def train_svms(
    stream: Stream,
    num_classes: int,
    settings: SVMSettings | None = None,
    on_progress: OnProgress | None = None,
    *,
    first_pass: Stream | None = None,
) -> tuple[LinearSVMs, MiningLog]:
    """Train one SVM a class: positives are the ground-truth boxes, negatives are mined.

    stream() is called once for the positives and the mean norm, and once a mining pass; each time it yields
    the same images in the same order. first_pass() if given replaces the first of these calls: it may leave
    out the windows (R = 0) of the images that `norm_sample_images` does not name, and the result is the same.

    Until a class is trained once, all its negatives are kept, so all of its first image; afterwards those
    scored above the hard threshold. All classes are scored in one go. Held in memory: the positives, the
    kept negatives (once for all classes), one image. A class without a positive or without any negative
    stays untrained. Raises ValueError for labels out of range, images of different layers or lengths, or passes that
    are not over the same number of images, or over none.
    """
    trainer = _Trainer(num_classes, settings or SVMSettings())
    report = on_progress or (lambda phase, done: None)
    trainer.collect_positives((first_pass or stream)(), lambda done: report("positives", done))
    for number in range(1, trainer.settings.passes + 1):
        added = trainer.mine(stream(), number, lambda done, n=number: report(f"mining pass {n}", done))
        if not added:
            break
    return trainer.result()


class _Trainer:
    """State of one training run."""

    def __init__(self, num_classes: int, settings: SVMSettings) -> None:
        self.settings = settings
        self.store = RowStore()
        self.caches = [ClassCache() for _ in range(num_classes)]
        self.entries: list[MiningEntry] = []
        self.layer, self.length = "", 0
        self.images = 0
        self.peak_rows = 0

    def collect_positives(self, images, report) -> None:
        sample = NormSample(self.settings.norm)
        done = 0
        for done, regions in enumerate(images, start=1):
            self._check(regions)
            sample.add(regions.windows.values)
            usable = np.ones(len(regions.labels), bool) if self.settings.use_difficult else ~regions.difficult
            for label in np.unique(regions.labels[usable]):
                cache = self.caches[label]
                places = self.store.add(regions.objects.values[usable & (regions.labels == label)])
                self.store.use(places)
                cache.append(places, np.zeros((0, 2), np.int64))
                cache.positives += len(places)
            report(done)
        if not done:
            raise ValueError("train_svms: expected at least one image, got none")
        self.images = done
        self.mean_norm, self.scale = sample.mean(), sample.scale()
        self.weights = padded(np.zeros((len(self.caches), self.length), np.float32))
        self.biases = np.zeros(len(self.caches), np.float32)

    def mine(self, images, number: int, report) -> int:
        """One pass over the images; returns how many negatives it added."""
        added = done = 0
        for done, regions in enumerate(images, start=1):
            self._check(regions)
            added += self._mine_image(regions, done - 1)
            for label, cache in enumerate(self.caches):
                if cache.added and (not cache.trained or cache.added > self.settings.retrain_after):
                    self._train(label, number, done)
            report(done)
        if done != self.images:
            raise ValueError(f"train_svms: expected the same {self.images} images in every pass, got {done}")
        for label, cache in enumerate(self.caches):
            if cache.added:
                self._train(label, number, done)
        return added

    def _mine_image(self, regions: TrainingRegions, position: int) -> int:
        """Add the image's hard negatives to the classes' caches; a window once, whoever wants it."""
        windows, objects = regions.windows, regions.objects
        overlaps = max_overlaps(windows.boxes, objects.boxes, regions.labels, len(self.caches))
        scores = block_products(windows.values, self.weights)[:, : len(self.caches)] + self.biases
        wanted = negatives_of(overlaps, self.settings.negative_iou)
        for label, cache in enumerate(self.caches):
            if cache.trained:
                wanted[:, label] &= scores[:, label] > self.settings.hard_threshold
                wanted[cache.windows_of(position), label] = False
            elif not cache.positives:
                wanted[:, label] = False
        rows = np.flatnonzero(wanted.any(axis=1))
        places = self._known_places(position, len(wanted))
        rows = rows[places[rows] < 0]
        places[rows] = self.store.add(windows.values[rows])
        for label, cache in enumerate(self.caches):
            chosen = np.flatnonzero(wanted[:, label])
            self.store.use(places[chosen])
            cache.append(places[chosen], np.stack([np.full(len(chosen), position), chosen], axis=1))
            cache.added += len(chosen)
        self.peak_rows = max(self.peak_rows, self.store.held_rows)
        return int(wanted.sum())

    def _known_places(self, position: int, count: int) -> np.ndarray:
        """Places (count,) of the image's windows that some class keeps from an earlier pass; -1 for the others."""
        places = np.full(count, -1)
        for cache in self.caches:
            mine = cache.keys[:, 0] == position
            places[cache.keys[mine, 1]] = cache.places[cache.positives :][mine]
        return places

    def _train(self, label: int, number: int, done: int) -> None:
        """Train one class on its cache and drop its easy negatives.

        Scaling features by s is the same as C s^2 and bias_multiplier / s on the features as they are, with
        weights s times larger and an objective s^2 times larger: no row is copied, and the scale is folded
        into the weights by itself.
        """
        settings, cache = self.settings, self.caches[label]
        solution = solve_svm(
            self.store.values,
            np.where(np.arange(len(cache.places)) < cache.positives, 1, -1),
            rows=cache.places,
            C=settings.C * self.scale**2,
            bias_multiplier=settings.bias_multiplier / self.scale,
            positive_weight=settings.positive_weight,
            loss=settings.loss,
            tolerance=settings.tolerance,
            max_iter=settings.max_iter,
            seed=settings.seed,
            alphas=cache.alphas,
        )
        self.weights[label], self.biases[label] = solution.weights, solution.bias
        negatives, evicted = cache.negatives, self._evict(cache, solution)
        factor = 1 / self.scale**2
        self.entries.append(
            MiningEntry(
                label=label,
                mining_pass=number,
                images=done,
                positives=cache.positives,
                negatives=negatives,
                added=cache.added,
                evicted=evicted,
                objective=solution.objective * factor,
                gap=solution.gap * factor,
                iterations=solution.iterations,
                converged=solution.converged,
            )
        )
        cache.added, cache.trained = 0, True

    def _evict(self, cache: ClassCache, solution) -> int:
        keep = np.ones(len(cache.places), bool)
        keep[cache.positives :] = solution.scores[cache.positives :] >= self.settings.evict_threshold
        cache.alphas = solution.alphas
        dropped = cache.keep(keep)
        self.store.release(dropped)
        return len(dropped)

    def _check(self, regions: TrainingRegions) -> None:
        layer, length = regions.objects.layer, regions.objects.values.shape[1]
        if not self.layer:
            self.layer, self.length = layer, length
        if (layer, length) != (self.layer, self.length):
            raise ValueError(
                f"train_svms: image {regions.image_id!r}: expected layer {self.layer!r} and length {self.length} "
                f"as in the first image, got {layer!r} and {length}"
            )
        if len(regions.labels) and not (regions.labels.min() >= 0 and regions.labels.max() < len(self.caches)):
            raise ValueError(
                f"train_svms: image {regions.image_id!r}: expected labels in 0 .. {len(self.caches) - 1}, "
                f"got {regions.labels.tolist()}"
            )

    def result(self) -> tuple[LinearSVMs, MiningLog]:
        count = len(self.caches)
        trained = np.array([cache.trained for cache in self.caches], dtype=bool)
        log = MiningLog(
            entries=tuple(self.entries),
            positives=tuple(cache.positives for cache in self.caches),
            mean_norm=self.mean_norm,
            scale=self.scale,
            images=self.images,
            peak_rows=self.peak_rows,
            peak_bytes=self.store.held_bytes,
        )
        return LinearSVMs(self.weights[:count].copy(), self.biases, trained, self.layer), log
