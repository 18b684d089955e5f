"""Class-specific bounding-box regression (R-CNN report, appendix C; rcnn_train_bbox_regressor.m)."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from detection.geometry import decode_offsets, encode_offsets
from detection.learning._ridge import solve_ridge
from detection.learning.assignment import best_objects
from detection.learning.svm.linear_svms import FORMAT_VERSION, block_products, check_format, check_regions, padded
from detection.learning.svm.mining import OnProgress
from detection.learning.svm.stream import NormSample, NormSettings, Stream, TrainingRegions
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
        for key in ("ridge", "whitening_epsilon", "max_examples", "min_examples"):
            if not getattr(self, key) > 0:
                raise ValueError(f"regression.{key}: expected > 0, got {getattr(self, key)}")
        if not 0 < self.min_iou < 1:
            raise ValueError(f"regression.min_iou: expected > 0 and < 1, got {self.min_iou}")
        if self.comparison not in (">", ">="):
            raise ValueError(f"regression.comparison: expected > or >=, got {self.comparison!r}")
        if self.seed < 0:
            raise ValueError(f"regression.seed: expected >= 0, got {self.seed}")


@dataclass(frozen=True)
class BoxRegressors:
    """One affine map a class from a proposal's features to the offsets that refine its box.

    weights: (L, 4, D) float32 for features as they come (scale and whitening are folded in). biases: (L, 4)
    float32. trained: (L,) bool; an untrained class has zeros, which leave a box as it is. layer: the
    features' layer. Offsets are those of ``geometry.encode_offsets``.
    """

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
        self, regions: RegionFeatures, wanted: np.ndarray | None = None, spread: MapFunction = map
    ) -> np.ndarray:
        """Offsets (U, L, 4) float32 of the different vectors: proposal i's are in row ``regions.rows[i]``.

        wanted: (U, L) bool, those to compute; the others mean nothing. None: all. Raises ValueError for features of
        another layer or length.
        """
        check_regions(regions, self.layer, self.weights.shape[2], "box regressors")
        flat = block_products(regions.values, self._padded, wanted, spread)
        return flat.reshape(len(flat), *self.biases.shape) + self.biases

    def boxes(
        self, regions: RegionFeatures, proposals: np.ndarray, labels: np.ndarray, spread: MapFunction = map
    ) -> np.ndarray:
        """Refined boxes (N, 4) float32 of pairs: proposal proposals[i] (N,) for class labels[i] (N,); see `refine`."""
        rows = proposals if regions.rows is None else regions.rows[proposals]
        wanted = np.zeros((len(regions.values), len(self.weights)), bool)
        wanted[rows, labels] = self.trained[labels]
        offsets = np.clip(self.offsets(regions, wanted, spread)[rows, labels], -_MAX_OFFSET, _MAX_OFFSET)
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
        offsets = np.clip(self.offsets(regions), -_MAX_OFFSET, _MAX_OFFSET)
        if regions.rows is not None:
            offsets = offsets[regions.rows]
        boxes = scores.boxes.copy()
        boxes[:, self.trained] = decode_offsets(scores.boxes[:, self.trained], offsets[:, self.trained])
        return RegionScores(scores.image_id, boxes, scores.scores)

    def select(self, labels: np.ndarray) -> BoxRegressors:
        """The same with these classes alone, in this order."""
        return BoxRegressors(self.weights[labels], self.biases[labels], self.trained[labels], self.layer)

    def joined(self, other: BoxRegressors) -> BoxRegressors:
        """The classes of this one, then those of the other. Raises ValueError for another layer."""
        if other.layer != self.layer:
            raise ValueError(f"box regressors: expected layer {self.layer!r}, got {other.layer!r}")
        pairs = ((getattr(self, name), getattr(other, name)) for name in ("weights", "biases", "trained"))
        return BoxRegressors(*map(np.concatenate, pairs), self.layer)

    def to_arrays(self) -> tuple[dict[str, np.ndarray], dict[str, str]]:
        """(arrays, metadata) for ``storage.write_arrays``."""
        arrays = {"weights": self.weights, "biases": self.biases, "trained": self.trained}
        return arrays, {"kind": "box_regressors", "format_version": str(FORMAT_VERSION), "layer": self.layer}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> BoxRegressors:
        """The inverse of `to_arrays`. Raises ValueError for another kind or version."""
        check_format(metadata, "box_regressors")
        return cls(arrays["weights"], arrays["biases"], arrays["trained"], metadata["layer"])


def train_regressors(
    stream: Stream,
    num_classes: int,
    settings: RegressionSettings | None = None,
    on_progress: OnProgress | None = None,
    *,
    executor: Executor | None = None,
) -> BoxRegressors:
    """Train one regressor a class in one pass over the images (phase "box regression" of `on_progress`).

    A proposal is an example for the class of the object it overlaps most. Targets are centred and whitened
    per class; the ridge problem has a constant feature, regularised like the others (as in the source).
    The stream may leave out the proposals that `example_rows` does not name, if it has those of the norm's sample
    (``TrainingRegions.norm_proposals``); the result is the same. executor: threads by which several classes are solved
    at a time.
    Raises ValueError for labels out of range, images of different layers or lengths, or no image at all.
    """
    settings = settings or RegressionSettings()
    reservoirs = [Reservoir(settings.max_examples, [settings.seed, label]) for label in range(num_classes)]
    sample, layer, length = NormSample(settings.norm), "", 0
    for done, regions in enumerate(stream(), start=1):
        found = (regions.objects.layer, regions.objects.values.shape[1])
        layer, length = (layer, length) if layer else found
        if found != (layer, length):
            raise ValueError(
                f"train_regressors: image {regions.image_id!r}: expected layer {layer!r} and length {length} "
                f"as in the first image, got {found[0]!r} and {found[1]}"
            )
        sample.add_image(regions)
        _collect(regions, reservoirs, settings)
        if on_progress:
            on_progress("box regression", done)
    if not layer:
        raise ValueError("train_regressors: expected at least one image, got none")
    return _solve_all(reservoirs, sample.scale(), length, layer, settings, executor)


class Reservoir:
    """A uniform random sample of at most `capacity` (row, target) pairs out of a stream of unknown length.

    Vitter's algorithm R; the same seed and stream give the same sample, however the stream is cut.
    """

    def __init__(self, capacity: int, seed) -> None:
        self.capacity, self.seen = capacity, 0
        self._generator = np.random.default_rng(seed)
        self._rows = np.empty((0, 0), np.float32)
        self._targets = np.empty((0, 4))

    @property
    def rows(self) -> np.ndarray:
        """(N, D) float32."""
        return self._rows[: min(self.seen, self.capacity)]

    @property
    def targets(self) -> np.ndarray:
        """(N, 4) float64."""
        return self._targets[: min(self.seen, self.capacity)]

    def add(self, rows: np.ndarray, targets: np.ndarray) -> None:
        """Offer rows (n, D) with targets (n, 4)."""
        for one in range(len(rows)):
            # One draw a row whether it is needed or not, so that cutting the stream elsewhere changes nothing.
            draw = int(self._generator.random() * (self.seen + 1))
            place = self.seen if self.seen < self.capacity else draw
            self.seen += 1
            if place < self.capacity:
                self._reserve(place + 1, rows.shape[1])
                self._rows[place], self._targets[place] = rows[one], targets[one]

    def _reserve(self, count: int, length: int) -> None:
        if count <= len(self._rows):
            return
        size = min(max(2 * len(self._rows), 64), self.capacity)
        rows, targets = np.empty((size, length), np.float32), np.empty((size, 4))
        rows[: count - 1], targets[: count - 1] = self._rows.reshape(-1, length), self._targets
        self._rows, self._targets = rows, targets


def _collect(regions: TrainingRegions, reservoirs: list[Reservoir], settings: RegressionSettings) -> None:
    """Hand the image's examples to the reservoirs of their classes."""
    sources = [regions.proposals, regions.objects] if settings.include_objects else [regions.proposals]
    labels, objects = regions.labels, regions.objects.boxes
    if len(labels) and not (labels.min() >= 0 and labels.max() < len(reservoirs)):
        raise ValueError(
            f"train_regressors: image {regions.image_id!r}: expected labels in 0 .. {len(reservoirs) - 1}, "
            f"got {labels.tolist()}"
        )
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
    """Rows, rising, of the proposals (R, 4) that are examples, beside objects (G, 4) and their flags (G,) bool."""
    best, overlap = best_objects(boxes, objects)
    wanted = overlap >= settings.min_iou if settings.comparison == ">=" else overlap > settings.min_iou
    if not settings.use_difficult and len(objects):
        wanted &= ~difficult[best]
    return np.flatnonzero(wanted)


def _solve_all(reservoirs, scale, length, layer, settings: RegressionSettings, executor) -> BoxRegressors:
    weights = np.zeros((len(reservoirs), 4, length), np.float32)
    biases = np.zeros((len(reservoirs), 4), np.float32)
    trained = np.array([one.seen >= settings.min_examples for one in reservoirs], bool)

    def solve(label: int) -> None:
        one = reservoirs[label]
        weights[label], biases[label] = fit_offsets(one.rows, one.targets, scale, settings)

    labels = np.flatnonzero(trained).tolist()
    for _ in map(solve, labels) if executor is None else executor.map(solve, labels):
        pass
    return BoxRegressors(weights, biases, trained, layer)


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
