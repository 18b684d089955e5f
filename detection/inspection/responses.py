"""Filter responses: where in an image each channel of a map is strongest, and which images excite it most."""

from bisect import insort
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from detection.backbones.receptive_layers import ReceptiveField
from detection.geometry import clip, valid_cells
from detection.types import FeaturePyramid

# One filter's response at one cell: value, index of the pyramid's scale, row and column of the cell.
RESPONSE = np.dtype([("value", np.float32), ("scale", np.int32), ("row", np.int32), ("column", np.int32)])


def activation_maps(pyramid: FeaturePyramid, scale: int, stage: int) -> np.ndarray:
    """The cells (C, h, w) of a map whose centre lies in the image: a view; the others see mostly padding."""
    maps = np.asarray(pyramid.maps[scale][stage])
    height, width = (
        valid_cells(side * float(pyramid.scales[scale]), int(pyramid.strides[stage]), float(offset), cells)
        for side, offset, cells in zip(pyramid.size, pyramid.offsets[stage], maps.shape[1:], strict=True)
    )
    return maps[:, :height, :width]


def upsample(
    values: np.ndarray, size: tuple[int, int], scale: float, stride: int, offset: Sequence[float]
) -> np.ndarray:
    """A map in the image frame: (h, w) -> (H, W) float32, each cell's value at its centre, linear between centres.

    size: (height, width) of the image in px. scale: resized px per image px. stride, offset (y, x): geometry of the
    map in resized px. Beyond the outermost centres the nearest one's value holds.
    """
    weights = []
    for length, cells, first in zip(size, values.shape, offset, strict=True):
        places = np.clip(((np.arange(length) + 0.5) * scale - first) / stride, 0, cells - 1)
        hats = 1 - np.abs(places[:, None] - np.arange(cells))
        weights.append(np.maximum(hats, 0).astype(np.float32))
    return (weights[0] @ values.astype(np.float32) @ weights[1].T).astype(np.float32)


def strongest_responses(pyramid: FeaturePyramid, stage: int, scales: Sequence[int]) -> np.ndarray:
    """For every channel its largest value over all cells of some scales, and where it is: (C,) `RESPONSE` records.

    scales: their indices. Of equal values the first scale counts, then the first cell, rows from the top.
    """
    best: np.ndarray | None = None
    for scale in scales:
        maps = activation_maps(pyramid, scale, stage)
        channels = np.arange(len(maps))
        row, column = np.divmod(maps.reshape(len(maps), -1).argmax(axis=1), maps.shape[2])
        found = _responses(maps[channels, row, column], scale, row, column)
        best = found if best is None else np.where(found["value"] > best["value"], found, best)
    return best


def _responses(values: np.ndarray, scale: int, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    found = np.zeros(len(values), RESPONSE)
    found["value"], found["scale"], found["row"], found["column"] = values, scale, row, column
    return found


def local_maxima(values: np.ndarray, scale: int, count: int) -> np.ndarray:
    """The `count` strongest local maxima of one channel's map (h, w) as `RESPONSE` records, strongest first.

    A local maximum is no smaller than its eight neighbours and larger than those before it, so that a plateau counts
    once. Of equal ones the first cell comes first.
    """
    bordered = np.pad(values.astype(np.float32), 1, constant_values=-np.inf)
    around = np.lib.stride_tricks.sliding_window_view(bordered, (3, 3)).reshape(*values.shape, 9)
    before, after = around[..., :4].max(axis=-1), around[..., 5:].max(axis=-1)
    row, column = np.nonzero((values > before) & (values >= after))
    found = _responses(values[row, column], scale, row, column)
    return found[np.argsort(-found["value"], kind="stable")[:count]]


def receptive_boxes(
    responses: np.ndarray, fields: Sequence[ReceptiveField], scales: np.ndarray, size: tuple[int, int]
) -> np.ndarray:
    """What the cells of `responses` (N,) see by each of the fields: (F, N, 4) float32, image frame, clipped.

    scales: (S,) resized px per image px of the image of `size` (height, width).
    """
    cells = np.stack([responses["row"], responses["column"]], axis=1)
    boxes = np.array([field.boxes(cells) for field in fields]) / scales[responses["scale"]][:, None]
    return clip(boxes.astype(np.float32), size)


class RankedPhoto(NamedTuple):
    """One photo of a filter's row. boxes: x1, y1, x2, y2 in parts of the image's sides, one for each field."""

    image_id: str
    value: float
    boxes: np.ndarray


class StrongestImages:
    """For every filter the k images with the strongest response, in one pass over images in any order.

    Memory is that of filters x k photos. Ties are broken by image id: the smaller comes first.
    """

    def __init__(self, channels: int, k: int) -> None:
        """Raises ValueError for k < 1."""
        if k < 1:
            raise ValueError(f"images a filter: expected at least 1, got {k}")
        self.k = k
        self._ranked: list[list[RankedPhoto]] = [[] for _ in range(channels)]
        # What an image's response needs to be among them.
        self._needed = np.full(channels, -np.inf, np.float32)

    def add(self, image_id: str, values: np.ndarray, boxes: np.ndarray) -> None:
        """Offer an image, once: its strongest response (C,) to each filter and what that sees, (F, C, 4)."""
        for channel in np.flatnonzero(values >= self._needed):
            ranked = self._ranked[channel]
            photo = RankedPhoto(image_id, float(values[channel]), boxes[:, channel].copy())
            insort(ranked, photo, key=lambda one: (-one.value, one.image_id))
            if len(ranked) >= self.k:
                del ranked[self.k :]
                self._needed[channel] = ranked[-1].value

    def of(self, channel: int) -> list[RankedPhoto]:
        """A filter's photos, strongest first; at most k."""
        return list(self._ranked[channel])

    def image_ids(self) -> set[str]:
        """Every image that is among some filter's k."""
        return {photo.image_id for ranked in self._ranked for photo in ranked}
