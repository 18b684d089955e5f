"""What supports a class's SVM, as contact sheets: its positives and its hard negatives, by margin."""

from collections.abc import Mapping, Sequence

import numpy as np

from detection.data import read_image
from detection.inspection.pictures import crop_around
from detection.pipeline.training_samples import Sample
from detection.types import AnnotatedImage
from detection.visualization import captioned, contact_sheet

_SIDE, _TEXT, _COLUMNS = 120, 14, 8
# What is shown around a box, in parts of its longer side.
_MARGIN = 0.08


def ranked_samples(samples: Sequence[Sample], name: str) -> tuple[list[Sample], list[Sample]]:
    """(positives, negatives) of a class that support its SVM (alpha > 0), the hardest first.

    The hardest positive has the lowest margin, the hardest negative the highest; ties go by image id and box.
    """

    def ranked(is_positive: bool, sign: int) -> list[Sample]:
        chosen = [one for one in samples if one.name == name and one.alpha > 0 and one.is_positive == is_positive]
        return sorted(chosen, key=lambda one: (sign * one.margin, one.image_id, one.box))

    return ranked(True, 1), ranked(False, -1)


def draw_samples(samples: Sequence[Sample], images: Mapping[str, AnnotatedImage], count: int, title: str) -> np.ndarray:
    """A contact sheet of the first `count` samples, each with its margin, (H, W, 3) uint8.

    images: by id, all those of the samples.
    """
    cells = []
    for one in samples[:count]:
        image = images[one.image_id]
        crop = crop_around(read_image(image.path, image.size), one.box, _MARGIN, _SIDE).rgb
        # Wide enough for the margin's number.
        missing = max(_SIDE // 2 - crop.shape[1], 0)
        crop = np.pad(crop, ((0, 0), (missing // 2, missing - missing // 2), (0, 0)), constant_values=255)
        cells.append(captioned(crop, [f"{one.margin:+.2f}"], _TEXT))
    if not cells:
        return captioned(np.full((1, _COLUMNS * _SIDE, 3), 255, np.uint8), [f"{title}: none"], _TEXT)
    return captioned(contact_sheet(cells, _COLUMNS, (_SIDE + 2 * _TEXT, _SIDE)), [title], _TEXT)
