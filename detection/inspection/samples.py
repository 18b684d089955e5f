"""Stage: what supports a class's SVM, as contact sheets: its positives and its hard negatives, by margin."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from detection.data import read_image
from detection.pipeline.stages.svms import NEGATIVE, POSITIVE, SAMPLE_COLUMNS
from detection.types import AnnotatedImage
from detection.visualization import captioned, contact_sheet

_SIDE, _TEXT, _COLUMNS = 120, 14, 8
# What is shown around a box, in parts of its longer side.
_MARGIN = 0.08


@dataclass(frozen=True)
class Sample:
    """One line of ``RUN/detector/samples.csv``: see ``stages.train.write_training_samples``."""

    name: str
    is_positive: bool
    image_id: str
    box: tuple[float, float, float, float]
    margin: float
    alpha: float


def read_samples(path: Path) -> list[Sample]:
    """All lines of a samples file. Raises FileNotFoundError or ValueError naming the file and the line."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected the samples that training keeps, found none; run tools/train_svm.py")
    samples = []
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != SAMPLE_COLUMNS:
            raise ValueError(f"{path}: expected the columns {', '.join(SAMPLE_COLUMNS)}, got {reader.fieldnames}")
        for row in reader:
            try:
                numbers = [float(row[key]) for key in SAMPLE_COLUMNS[3:]]
                is_positive = {POSITIVE: True, NEGATIVE: False}[row["kind"]]
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(f"{path}, line {reader.line_num}: expected a sample, got {row}") from error
            samples.append(Sample(row["class"], is_positive, row["image_id"], tuple(numbers[:4]), *numbers[4:]))
    return samples


def ranked_samples(samples: Sequence[Sample], name: str) -> tuple[list[Sample], list[Sample]]:
    """(positives, negatives) of a class that support its SVM (alpha > 0), the hardest first.

    The hardest positive has the lowest margin, the hardest negative the highest; ties go by image id and box.
    """
    mine = [one for one in samples if one.name == name and one.alpha > 0]
    positives = sorted((one for one in mine if one.is_positive), key=lambda one: (one.margin, one.image_id, one.box))
    negatives = sorted(
        (one for one in mine if not one.is_positive), key=lambda one: (-one.margin, one.image_id, one.box)
    )
    return positives, negatives


def draw_samples(samples: Sequence[Sample], images: Mapping[str, AnnotatedImage], count: int, title: str) -> np.ndarray:
    """A contact sheet of the first `count` samples, each with its margin, (H, W, 3) uint8.

    images: by id, all those of the samples.
    """
    cells = []
    for one in samples[:count]:
        image = images[one.image_id]
        crop = _cut_out(read_image(image.path, image.size), one.box)
        cells.append(captioned(crop, [f"{one.margin:+.2f}"], _TEXT))
    if not cells:
        return captioned(np.full((1, _COLUMNS * _SIDE, 3), 255, np.uint8), [f"{title}: none"], _TEXT)
    return captioned(contact_sheet(cells, _COLUMNS, (_SIDE + 2 * _TEXT, _SIDE)), [title], _TEXT)


def _cut_out(rgb: np.ndarray, box: Sequence[float]) -> np.ndarray:
    x1, y1, x2, y2 = box
    margin = _MARGIN * max(x2 - x1, y2 - y1)
    top, bottom = max(int(y1 - margin), 0), int(np.ceil(y2 + margin))
    left, right = max(int(x1 - margin), 0), int(np.ceil(x2 + margin))
    part = np.ascontiguousarray(rgb[top:bottom, left:right])
    factor = _SIDE / max(part.shape[:2])
    size = (max(1, round(part.shape[1] * factor)), max(1, round(part.shape[0] * factor)))
    small = np.asarray(Image.fromarray(part).resize(size, Image.Resampling.LANCZOS))
    # Wide enough for the margin's number.
    missing = max(_SIDE // 2 - small.shape[1], 0)
    return np.pad(small, ((0, 0), (missing // 2, missing - missing // 2), (0, 0)), constant_values=255)
