"""Features of anybody's own boxes in one call."""

from pathlib import Path
from typing import Any

import numpy as np

from detection.data import read_image
from detection.features.extractor import FeatureExtractor
from detection.features.settings import FeatureSettings
from detection.types import RegionFeatures


def extract_region_features(
    image: Any,
    boxes: np.ndarray,
    layer: str = "pool5",
    settings: FeatureSettings | None = None,
    extractor: FeatureExtractor | None = None,
) -> RegionFeatures:
    """Feature vectors of boxes in an image.

    image: path, PIL image or (H, W, 3) uint8 RGB array. boxes: (R, 4) x1, y1, x2, y2 in px of the image,
    half-open, positive area. layer: "pool5", "fc6" or "fc7" (alexnet and vgg16). settings: default
    ``FeatureSettings()``; extractor: one built before, which saves loading the network again; give at most
    one of the two. Returns the boxes as float32 and values (R, D) float32. Raises ValueError for boxes of
    another shape, not finite, or without area.
    """
    if settings is not None and extractor is not None:
        raise ValueError("extract_region_features: expected settings or extractor, got both")
    boxes = np.asarray(boxes, dtype=np.float32)
    if boxes.size == 0:
        boxes = boxes.reshape(0, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes: expected shape (R, 4), got {boxes.shape}")
    bad = ~(np.isfinite(boxes).all(axis=1) & (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ValueError(f"boxes: expected finite x1 < x2 and y1 < y2, got {boxes[row].tolist()} in row {row}")
    extractor = extractor or FeatureExtractor.from_settings(settings or FeatureSettings(layer=layer))
    image_id = str(image) if isinstance(image, (str, Path)) else "image"
    pyramid = extractor.pyramid(image_id, read_image(image))
    return extractor.regions(pyramid, boxes, layer)
