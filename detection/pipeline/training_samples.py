"""The samples that training kept, in a file beside the detector: what supports its SVMs."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from detection.learning import MiningLog, TrainingSamples
from detection.storage import csv_text, read_csv, write_text

# File of the samples in the folder of a detector, and what it holds.
SAMPLES = "samples.csv"
_COLUMNS = ("class", "kind", "image_id", "x1", "y1", "x2", "y2", "margin", "alpha")
_POSITIVE, _NEGATIVE = "positive", "negative"


class Sample(NamedTuple):
    """One line of ``RUN/detector/samples.csv``: see `write_training_samples`."""

    name: str
    is_positive: bool
    image_id: str
    box: tuple[float, float, float, float]
    margin: float
    alpha: float


def read_samples(path: Path) -> list[Sample]:
    """All lines of a samples file. Raises FileNotFoundError or ValueError naming the file and the line."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected the samples that training keeps, found none; run sppnet train")
    samples = []
    header, *rows = read_csv(path) or [[]]
    if tuple(header) != _COLUMNS:
        raise ValueError(f"{path}: expected the columns {', '.join(_COLUMNS)}, got {header}")
    for line, row in enumerate(rows, start=2):
        try:
            name, kind, image_id, *numbers = row
            x1, y1, x2, y2, margin, alpha = map(float, numbers)
            is_positive = {_POSITIVE: True, _NEGATIVE: False}[kind]
            if not all(map(math.isfinite, (x1, y1, x2, y2, margin, alpha))):
                raise ValueError("a number that is not finite")
        except (KeyError, ValueError) as error:
            raise ValueError(f"{path}, line {line}: expected a sample, got {row}") from error
        samples.append(Sample(name, is_positive, image_id, (x1, y1, x2, y2), margin, alpha))
    return samples


def training_samples(path: Path, classes: Sequence[str]) -> list[TrainingSamples]:
    """The samples of a file as training had them, by class, positives first. Raises as `read_samples`."""
    of_class: dict[str, list[Sample]] = {name: [] for name in classes}
    for one in read_samples(path):
        of_class.setdefault(one.name, []).append(one)
    for found in of_class.values():
        found.sort(key=lambda one: not one.is_positive)
    return [
        TrainingSamples(
            label,
            sum(one.is_positive for one in found),
            tuple(one.image_id for one in found),
            np.array([one.box for one in found], np.float32),
            np.array([one.margin for one in found], np.float32),
            np.array([one.alpha for one in found], np.float32),
        )
        for label, found in enumerate(of_class[name] for name in classes)
        if found
    ]


def write_training_samples(path: Path, log: MiningLog, classes: Sequence[str], add: bool = False) -> None:
    """Write one CSV line for every sample that the SVMs kept: box in px of the image, half-open, margin and alpha.

    kind: positive or negative. alpha: dual variable; those above 0 are the support vectors. add: keep the lines of the
    other classes that the file has.
    """
    rows = [row for row in _sample_rows(path) if row[0] not in classes] if add else []
    for one in log.samples:
        for row, (image_id, box) in enumerate(zip(one.image_ids, one.boxes.tolist(), strict=True)):
            kind = _POSITIVE if row < one.positives else _NEGATIVE
            numbers = (*box, float(one.margins[row]), float(one.alphas[row]))
            rows.append([classes[one.label], kind, image_id, *(f"{number:.9g}" for number in numbers)])
    _write_samples(path, rows)


def rename_training_samples(path: Path, names: Mapping[str, str | None]) -> None:
    """Give classes in a file of samples other names, or none: their lines go."""
    if path.is_file():
        rows = [[names.get(row[0], row[0]), *row[1:]] for row in _sample_rows(path)]
        _write_samples(path, [row for row in rows if row[0] is not None])


def _sample_rows(path: Path) -> list[list[str]]:
    return read_csv(path)[1:] if path.is_file() else []


def _write_samples(path: Path, rows: Iterable[Sequence[str]]) -> None:
    write_text(path, csv_text([_COLUMNS, *rows]))
