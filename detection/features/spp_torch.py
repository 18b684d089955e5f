"""Spatial pyramid pooling of a tensor: on any device, differentiable in the map."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from detection.features.spp import check_cells, check_levels, pooled_length


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
