"""Mean pooling of tensors on devices that have float64: from tables of sums, as ``detection.pooling.spp`` states."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

# Values of bins that are computed at a time: bounds the memory they take.
_CHUNK_VALUES = 2**21


def sums_of(maps: torch.Tensor) -> torch.Tensor:
    """(..., h, w) -> (..., h + 1, w + 1) float64: of each corner the sum of all cells above and to the left."""
    return functional.pad(maps.double().cumsum(-1).cumsum(-2), (1, 0, 1, 0))


def mean_of_regions(values: torch.Tensor, regions: np.ndarray, levels: Sequence[int]) -> torch.Tensor:
    """(C, h, w) map, (R, 4) int64 cells -> (R, C * bins) of the map's dtype, differentiable in the map."""
    sums, bins = sums_of(values), sum(n * n for n in levels)
    step = max(1, _CHUNK_VALUES // (len(values) * bins))
    chunks = [regions[at : at + step] for at in range(0, len(regions), step)]
    return torch.cat([torch.cat([_of_level(sums, one, n) for n in levels], 1) for one in chunks]).to(values.dtype)


def _of_level(sums: torch.Tensor, regions: np.ndarray, n: int) -> torch.Tensor:
    """(R, C n n), float64 of a float64 map, else float32."""
    channels, _, width = sums.shape
    (top, bottom), (left, right) = (edges_of(regions[:, axis], regions[:, axis + 2], n) for axis in (1, 0))

    def corner(rows: np.ndarray, columns: np.ndarray) -> torch.Tensor:
        places = (rows[:, :, None] * width + columns[:, None, :]).reshape(-1)
        return sums.flatten(1)[:, torch.as_tensor(places, device=sums.device)]

    totals = (corner(bottom, right) - corner(top, right)) - (corner(bottom, left) - corner(top, left))
    counts = ((bottom - top)[:, :, None] * (right - left)[:, None, :]).reshape(-1)
    means = totals / torch.as_tensor(counts, device=sums.device)
    return _rounded(means.reshape(channels, len(regions), n * n).transpose(0, 1).flatten(1))


def edges_of(low: np.ndarray, high: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Of the n bins of each region along an axis the first cell and the one behind the last, (R, n) each."""
    bins, length = np.arange(n), (high - low)[:, None]
    return low[:, None] + bins * length // n, low[:, None] - -(bins + 1) * length // n


def mean_bins(sums: torch.Tensor, n: int) -> torch.Tensor:
    """The bins of whole maps: (N, C, h + 1, w + 1) of `sums_of` -> (N, C, n, n) float32. Can be exported."""
    (top, bottom), (left, right) = (whole_edges(side - 1, n, sums.device) for side in sums.shape[2:])
    strips = sums[:, :, bottom] - sums[:, :, top]
    return _rounded((strips[..., right] - strips[..., left]) / ((bottom - top)[:, None] * (right - left)))


def whole_edges(length: int, n: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Of the n bins over `length` cells the first cell and the one behind the last, (n,) each."""
    bins = torch.arange(n, device=device)
    # Not negative, so that truncation, which ONNX has, is the floor.
    first = torch.div(bins * length, n, rounding_mode="trunc")
    return first, torch.div((bins + 1) * length + n - 1, n, rounding_mode="trunc")


def _rounded(means: torch.Tensor) -> torch.Tensor:
    """To float32, which halves are rounded from; negative zeros become zeros."""
    return means.float() + 0.0
