"""The trained linear SVMs of all classes, as an object that scores proposals."""

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from detection.learning.per_class import PerClass
from detection.learning.svm import _kernels
from detection.types import MapFunction, RegionFeatures, RegionScores, check_array

# Rows of vectors that are one part of the work: several threads get some parts each of the proposals of an image.
_PART_ROWS = 120


def block_products(
    values: np.ndarray, weights: np.ndarray, wanted: np.ndarray | None = None, mapper: MapFunction = map
) -> np.ndarray:
    """(R, D) float32 times (C, D) float32 -> (R, C) float32, C a multiple of `_kernels.CLASS_BLOCK`.

    wanted: (R, C / CLASS_BLOCK) bool, the blocks of a row to compute; the others are zeros. None: all.

    An element depends on its row and its weights alone, bit for bit: neither on the other rows and classes
    nor on threads. (A BLAS product changes in the last bits with its shape.)
    """
    blocks = (len(values), len(weights) // _kernels.CLASS_BLOCK)
    out = (np.empty if wanted is None else np.zeros)((len(values), len(weights)), np.float32)
    values, wanted = np.ascontiguousarray(values), np.ones(blocks, bool) if wanted is None else wanted

    def multiply(start: int) -> None:
        part = slice(start, start + _PART_ROWS)
        _kernels.products(values[part], weights, wanted[part], out[part])

    deque(mapper(multiply, range(0, len(values), _PART_ROWS)), maxlen=0)
    return out


def padded(weights: np.ndarray) -> np.ndarray:
    """(C, D) float32 with zero rows added up to a multiple of `_kernels.CLASS_BLOCK`."""
    missing = -len(weights) % _kernels.CLASS_BLOCK
    return np.concatenate([weights, np.zeros((missing, weights.shape[1]), np.float32)])


def check_regions(regions: RegionFeatures, layer: str, length: int, what: str) -> None:
    """Raise ValueError unless the features are of the layer and length that `what` was trained on."""
    found = (regions.layer, regions.values.shape[1])
    if found != (layer, length):
        raise ValueError(
            f"{what}, image {regions.image_id!r}: expected features of layer {layer!r} and length {length}, "
            f"got layer {found[0]!r} and length {found[1]}"
        )


@dataclass(frozen=True)
class LinearSVMs(PerClass):
    """One linear SVM a class.

    weights: (L, D) float32 for features as they come: any scale is folded in. biases: (L,) float32.
    trained: (L,) bool. layer: the features' layer.
    """

    KIND = "linear_svms"
    weights: np.ndarray
    biases: np.ndarray
    trained: np.ndarray
    layer: str
    _padded: np.ndarray = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_array(self.weights, "float32", (None, None), "SVM weights", "(none)")
        check_array(self.biases, "float32", (len(self.weights),), "SVM biases", "(none)")
        check_array(self.trained, "bool", (len(self.weights),), "SVM trained", "(none)")
        object.__setattr__(self, "_padded", padded(self.weights))

    def score(self, regions: RegionFeatures, mapper: MapFunction = map) -> np.ndarray:
        """Margins (R, L) float32; -inf for a class that was not trained, which `postprocess` drops.

        Raises ValueError if the features' layer or length is not the one trained on. A proposal's score for a class is
        the same, bit for bit, whatever other proposals and classes are scored with it, and whatever `mapper` is.
        """
        check_regions(regions, self.layer, self.weights.shape[1], "SVMs")
        scores = block_products(regions.values, self._padded, mapper=mapper)[:, : len(self.weights)] + self.biases
        scores[:, ~self.trained] = -np.inf
        return scores if regions.rows is None else scores[regions.rows]

    def region_scores(self, regions: RegionFeatures, mapper: MapFunction = map) -> RegionScores:
        """`score` as a record; every class has the proposal's own box, in shared read-only memory."""
        scores = self.score(regions, mapper)
        boxes = np.broadcast_to(regions.boxes[:, None, :], (*scores.shape, 4))
        return RegionScores(image_id=regions.image_id, boxes=boxes, scores=scores)
