"""From an image to maps, and from maps and regions to feature vectors. Names are loaded when first used: torch is."""

from detection._lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "api": ("extract_region_features",),
        "cache": ("MapCache", "estimate_bytes", "settings_key"),
        "extractor": ("FeatureExtractor",),
        "head": ("Head",),
        "settings": ("FeatureSettings",),
    },
    renamed={
        "Backbone": "detection.backbones.Backbone",
        "in_order": "detection.parallel.ordered_map",
        "limit_threads": "detection.engines.limit_threads",
        "lone_threads": "detection.engines.single_threaded_pool",
        "pool_map": "detection.pooling.pool_map",
        "side_by_side": "detection.engines.parallel_executor",
        "spatial_pyramid_pool": "detection.pooling.spatial_pyramid_pool",
    },
)
