"""Spatial pyramid pooling of tensors, of regions and as a layer: on any device, differentiable in the map."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from detection.pooling.spp import (
    check_cells,
    check_levels,
    check_pooling,
    parents_of,
    pool_into,
    pooled_length,
    powers_needed,
)
from detection.pooling.torch_means import edges_of, mean_bins, mean_of_regions, sums_of, whole_edges
from detection.storage import atomic_path

# What the compiled kernels take.
_COMPILED = (torch.float16, torch.float32)
# Values of bins that are gathered at a time: bounds the memory they take, 32 MiB in float32.
_CHUNK_VALUES = 2**23


def pool_tensor(feature_map: torch.Tensor, cells: Any, levels: tuple[int, ...], pooling: str = "max") -> torch.Tensor:
    """See ``spatial_pyramid_pool``: (C, h, w) tensor, (R, 4) cells -> (R, C * bins) tensor on the same device."""
    check_levels(levels)
    check_pooling(pooling)
    if feature_map.ndim != 3 or not feature_map.is_floating_point():
        raise ValueError(
            f"spatial_pyramid_pool: expected a (C, h, w) floating map, got {feature_map.dtype} "
            f"{tuple(feature_map.shape)}"
        )
    if isinstance(cells, torch.Tensor):
        cells = cells.detach().cpu().numpy()
    cells = np.asarray(cells)
    check_cells(cells, tuple(feature_map.shape[1:]))
    if len(cells) == 0:
        return feature_map.new_zeros((0, pooled_length(feature_map.shape[0], levels)))
    learning = torch.is_grad_enabled() and feature_map.requires_grad
    if feature_map.device.type == "cpu" and feature_map.dtype in _COMPILED and not learning:
        vectors = np.empty((len(cells), pooled_length(feature_map.shape[0], levels)), np.float32)
        pool_into(feature_map.detach().numpy(), cells, levels, np.arange(len(cells)), vectors, 0, pooling)
        return torch.from_numpy(vectors).to(feature_map.dtype)
    unique, inverse = np.unique(cells, axis=0, return_inverse=True)
    unique = unique.astype(np.int64)
    if pooling == "mean":
        vectors = mean_of_regions(feature_map, unique, levels)
    else:
        vectors = _pool_vectorised(feature_map + 0.0, unique, levels, learning)
    return vectors[torch.as_tensor(inverse.reshape(-1), device=feature_map.device)]


def _pool_vectorised(
    values: torch.Tensor, regions: np.ndarray, levels: tuple[int, ...], learning: bool
) -> torch.Tensor:
    """`pool_tensor` in whole-array operations of any device: a bin is four overlapping entries of tables of maxima.

    learning: the cell of each maximum is found, without a gradient, and the map is read there: the whole gradient of a
    bin goes to one cell, as in torch's own pooling.
    """
    parents = parents_of(levels)
    coarsest = min(n for n, parent in zip(levels, parents, strict=True) if parent < 0)
    longest = (regions[:, 2:] - regions[:, :2]).max(axis=0)
    powers = tuple(powers_needed(int(side), coarsest) for side in longest[::-1])
    flat = values.flatten(1)
    with torch.no_grad():
        tables = _range_maxima(values, powers, learning)
        bins = sum(n * n for n in levels)
        step = max(1, _CHUNK_VALUES // (len(values) * bins))
        chunks = [
            _bins_of_regions(tables, powers, tuple(values.shape[1:]), regions[at : at + step], levels, parents)
            for at in range(0, len(regions), step)
        ]
    parts = []
    for chunk in chunks:
        joined = [_channels_first(cells if learning else maxima) for maxima, cells in chunk]
        parts.append(torch.cat([_read(flat, one) if learning else one.flatten(1) for one in joined], 1))
    return torch.cat(parts)


# Maxima and, where a gradient is asked for, the cells they lie in (y w + x): tensors of one shape, channels last.
_Maxima = tuple[torch.Tensor, torch.Tensor | None]


def _larger(one: _Maxima, other: _Maxima) -> _Maxima:
    takes = other[0] > one[0]
    cells = None if one[1] is None or other[1] is None else torch.where(takes, other[1], one[1])
    return torch.where(takes, other[0], one[0]), cells


def _part(maxima: _Maxima, *slices: slice) -> _Maxima:
    return maxima[0][slices], None if maxima[1] is None else maxima[1][slices]


def _range_maxima(values: torch.Tensor, powers: tuple[int, int], learning: bool) -> _Maxima:
    """(powers, powers, h, w, C), flat but for C: of 2^i rows and 2^j columns from each cell on, as far as they go."""
    channels, height, width = values.shape
    cells = None
    if learning:
        cells = torch.arange(height * width, device=values.device).reshape(height, width, 1).expand(-1, -1, channels)
    first: _Maxima = (values.permute(1, 2, 0).contiguous(), cells)
    tables = []
    for i in range(powers[0]):
        if i:
            first = _doubled(first, 0, 1 << (i - 1))
        table = first
        tables.append(table)
        for j in range(1, powers[1]):
            table = _doubled(table, 1, 1 << (j - 1))
            tables.append(table)
    stacked = torch.stack([one[0] for one in tables]).reshape(-1, channels)
    return stacked, torch.stack([one[1] for one in tables]).reshape(-1, channels) if learning else None


def _doubled(table: _Maxima, axis: int, half: int) -> _Maxima:
    """Each entry and the one `half` further along the axis; the last ones, which have none, as they are."""
    size = table[0].shape[axis]
    if half >= size:
        return table
    here = (slice(None),) * axis
    both = _larger(_part(table, *here, slice(0, size - half)), _part(table, *here, slice(half, size)))
    rest = _part(table, *here, slice(size - half, size))
    cells = None if both[1] is None else torch.cat([both[1], rest[1]], axis)
    return torch.cat([both[0], rest[0]], axis), cells


def _bins_of_regions(
    tables: _Maxima,
    powers: tuple[int, int],
    size: tuple[int, int],
    regions: np.ndarray,
    levels: tuple[int, ...],
    parents: tuple[int, ...],
) -> list[_Maxima]:
    """Of each level the maxima (R, n, n, C)."""
    found: dict[int, _Maxima] = {}
    for k in sorted(range(len(levels)), key=lambda k: -levels[k]):
        n = levels[k]
        found[k] = (
            _bins_of_map(tables, powers, size, regions, n) if parents[k] < 0 else _bins_of_finer(found[parents[k]], n)
        )
    return [found[k] for k in range(len(levels))]


def _bins_of_map(
    tables: _Maxima, powers: tuple[int, int], size: tuple[int, int], regions: np.ndarray, n: int
) -> _Maxima:
    height, width = size
    rows, row_power = _entries(regions[:, 1], regions[:, 3], n)
    columns, column_power = _entries(regions[:, 0], regions[:, 2], n)
    table = row_power[:, :, None] * powers[1] + column_power[:, None, :]
    best: _Maxima | None = None
    for row in rows:
        for column in columns:
            place = (table * height + row[:, :, None]) * width + column[:, None, :]
            index = torch.as_tensor(place.reshape(-1), device=tables[0].device)
            entry = (tables[0][index], None if tables[1] is None else tables[1][index])
            best = entry if best is None else _larger(best, entry)
    shape = (len(regions), n, n, tables[0].shape[1])
    return best[0].reshape(shape), None if best[1] is None else best[1].reshape(shape)


def _entries(low: np.ndarray, high: np.ndarray, n: int) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Of the n bins of each region along an axis the two table entries that span it, (R, n) each, and their power."""
    first, end = edges_of(low, high, n)
    power = np.frexp(end - first)[1] - 1
    return (first, end - (1 << power)), power


