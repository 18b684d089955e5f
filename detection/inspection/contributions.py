"""Why a window has its score: which cell won each bin of its pyramid, and what each bin adds to a linear score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detection.features.settings import FeatureSettings
from detection.geometry import area
from detection.pooling.cells import cells_of, scales_of
from detection.types import FeaturePyramid


def winning_cells(feature_map: np.ndarray, cells: Sequence[int], levels: Sequence[int]) -> np.ndarray:
    """The cell whose value each bin of a window holds: (C * bins, 2) int64 (row, column), in the vector's order.

    feature_map: (C, h, w). cells: x1, y1, x2, y2, half-open, of one window. Of equal values the first cell wins, rows
    from the top. Order and bins are those of ``detection.pooling.spp``.
    """
    x1, y1, x2, y2 = (int(one) for one in cells)
    window = np.asarray(feature_map, np.float32)[:, y1:y2, x1:x2]
    channels, height, width = window.shape
    found = []
    for n in levels:
        places = np.empty((channels, n, n, 2), np.int64)
        for i in range(n):
            top, bottom = i * height // n, -(-(i + 1) * height // n)
            for j in range(n):
                left, right = j * width // n, -(-(j + 1) * width // n)
                flat = window[:, top:bottom, left:right].reshape(channels, -1).argmax(axis=1)
                row, column = np.divmod(flat, right - left)
                places[:, i, j] = np.stack([y1 + top + row, x1 + left + column], axis=1)
        found.append(places.reshape(-1, 2))
    return np.concatenate(found)


@dataclass(frozen=True)
class StagePart:
    """What one stage of the network adds to a window's score.

    stride, offset (y, x): geometry of its map in resized px. cells: x1, y1, x2, y2 that the window covers, half-open.
    map_size: (rows, columns). values: (C, bins) as pooled. contributions: (C, bins), summing up to the stage's part of
    the score. winners: (C, bins, 2) (row, column). finest: the largest level.
    """

    stride: int
    offset: np.ndarray
    cells: np.ndarray
    map_size: tuple[int, int]
    values: np.ndarray
    contributions: np.ndarray
    winners: np.ndarray
    finest: int

    def channels(self) -> np.ndarray:
        """(C,) what each channel adds to the score."""
        return self.contributions.sum(axis=1)

    def heat(self, channel: int | None = None) -> np.ndarray:
        """(rows, columns) what each cell adds to the score by the bins it won; of one channel, or of all."""
        chosen = slice(None) if channel is None else slice(channel, channel + 1)
        heat = np.zeros(self.map_size)
        places = self.winners[chosen].reshape(-1, 2)
        np.add.at(heat, (places[:, 0], places[:, 1]), self.contributions[chosen].ravel())
        return heat

    def centres(self, scale: float, channel: int) -> np.ndarray:
        """(bins, 2) x, y in px of the image of the centres of the cells that won the channel's bins."""
        return ((self.offset + self.stride * self.winners[channel]) / scale)[:, ::-1]


@dataclass(frozen=True)
class PooledWindow:
    """How one window was pooled. scale: resized px per image px, the `index`-th of the pyramid's.

    areas: (S,) the window's area in px^2 at every scale; the one nearest to the target was chosen. stages: what each
    adds to the score; with a bias they sum up to it.
    """

    index: int
    scale: float
    areas: np.ndarray
    stages: tuple[StagePart, ...]

    def strongest(self, count: int) -> list[tuple[int, int]]:
        """(stage, channel) of the `count` channels that add most, most first; of equal ones the first."""
        added = np.concatenate([stage.channels() for stage in self.stages])
        owners = [(index, channel) for index, stage in enumerate(self.stages) for channel in range(len(stage.values))]
        return [owners[place] for place in np.argsort(-added, kind="stable")[:count]]


def window_contributions(
    pyramid: FeaturePyramid, box: np.ndarray, vector: np.ndarray, gradient: np.ndarray, settings: FeatureSettings
) -> PooledWindow:
    """Take a window's pooled vector apart. box: (4,) px of the image. vector: (D,) as pooled from it.

    gradient: (D,) what a unit of each value adds to the score: an SVM's weights, or what a head makes of them.
    A value that is the floor's (``FeatureSettings.pool_floor``) counts for the cell whose value lies below it.
    """
    boxes = np.asarray(box, np.float64)[None]
    index = int(scales_of(boxes, pyramid, settings)[0])
    scale, bins = float(pyramid.scales[index]), sum(n * n for n in settings.levels)
    parts, start = [], 0
    for stride, offset, one in zip(pyramid.strides, pyramid.offsets, pyramid.maps[index], strict=True):
        channels, *map_size = np.shape(one)
        (cells,) = cells_of(boxes, scale, int(stride), offset, pyramid.size, tuple(map_size), settings)
        part = slice(start, start + channels * bins)
        added = vector[part].astype(np.float64) * gradient[part]
        parts.append(
            StagePart(
                stride=int(stride),
                offset=offset,
                cells=cells,
                map_size=tuple(map_size),
                values=_by_channel(vector[part], channels, settings.levels),
                contributions=_by_channel(added, channels, settings.levels),
                winners=_by_channel(winning_cells(one, cells, settings.levels), channels, settings.levels),
                finest=max(settings.levels),
            )
        )
        start = part.stop
    return PooledWindow(index, scale, area(boxes)[0] * pyramid.scales**2, tuple(parts))


def _by_channel(flat: np.ndarray, channels: int, levels: Sequence[int]) -> np.ndarray:
    """(C * bins, ...) level by level -> (C, bins, ...)."""
    parts, start = [], 0
    for n in levels:
        stop = start + channels * n * n
        parts.append(flat[start:stop].reshape(channels, n * n, *flat.shape[1:]))
        start = stop
    return np.concatenate(parts, axis=1)
