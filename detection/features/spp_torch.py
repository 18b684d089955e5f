"""Where the torch form of the pyramid was: ``pooling.torch_pooling`` now. This name goes with the next version."""

import warnings

from detection.pooling.torch_pooling import SpatialPyramidPooling

__all__ = ["SpatialPyramidPooling"]
warnings.warn("detection.features.spp_torch is detection.pooling.torch_pooling now", DeprecationWarning, stacklevel=2)
