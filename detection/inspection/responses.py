"""What single filters answer: where in an image a channel of a map is strongest, and which images answer best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detection.geometry import valid_cells
from detection.types import FeaturePyramid


def seen_part(pyramid: FeaturePyramid, scale: int, stage: int) -> np.ndarray:
    """The cells (C, h, w) of a map whose centre lies in the image: a view; the others see padding first of all."""
    one = np.asarray(pyramid.maps[scale][stage])
    sizes = [
        valid_cells(side * float(pyramid.scales[scale]), int(pyramid.strides[stage]), float(offset), cells)
        for side, offset, cells in zip(pyramid.size, pyramid.offsets[stage], one.shape[1:], strict=True)
    ]
    return one[:, : sizes[0], : sizes[1]]


def upsample(
    values: np.ndarray, size: tuple[int, int], scale: float, stride: int, offset: Sequence[float]
) -> np.ndarray:
    """A map in the image frame: (h, w) -> (H, W) float32, each cell's value at its centre, linear between centres.

    size: (height, width) of the image in px. scale: resized px per image px. stride, offset (y, x): geometry of the
    map in resized px. Beyond the outermost centres the nearest one's value holds.
    """
    rows, columns = (
        _interpolation(side, cells, scale, stride, at)
        for side, cells, at in zip(size, values.shape, offset, strict=True)
    )
    return (rows @ values.astype(np.float32) @ columns.T).astype(np.float32)


def _interpolation(length: int, cells: int, scale: float, stride: int, offset: float) -> np.ndarray:
    """(length, cells) float32: the weights of cells for each px."""
    places = np.clip(((np.arange(length) + 0.5) * scale - offset) / stride, 0, cells - 1)
    lower = np.minimum(places.astype(np.int64), max(cells - 2, 0))
    share = places - lower
    weights = np.zeros((length, cells), np.float32)
    rows = np.arange(length)
    weights[rows, lower] = 1 - share
    weights[rows, np.minimum(lower + 1, cells - 1)] += share
    return weights


@dataclass(frozen=True)
class Response:
    """The answer of one filter at one cell. scale: index of the pyramid's scale. row, column: of the cell."""

    value: float
    scale: int
    row: int
    column: int


def strongest(pyramid: FeaturePyramid, stage: int, scales: Sequence[int] | None = None) -> np.ndarray:
    """For every channel its largest value over all cells and scales, and where it is.

    scales: indices of those looked at, None for all. Returns (C,) records value (float32), scale, row, column (int32);
    of equal values the first scale, then the first cell, rows from the top.
    """
    best: np.ndarray | None = None
    for scale in range(len(pyramid.scales)) if scales is None else scales:
        values = seen_part(pyramid, scale, stage)
        flat = values.reshape(len(values), -1)
        places = flat.argmax(axis=1)
        found = np.zeros(len(values), _RECORD)
        found["value"], found["scale"] = flat[np.arange(len(flat)), places], scale
        found["row"], found["column"] = np.divmod(places, values.shape[2])
        best = found if best is None else np.where(found["value"] > best["value"], found, best)
    return best


_RECORD = np.dtype([("value", np.float32), ("scale", np.int32), ("row", np.int32), ("column", np.int32)])


def peaks(values: np.ndarray, scale: int, count: int) -> list[Response]:
    """The `count` strongest local maxima of one channel's map (h, w), strongest first; of equal ones the first cell.

    A local maximum is no smaller than its eight neighbours and larger than those before it, so that a plateau counts
    once.
    """
    bordered = np.pad(values.astype(np.float32), 1, constant_values=-np.inf)
    height, width = values.shape
    inner = bordered[1:-1, 1:-1]
    top = np.ones(values.shape, bool)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            other = bordered[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]
            top &= (inner > other) if (dy, dx) < (0, 0) else (inner >= other)
    rows, columns = np.nonzero(top)
    order = np.argsort(-inner[rows, columns], kind="stable")[:count]
    return [Response(float(inner[rows[i], columns[i]]), scale, int(rows[i]), int(columns[i])) for i in order]


class StrongestImages:
    """For every filter the k images with the strongest response, in one pass over images in any order.

    Memory is that of filters x k records. Ties are broken by image id: the smaller comes first.
    """

    def __init__(self, channels: int, k: int) -> None:
        """Raises ValueError for k < 1."""
        if k < 1:
            raise ValueError(f"images a filter: expected at least 1, got {k}")
        self.k = k
        self._found = np.zeros((channels, 0), _RECORD)
        self._ids = np.zeros((channels, 0), object)

    def add(self, image_id: str, found: np.ndarray) -> None:
        """Offer an image's responses, (C,) records as `strongest` gives them. An image is offered once."""
        if self._found.shape[1] < self.k:
            # A free place for every filter; it is filled below.
            self._found = np.concatenate([self._found, np.zeros((len(found), 1), _RECORD)], axis=1)
            self._ids = np.concatenate([self._ids, np.full((len(found), 1), "", object)], axis=1)
            self._found["value"][:, -1] = -np.inf
        for channel in np.flatnonzero(found["value"] >= self._found["value"][:, -1]):
            self._insert(channel, image_id, found[channel])

    def _insert(self, channel: int, image_id: str, one: np.void) -> None:
        values, ids = self._found[channel], self._ids[channel]
        better = (values["value"] > one["value"]) | ((values["value"] == one["value"]) & (ids < image_id))
        place = int(better[:-1].sum())
        if place == len(values) - 1 and better[-1]:
            return
        values[place + 1 :], ids[place + 1 :] = values[place:-1].copy(), ids[place:-1].copy()
        values[place], ids[place] = one, image_id

    def of(self, channel: int) -> list[tuple[str, Response]]:
        """(image id, response) of a filter, strongest first; at most k."""
        return [
            (image_id, Response(float(one["value"]), int(one["scale"]), int(one["row"]), int(one["column"])))
            for image_id, one in zip(self._ids[channel], self._found[channel], strict=True)
        ]

    def maxima(self) -> np.ndarray:
        """(C,) float32: each filter's strongest response; -inf before the first image."""
        return self._found["value"].max(axis=1, initial=-np.inf)
