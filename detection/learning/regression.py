"""Class-specific bounding-box regression (R-CNN report, appendix C; rcnn_train_bbox_regressor.m)."""

from collections import deque
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from scipy.linalg import solve

from detection.geometry import decode_offsets, encode_offsets
from detection.learning.assignment import best_objects
from detection.learning.per_class import PerClass
from detection.learning.ranges import check_ranges
from detection.learning.regression_checkpoint import PassState, RegressionCheckpoint
from detection.learning.reservoir import Reservoir
from detection.learning.svm.linear_svms import block_products, check_regions, padded
from detection.learning.svm.samples import NormSample, OnProgress, Stream, TrainingRegions, checked
from detection.learning.svm.settings import NormSettings
from detection.types import MapFunction, RegionFeatures, RegionScores, check_array

# Larger offsets (in sides of the proposal) cannot come from training on overlapping boxes; the bound keeps boxes
# finite.
_MAX_OFFSET = 100.0


@dataclass(frozen=True)
class RegressionSettings:
    """How the box regressors are trained.

    Args:
        ridge: weight lambda of the squared coefficients against the sum of squared errors, at the features'
            target norm. R-CNN report, appendix C: 1000; the released SPP-net (spp_train_bbox_regressor.m):
            4000.
        min_iou: proposals whose IoU with the object they overlap most reaches this are examples of its class.
            R-CNN: 0.6; SPP-net (paper and code): 0.5.
        comparison: whether they need IoU > min_iou (both sources: O > opts.min_overlap) or >= (the SPP-net paper,
            section 4.1).
        whitening_epsilon: added to the eigenvalues of the targets' covariance before whitening.
            rcnn_train_bbox_regressor.m: 0.001. Ridge regression is linear in its targets, so while all four share
            one `ridge`, whitening changes the result by rounding only.
        use_difficult: whether proposals of objects marked difficult are examples. R-CNN and the released SPP-net: true
            (imdb/roidb_from_voc.m).
        include_objects: whether ground-truth boxes are examples themselves, of offset 0. R-CNN: false; the
            released SPP-net: true.
        norm: scaling of the features; it is folded into the weights.
        max_examples: examples kept a class, a seeded random sample of all. It bounds memory: examples x
            length of a vector x 4 bytes a class. (R-CNN keeps all.)
        min_examples: a class with fewer examples gets no regressor; its boxes stay as they are.
        seed: of that sample.
    """

    ridge: float = 1000.0
    min_iou: float = 0.6
    comparison: Literal[">", ">="] = ">"
    use_difficult: bool = True
    whitening_epsilon: float = 0.001
    include_objects: bool = False
    norm: NormSettings = field(default_factory=NormSettings)
    max_examples: int = 6000
    min_examples: int = 10
    seed: int = 3

    def __post_init__(self) -> None:
        positive = ("ridge", "whitening_epsilon", "max_examples", "min_examples")
        check_ranges("regression.", vars(self), {"> 0": positive, "> 0 and < 1": ("min_iou",), ">= 0": ("seed",)})
        if self.comparison not in (">", ">="):
            raise ValueError(f"regression.comparison: expected > or >=, got {self.comparison!r}")


