"""More positives than there are objects: for classes with few photos."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from detection.geometry import clip, iou

# Boxes tried for each one wanted, before the box itself is taken.
_TRIES = 50


@dataclass(frozen=True)
class ExtraPositives:
    """What is made of each object. Fields as in ``SVMSettings``; difficult: of objects marked difficult too."""

    mirrored: bool
    jittered: int
    jitter_iou: float
    difficult: bool
    seed: int


def jittered_boxes(
    boxes: np.ndarray, size: tuple[int, int], count: int, min_iou: float, seed: int, image_id: str
) -> tuple[np.ndarray, np.ndarray]:
    """`count` boxes beside each of `boxes`: ((N count, 4) float32, index of the box each belongs to (N count,)).

    boxes: (N, 4) float32 inside an image of `size` (height, width). Each side is moved by a random part of the
    box's width or height, uniform between what the overlap allows, until the IoU is at least `min_iou`. The same
    seed and image_id give the same boxes.
    """
    rng = np.random.default_rng([seed, *image_id.encode()])
    reach = (1 - min_iou) / 2
    moved = np.repeat(boxes, count, axis=0)
    for place, box in enumerate(moved):
        sides = np.array([box[2] - box[0], box[3] - box[1]] * 2)
        for _ in range(_TRIES):
            tried = clip((box + sides * rng.uniform(-reach, reach, 4))[None], size).astype(np.float32)
            if iou(tried, box[None])[0, 0] >= min_iou:
                moved[place] = tried[0]
                break
    return moved, np.repeat(np.arange(len(boxes)), count)