def _bins_of_finer(finer: _Maxima, n: int) -> _Maxima:
    """(R, m, m, C) -> (R, n, n, C), n a divisor of m: bins nest."""
    count, m, _, channels = finer[0].shape
    ratio = m // n

    def grouped(one: torch.Tensor) -> torch.Tensor:
        parts = one.reshape(count, n, ratio, n, ratio, channels).transpose(2, 3)
        return parts.reshape(count, n, n, ratio * ratio, channels)

    maxima, which = grouped(finer[0]).max(3)
    if finer[1] is None:
        return maxima, None
    return maxima, grouped(finer[1]).gather(3, which[:, :, :, None])[:, :, :, 0]


def _channels_first(bins: torch.Tensor) -> torch.Tensor:
    """(R, n, n, C) -> (R, C, n n)."""
    return bins.flatten(1, 2).transpose(1, 2)


def _read(flat: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
    """flat: (C, cells of the map). cells: (R, C, bins) -> the values there, (R, C bins)."""
    count, channels, bins = cells.shape
    values = flat.gather(1, cells.transpose(0, 1).reshape(channels, count * bins))
    return values.reshape(channels, count, bins).transpose(0, 1).reshape(count, channels * bins)


class SpatialPyramidPooling(nn.Module):
    """The pyramid over whole maps, as a layer between convolutions and fully connected layers (paper, figure 3).

    levels: n stands for n x n bins. pooling: "max" or "mean". (N, C, h, w) floating maps of any h, w >= 1 -> (N, C *
    bins) of the same dtype, in the order and with the bins of ``detection.pooling.spp``; equal, bit for bit, to pooling
    the region that covers the map. Runs under ``torch.export`` and as ONNX with height and width dynamic, in torch 2.6
    up to a limit (`max` of ``Dim``). Raises ValueError for levels < 1 and maps of another shape.
    """

    def __init__(self, levels: Sequence[int], pooling: str = "max") -> None:
        super().__init__()
        self.levels, self.pooling = tuple(levels), pooling
        check_levels(self.levels)
        check_pooling(pooling)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) -> (N, C * bins)."""
        if maps.ndim != 4 or not maps.is_floating_point():
            raise ValueError(
                f"SpatialPyramidPooling: expected (N, C, h, w) floating maps, got {maps.dtype} {tuple(maps.shape)}"
            )
        if self.pooling == "mean":
            sums = sums_of(maps)
            return torch.cat([mean_bins(sums, n).flatten(1) for n in self.levels], 1).to(maps.dtype)
        # Negative zeros become zeros, as in region pooling.
        maps = maps + 0.0
        # Exporters know no adaptive pooling over sides that they do not know.
        pool = _masked_bins if torch.compiler.is_compiling() else nn.functional.adaptive_max_pool2d
        return torch.cat([pool(maps, n).flatten(1) for n in self.levels], 1)

    def extra_repr(self) -> str:
        """The levels, and what each bin is."""
        return f"levels={self.levels}, pooling={self.pooling}"


def _masked_bins(maps: torch.Tensor, n: int) -> torch.Tensor:
    """(N, C, h, w) -> (N, C, n, n): what adaptive_max_pool2d gives, by masks."""
    return _column_bins(_column_bins(maps, n).transpose(2, 3), n).transpose(2, 3)


def _column_bins(maps: torch.Tensor, n: int) -> torch.Tensor:
    """(N, C, h, w) -> (N, C, h, n): the maxima of bins of columns."""
    width = maps.shape[3]
    columns = torch.arange(width, device=maps.device)
    first, end = whole_edges(width, n, maps.device)
    inside = (columns >= first[:, None]) & (columns < end[:, None])
    return maps[:, :, :, None, :].masked_fill(~inside, -torch.inf).amax(-1)


def export_onnx(module: nn.Module, path: Path | str, height: int, width: int, channels: int) -> None:
    """Write a module of images or maps (N, `channels`, h, w) as ONNX: N, h and w dynamic.

    height, width: of the example that the module is traced on, which decide nothing. The file is written in one
    atomic move. Needs the extra ``onnx``; raises ImportError naming it where that is not installed.
    """
    try:
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError("ONNX: expected the packages onnx and onnxscript; pip install sppnet[onnx]") from error
    device = next((one.device for one in module.parameters()), torch.device("cpu"))
    example = torch.rand(2, channels, height, width, device=device)
    # torch 2.6 refuses names alone, and sides that could be the largest of all numbers.
    dynamic = {axis: torch.export.Dim(name, max=2**20) for axis, name in ((0, "images"), (2, "height"), (3, "width"))}
    with atomic_path(path) as temporary:
        program = torch.onnx.export(
            module.eval(), (example,), input_names=["images"], dynamic_shapes=(dynamic,), dynamo=True, verbose=False
        )
        program.save(temporary)
