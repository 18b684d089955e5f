"""fc6 and fc7 made cheaper: truncated singular value decomposition of their weights (Fast R-CNN, section 3.1).

Girshick, *Fast R-CNN*, arXiv 1504.08083: a layer of weights W (u, v) becomes two without a nonlinearity between, of
rank t, that together have t (u + v) weights in place of u v. Of all matrices of rank t the product is the nearest to W.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

from detection.features.head import HEAD_LAYERS, check_head_names, weight_names


@dataclass(frozen=True)
class CompressedLayer:
    """What was done to a layer.

    outputs, inputs: of its weights. rank: of the two matrices that stand for them, None where it was left as it was.
    energy: part of the sum of squared singular values that is kept.
    """

    name: str
    outputs: int
    inputs: int
    rank: int | None
    energy: float

    @property
    def weights_before(self) -> int:
        """Weights, and multiplications a region, of the layer as it was."""
        return self.outputs * self.inputs

    @property
    def weights_after(self) -> int:
        """The same of the two low-rank layers, or of the layer left as it was."""
        return self.weights_before if self.rank is None else self.rank * (self.outputs + self.inputs)


def largest_useful_rank(outputs: int, inputs: int) -> int:
    """Up to this rank two low-rank layers have fewer weights than one; 0: none."""
    return (outputs * inputs - 1) // (outputs + inputs)


def truncated_svd(
    weight: np.ndarray, rank: int | None = None, energy: float | None = None
) -> tuple[np.ndarray, np.ndarray, float]:
    """(down (t, v), up (u, t), energy kept) of a weight (u, v) float32; up down is the best approximation of rank t.

    rank: t. energy: where there is no rank, t is the least that keeps this part of the squared singular values.
    The rows of `down` are right singular vectors times singular values, falling; the columns of `up` are orthonormal.
    """
    # The eigenvectors of W W^T are W's left singular vectors U; diag(s) V^T is U^T W. In float64, squaring loses
    # nothing that float32 weights had.
    wide = weight.astype(np.float64)
    gram = wide @ wide.T
    last = len(gram) - 1
    squares, vectors = eigh(gram, subset_by_index=None if rank is None else (last + 1 - rank, last))
    squares, vectors, total = np.maximum(squares[::-1], 0), vectors[:, ::-1], np.trace(gram)
    kept = np.minimum(np.cumsum(squares) / total, 1) if total > 0 else np.ones(len(squares))
    if rank is None:
        rank = min(1 + int(np.searchsorted(kept, energy)), *weight.shape)
    up = vectors[:, :rank]
    return (up.T @ wide).astype(np.float32), up.astype(np.float32), float(kept[rank - 1])


def compress_head(
    state: Mapping[str, np.ndarray], ranks: Mapping[str, int | None], energy: float | None = None
) -> tuple[dict[str, np.ndarray], list[CompressedLayer]]:
    """(a head's state with low-rank layers, what was done to fc6 and fc7), as ``Head`` reads it; other layers stay.

    state: see ``Head.from_file``. ranks: "fc6" or "fc7" -> rank, 0: leave the layer as it is; absent or None: the least
    rank that keeps `energy` of it, where there is one that saves weights; without `energy` the layer stays. Raises
    ValueError for a rank that saves nothing, energy outside (0, 1], a layer that is compressed already or not there.
    """
    if energy is not None and not 0 < energy <= 1:
        raise ValueError(f"energy: expected more than 0 and at most 1, got {energy}")
    check_head_names(state)
    result, layers = dict(state), []
    for name in HEAD_LAYERS:
        first, *second = weight_names(state, name)
        if second:
            raise ValueError(
                f"{name}: expected a layer that is not compressed, got one of rank {len(state[first])}; "
                "compress the original"
            )
        rank = ranks.get(name)
        layer, parts = _compress_layer(name, state[first], 0 if rank is None and energy is None else rank, energy)
        layers.append(layer)
        if parts:
            result = {key: value for key, value in result.items() if key != first} | parts
    return result, layers


def _compress_layer(
    name: str, weight: np.ndarray, rank: int | None, energy: float | None
) -> tuple[CompressedLayer, dict[str, np.ndarray]]:
    """What was done, and the low-rank layers' weights, if any. rank: see `truncated_svd`; 0: none."""
    most = largest_useful_rank(*weight.shape)
    if rank is not None and not 0 <= rank <= most:
        raise ValueError(
            f"{name}: expected a rank from 1 to {most}, above which two layers have no fewer weights than one of "
            f"{weight.shape[0]} x {weight.shape[1]}, or 0 to leave it as it is; got {rank}"
        )
    if rank != 0:
        down, up, kept = truncated_svd(weight, rank, energy)
        if len(down) <= most:
            parts = {f"{name}.down.weight": down, f"{name}.up.weight": up}
            return CompressedLayer(name, *weight.shape, rank=len(down), energy=kept), parts
    return CompressedLayer(name, *weight.shape, rank=None, energy=1.0), {}