@dataclass(frozen=True)
class BoxRegressors(PerClass):
    """One affine map a class from a proposal's features to the offsets that refine its box.

    weights: (L, 4, D) float32 for features as they come (scale and whitening are folded in). biases: (L, 4)
    float32. trained: (L,) bool; an untrained class has zeros, which leave a box as it is. layer: the
    features' layer. Offsets are those of ``geometry.encode_offsets``.
    """

    KIND = "box_regressors"
    weights: np.ndarray
    biases: np.ndarray
    trained: np.ndarray
    layer: str
    _padded: np.ndarray = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_array(self.weights, "float32", (None, 4, None), "box regressor weights", "(none)")
        check_array(self.biases, "float32", (len(self.weights), 4), "box regressor biases", "(none)")
        check_array(self.trained, "bool", (len(self.weights),), "box regressor trained", "(none)")
        object.__setattr__(self, "_padded", padded(self.weights.reshape(self.biases.size, self.weights.shape[2])))

    def offsets(
        self, regions: RegionFeatures, wanted: np.ndarray | None = None, mapper: MapFunction = map
    ) -> np.ndarray:
        """Offsets (U, L, 4) float32 of the different vectors: proposal i's are in row ``regions.rows[i]``.

        wanted: (U, L) bool, those to compute; the others mean nothing. None: all. Raises ValueError for features of
        another layer or length.
        """
        check_regions(regions, self.layer, self.weights.shape[2], "box regressors")
        flat = block_products(regions.values, self._padded, wanted, mapper)
        return flat.reshape(len(flat), *self.biases.shape) + self.biases

    def boxes(
        self, regions: RegionFeatures, proposals: np.ndarray, labels: np.ndarray, mapper: MapFunction = map
    ) -> np.ndarray:
        """Refined boxes (N, 4) float32 of pairs: proposal proposals[i] (N,) for class labels[i] (N,); see `refine`."""
        rows = proposals if regions.rows is None else regions.rows[proposals]
        wanted = np.zeros((len(regions.values), len(self.weights)), bool)
        wanted[rows, labels] = self.trained[labels]
        offsets = np.clip(self.offsets(regions, wanted, mapper)[rows, labels], -_MAX_OFFSET, _MAX_OFFSET)
        boxes, trained = regions.boxes[proposals], self.trained[labels]
        boxes[trained] = decode_offsets(boxes[trained], offsets[trained])
        return boxes

    def refine(self, scores: RegionScores, regions: RegionFeatures) -> RegionScores:
        """The same scores with every class's boxes refined, finite and not clipped.

        regions: features of the same proposals, in the same order, of the layer trained on (pool5). A box is
        the same, bit for bit, whatever other proposals and classes there are. Raises ValueError where the
        proposals or the classes are not the same.
        """
        expected = (scores.image_id, *scores.scores.shape)
        found = (regions.image_id, len(regions.boxes), len(self.weights))
        if expected != found:
            raise ValueError(
                f"box regressors: expected image, proposals and classes of the scores {expected}, got {found}"
            )
        proposals, labels = np.indices(scores.scores.shape).reshape(2, -1)
        boxes = self.boxes(regions, proposals, labels).reshape(scores.boxes.shape)
        return RegionScores(scores.image_id, boxes, scores.scores)


def train_regressors(
    stream: Stream,
    num_classes: int,
    settings: RegressionSettings | None = None,
    on_progress: OnProgress | None = None,
    *,
    executor: Executor | None = None,
    checkpoint: RegressionCheckpoint | None = None,
) -> BoxRegressors:
    """Train one regressor a class in one pass over the images (phase "box regression" of `on_progress`).

    A proposal is an example for the class of the object it overlaps most. Targets are centred and whitened per class;
    the ridge problem has a constant feature, regularised like the others (as in the source). The stream may leave out
    the proposals that `example_rows` does not name, if it has those of the norm's sample
    (``TrainingRegions.norm_proposals``); the result is the same. executor: threads by which several classes are solved
    at a time. checkpoint: where an interrupted pass goes on, with the same result. Raises ValueError for labels out of
    range, images of different layers or lengths, or no image at all.
    """
    settings = settings or RegressionSettings()
    reservoirs = [Reservoir(settings.max_examples, [settings.seed, label]) for label in range(num_classes)]
    sample = NormSample(settings.norm)
    state = checkpoint.restore(reservoirs, sample) if checkpoint else None
    images = stream() if state is None else stream(state.last_image)
    known = state and (state.layer, state.length)
    for done, regions in enumerate(
        checked(images, num_classes, "train_regressors", known), 1 + (state.done if state else 0)
    ):
        sample.add(regions)
        _collect(regions, reservoirs, settings)
        state = PassState(done, regions.image_id, regions.objects.layer, regions.objects.values.shape[1])
        if checkpoint:
            checkpoint.offer(reservoirs, sample, state)
        if on_progress:
            on_progress("box regression", done)
    if state is None:
        raise ValueError("train_regressors: expected at least one image, got none")
    weights = np.zeros((num_classes, 4, state.length), np.float32)
    biases = np.zeros((num_classes, 4), np.float32)
    trained, scale = np.array([one.seen >= settings.min_examples for one in reservoirs], bool), sample.scale()

    def fit(label: int) -> None:
        one = reservoirs[label]
        weights[label], biases[label] = fit_offsets(one.rows, one.targets, scale, settings)

    deque((map if executor is None else executor.map)(fit, np.flatnonzero(trained).tolist()), maxlen=0)
    return BoxRegressors(weights, biases, trained, state.layer)


