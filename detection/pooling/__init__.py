"""Regions projected onto maps, and the spatial pyramid. Names are loaded when first used."""

from detection._lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, {"spp": ("pool_map", "spatial_pyramid_pool")})
