"""The detections of many images as a few long arrays: what they are kept as for reading them again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from detection.storage import read_arrays, write_arrays
from detection.types import Detections

_FORMAT_VERSION = "1"
_ARRAYS = ("counts", "boxes", "scores", "labels")


class DetectionColumns(NamedTuple):
    """The detections of I images one behind the other, N in all.

    image_ids: I strings. counts: (I,) int64, how many each has. boxes: (N, 4) float32, image frame. scores: (N,)
    float32. labels: (N,) int64. Probabilities are not among them.
    """

    image_ids: tuple[str, ...]
    counts: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray

    @classmethod
    def of(cls, detections: Sequence[Detections]) -> DetectionColumns:
        """Of one record an image."""
        none = np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64)
        columns = ([getattr(one, name) for one in detections] for name in _ARRAYS[1:])
        joined = (np.concatenate([empty, *values]) for empty, values in zip(none, columns, strict=True))
        counts = np.array([len(one.labels) for one in detections], np.int64)
        return cls(tuple(one.image_id for one in detections), counts, *joined)

    def images(self) -> np.ndarray:
        """(N,) int64: the place of each detection's image."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    def records(self, image_ids: Sequence[str]) -> list[Detections]:
        """One record for each of `image_ids`, in that order, without detections where there are none of it.

        Their arrays are parts of the columns. Raises ValueError as `Detections`.
        """
        ends = pairwise([0, *np.cumsum(self.counts).tolist()])
        spans = {image_id: slice(*span) for image_id, span in zip(self.image_ids, ends, strict=True)}
        places = ((one, spans.get(one, slice(0))) for one in image_ids)
        return [Detections(one, self.boxes[rows], self.scores[rows], self.labels[rows]) for one, rows in places]


def write_columns(path: Path | str, detections: Sequence[Detections], key: str) -> None:
    """Keep one record an image on file, without probabilities; `key` stands for all that made them."""
    found = DetectionColumns.of(detections)
    metadata = {"format_version": _FORMAT_VERSION, "key": key, "image_ids": json.dumps(found.image_ids)}
    write_arrays(path, {name: getattr(found, name) for name in _ARRAYS}, metadata)


def read_columns(path: Path | str, key: str) -> DetectionColumns | None:
    """What `write_columns` wrote; None where it is absent, or of another key or version.

    Raises ValueError naming the file where it is damaged.
    """
    try:
        arrays, metadata = read_arrays(path)
    except FileNotFoundError:
        return None
    if (metadata.get("format_version"), metadata.get("key")) != (_FORMAT_VERSION, key):
        return None
    return DetectionColumns(tuple(json.loads(metadata["image_ids"])), *(arrays[name] for name in _ARRAYS))