def _collect(regions: TrainingRegions, reservoirs: list[Reservoir], settings: RegressionSettings) -> None:
    """Hand the image's examples to the reservoirs of their classes."""
    sources = [regions.proposals, regions.objects] if settings.include_objects else [regions.proposals]
    labels, objects = regions.labels, regions.objects.boxes
    for source in sources:
        near = example_rows(source.boxes, objects, regions.difficult, settings)
        best = best_objects(source.boxes[near], objects)[0]
        targets = encode_offsets(source.boxes[near], objects[best])
        for label in np.unique(labels[best]):
            mine = labels[best] == label
            reservoirs[label].add(source.values[near[mine]], targets[mine])


def example_rows(
    boxes: np.ndarray, objects: np.ndarray, difficult: np.ndarray, settings: RegressionSettings
) -> np.ndarray:
    """Rows, rising, of the proposals (R, 4) that are examples; objects: (G, 4), difficult: (G,) bool."""
    best, overlap = best_objects(boxes, objects)
    wanted = overlap >= settings.min_iou if settings.comparison == ">=" else overlap > settings.min_iou
    if not settings.use_difficult and len(objects):
        wanted &= ~difficult[best]
    return np.flatnonzero(wanted)


def fit_offsets(
    rows: np.ndarray, targets: np.ndarray, scale: float, settings: RegressionSettings
) -> tuple[np.ndarray, np.ndarray]:
    """(weights (4, D), biases (4,)) float64 of one class, for features as they come.

    rows: (N, D) float32, multiplied by `scale` before the penalty applies. targets: (N, 4) float64 offsets.
    """
    mean = targets.mean(axis=0)
    centred = targets - mean
    eigenvalues, vectors = np.linalg.eigh(centred.T @ centred / len(targets))
    roots = np.sqrt(np.maximum(eigenvalues, 0) + settings.whitening_epsilon)
    whiten, unwhiten = (vectors / roots) @ vectors.T, (vectors * roots) @ vectors.T
    slopes, constant = solve_ridge(rows, centred @ whiten, settings.ridge, scale)
    return (slopes @ unwhiten).T, constant @ unwhiten + mean


def solve_ridge(rows: np.ndarray, targets: np.ndarray, ridge: float, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Minimise |s rows B + 1 c' - targets|^2 + ridge (|B|^2 + |c|^2), s the scale, on the smaller side.

    rows: (N, D) float32. targets: (N, 4) float64. Returns (s B (D, 4), c (4,)) float64: slopes for rows as
    they come, and the constant, which is regularised too. Raises ValueError for features that are not finite.
    """
    features = np.ones((len(rows), rows.shape[1] + 1))
    np.multiply(rows, scale, out=features[:, :-1])
    if not np.isfinite(features).all():
        raise ValueError("solve_ridge: expected finite features, got some that are not")
    dual = len(features) < features.shape[1]
    side = features if dual else features.T
    gram = side @ side.T
    gram[np.diag_indices_from(gram)] += ridge
    found = solve(gram, targets if dual else side @ targets, assume_a="pos", overwrite_a=True)
    found = side.T @ found if dual else found
    return scale * found[:-1], found[-1]
