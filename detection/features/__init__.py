"""From an image to maps, and from maps and windows to feature vectors.

Names are loaded when first used, so that what needs no torch does not load it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from detection.features.api import extract_region_features
    from detection.features.backbone import Backbone
    from detection.features.cache import MapCache, estimate_bytes, settings_key
    from detection.features.extractor import FeatureExtractor
    from detection.features.head import Head
    from detection.features.settings import FeatureSettings
    from detection.features.spp import pool_map, spatial_pyramid_pool
    from detection.features.threads import in_order, limit_threads, lone_threads, side_by_side

_HOMES = {
    "Backbone": "backbone",
    "FeatureExtractor": "extractor",
    "FeatureSettings": "settings",
    "Head": "head",
    "MapCache": "cache",
    "estimate_bytes": "cache",
    "extract_region_features": "api",
    "in_order": "threads",
    "limit_threads": "threads",
    "lone_threads": "threads",
    "pool_map": "spp",
    "settings_key": "cache",
    "side_by_side": "threads",
    "spatial_pyramid_pool": "spp",
}

__all__ = [
    "Backbone",
    "FeatureExtractor",
    "FeatureSettings",
    "Head",
    "MapCache",
    "estimate_bytes",
    "extract_region_features",
    "in_order",
    "limit_threads",
    "lone_threads",
    "pool_map",
    "settings_key",
    "side_by_side",
    "spatial_pyramid_pool",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
