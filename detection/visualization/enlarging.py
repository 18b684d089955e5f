"""Small images made large enough to be drawn on."""

from __future__ import annotations

import dataclasses

import numpy as np

from detection.types import Detections

# px of the longer side from which labels leave room for the picture.
_LEAST_SIDE = 128


def enlarge(rgb: np.ndarray, found: Detections) -> tuple[np.ndarray, Detections]:
    """An image and its detections, a whole number of times larger where the image is too small for labels.

    rgb: (H, W, 3) uint8, each pixel of which is repeated until the longer side has 128 px. Larger images, and their
    detections, come back as they are.
    """
    factor = -(-_LEAST_SIDE // max(rgb.shape[:2]))
    if factor == 1:
        return rgb, found
    boxes = (found.boxes * factor).astype(np.float32)
    return rgb.repeat(factor, axis=0).repeat(factor, axis=1), dataclasses.replace(found, boxes=boxes)
