"""Spatial pyramid pooling of tensors, of windows and as a layer: on any device, differentiable in the map."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from detection.features.spp import check_cells, check_levels, pooled_length
from detection.storage import atomic_path


def pool_tensor(feature_map: torch.Tensor, cells: Any, levels: tuple[int, ...]) -> torch.Tensor:
    """See ``spatial_pyramid_pool``: (C, h, w) tensor, (R, 4) cells -> (R, C * bins) tensor on the same device."""
    check_levels(levels)
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
    feature_map = feature_map + 0.0
    unique, inverse = np.unique(cells, axis=0, return_inverse=True)
    vectors = torch.stack([_pool_window(feature_map[:, y1:y2, x1:x2], levels) for x1, y1, x2, y2 in unique.tolist()])
    return vectors[torch.as_tensor(inverse.reshape(-1), device=feature_map.device)]


def _pool_window(window: torch.Tensor, levels: tuple[int, ...]) -> torch.Tensor:
    # adaptive_max_pool2d has the bins of this project: floor(i w / n) .. ceil((i + 1) w / n).
    return torch.cat([torch.nn.functional.adaptive_max_pool2d(window, n).flatten() for n in levels])


class SpatialPyramidPooling(nn.Module):
    """The pyramid over whole maps, as a layer between convolutions and fully connected layers (paper, figure 3).

    levels: n stands for n x n bins. (N, C, h, w) floating maps of any h, w >= 1 -> (N, C * bins) of the same dtype, in
    the order and with the bins of ``detection.features.spp``; equal, bit for bit, to pooling the window that covers
    the map. Runs under ``torch.export`` and as ONNX with height and width dynamic. Raises ValueError for levels < 1
    and maps of another shape.
    """

    def __init__(self, levels: Sequence[int]) -> None:
        super().__init__()
        self.levels = tuple(levels)
        check_levels(self.levels)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) -> (N, C * bins)."""
        if maps.ndim != 4 or not maps.is_floating_point():
            raise ValueError(
                f"SpatialPyramidPooling: expected (N, C, h, w) floating maps, got {maps.dtype} {tuple(maps.shape)}"
            )
        # Negative zeros become zeros, as in window pooling.
        maps = maps + 0.0
        # Exporters know no adaptive pooling over sides that they do not know.
        pool = _masked_bins if torch.compiler.is_compiling() else nn.functional.adaptive_max_pool2d
        return torch.cat([pool(maps, n).flatten(1) for n in self.levels], 1)

    def extra_repr(self) -> str:
        """The levels."""
        return f"levels={self.levels}"


def _masked_bins(maps: torch.Tensor, n: int) -> torch.Tensor:
    """(N, C, h, w) -> (N, C, n, n): what adaptive_max_pool2d gives, by masks."""
    return _column_bins(_column_bins(maps, n).transpose(2, 3), n).transpose(2, 3)


def _column_bins(maps: torch.Tensor, n: int) -> torch.Tensor:
    """(N, C, h, w) -> (N, C, h, n): the maxima of bins of columns."""
    width = maps.shape[3]
    columns = torch.arange(width, device=maps.device)
    bins = torch.arange(n, device=maps.device)[:, None]
    # Not negative, so that truncation, which ONNX has, is the floor.
    first = torch.div(bins * width, n, rounding_mode="trunc")
    end = torch.div((bins + 1) * width + n - 1, n, rounding_mode="trunc")
    inside = (columns >= first) & (columns < end)
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
    dynamic = {0: "images", 2: "height", 3: "width"}
    with atomic_path(path) as temporary:
        program = torch.onnx.export(
            module.eval(), (example,), input_names=["images"], dynamic_shapes=(dynamic,), dynamo=True, verbose=False
        )
        program.save(temporary)
