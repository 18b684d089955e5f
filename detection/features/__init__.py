"""From an image to maps, and from maps and regions to feature vectors.

Names are loaded when first used, so that what needs no torch does not load it.
"""

from __future__ import annotations

from importlib import import_module

_HOMES = {
    "api": ("extract_region_features",),
    "cache": (
        "MapCache",
        "estimate_bytes",
        "settings_key",
    ),
    "extractor": ("FeatureExtractor",),
    "head": ("Head",),
    "settings": ("FeatureSettings",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "FeatureExtractor",
    "FeatureSettings",
    "Head",
    "MapCache",
    "estimate_bytes",
    "extract_region_features",
    "settings_key",
]


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
