"""Regions projected onto maps, and the spatial pyramid. Modules load when first used: torch where it is asked for."""

from importlib import import_module
from typing import Any

from detection._lazy import lazy_names


def spatial_pyramid_pool(feature_map: Any, cells: Any, levels: tuple[int, ...], pooling: str = "max") -> Any:
    """Maximum, or mean, of every bin of every region's spatial pyramid.

    feature_map: (C, h, w) float32 array or tensor. cells: (R, 4) int x1, y1, x2, y2, half-open, inside the
    map, at least one cell each. levels: n stands for n x n bins, e.g. (6, 3, 2, 1). pooling: "max" or "mean". Returns
    (R, C * bins) float32 in the order that ``detection.pooling.spp`` states: an array for an array, a tensor on the
    same device, differentiable in the map, for a tensor. Raises ValueError for cells outside the map.
    """
    module, name = ("torch_pooling", "pool_tensor") if hasattr(feature_map, "detach") else ("spp", "pool_array")
    return getattr(import_module(f"{__name__}.{module}"), name)(feature_map, cells, tuple(levels), pooling)


__getattr__, __dir__, _ = lazy_names(__name__, {"spp": ("pool_map",)})
__all__ = ["pool_map", "spatial_pyramid_pool"]
