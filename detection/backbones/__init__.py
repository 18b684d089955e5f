"""Networks: which there are, their weights, strides, receptive fields. Names are loaded when first used: torch is."""

from detection._lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, {"backbone": ("Backbone",)})
