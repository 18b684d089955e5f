"""Contributions to a region's score: what each bin of its pyramid adds, and what each cell, by the bins it is in."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from detection.features.settings import FeatureSettings, stage_label
from detection.geometry import area
from detection.pooling.cells import cells_of, scales_of
from detection.pooling.spp import pooled_length
from detection.types import FeaturePyramid


def bins_of(cells: Sequence[int], levels: Sequence[int]) -> np.ndarray:
    """(bins, 4) int64 cells x1, y1, x2, y2, half-open, of each bin of a region's pyramid: level by level, row by row.

    cells: x1, y1, x2, y2 of the region. As in ``detection.pooling.spp``; the bins of small regions overlap.
    """
    x1, y1, x2, y2 = (int(one) for one in cells)

    def ranges(first: int, length: int, n: int) -> list[tuple[int, int]]:
        return [(first + i * length // n, first - (-(i + 1) * length // n)) for i in range(n)]

    places = (place for n in levels for place in product(ranges(y1, y2 - y1, n), ranges(x1, x2 - x1, n)))
    return np.array([(left, top, right, bottom) for (top, bottom), (left, right) in places])


def winning_cells(feature_map: np.ndarray, cells: Sequence[int], levels: Sequence[int]) -> np.ndarray:
    """The cell whose value each bin of a region holds: (C, bins, 2) int64 (row, column), bins level by level.

    feature_map: (C, h, w). cells: x1, y1, x2, y2, half-open, of one region. Of equal values the first cell wins, rows
    from the top. Bins are those of ``detection.pooling.spp``.
    """
    maps, winners = np.asarray(feature_map), []
    for left, top, right, bottom in bins_of(cells, levels):
        best = maps[:, top:bottom, left:right].reshape(len(maps), -1).argmax(axis=1)
        row, column = np.divmod(best, right - left)
        winners.append(np.stack([top + row, left + column], axis=1))
    return np.stack(winners, axis=1)


def _shares_of_winners(added: np.ndarray, winners: np.ndarray, map_size: tuple[int, int]) -> np.ndarray:
    """(C, rows, columns) what each cell adds by the bins whose maximum it is."""
    shares = np.zeros((len(added), *map_size))
    np.add.at(shares, (np.arange(len(added))[:, None], winners[..., 0], winners[..., 1]), added)
    return shares


def _shares_of_all(maps: np.ndarray, bins: np.ndarray, added: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """(C, rows, columns) what each cell adds to the means of its bins.

    slopes: (C, bins) what a unit of a mean adds. What a bin adds beside its mean, by a floor, is shared evenly.
    """
    shares = np.zeros(maps.shape)
    for number, (left, top, right, bottom) in enumerate(bins):
        cells = maps[:, top:bottom, left:right].astype(np.float64)
        apart = cells - cells.mean(axis=(1, 2), keepdims=True)
        found = added[:, number, None, None] + slopes[:, number, None, None] * apart
        shares[:, top:bottom, left:right] += found / cells[0].size
    return shares


@dataclass(frozen=True)
class StageContributions:
    """What one stage of the network adds to a region's score.

    label: the stage in words. stride, offset (y, x): geometry of its map in resized px. cells: x1, y1, x2, y2 that the
    region covers, half-open. map_size: (rows, columns). values: (C, bins) as pooled, bins level by level.
    contributions: (C, bins), summing up to the stage's part of the score. shares: (C, rows, columns), the same cell by
    cell. winners: (C, bins, 2) (row, column) of the cell whose value each bin holds, None where bins are means.
    """

    label: str
    stride: int
    offset: np.ndarray
    cells: np.ndarray
    map_size: tuple[int, int]
    values: np.ndarray
    contributions: np.ndarray
    shares: np.ndarray
    winners: np.ndarray | None

    def channels(self) -> np.ndarray:
        """(C,) what each channel adds to the score."""
        return self.contributions.sum(axis=1)

    def saliency(self, channel: int | None = None) -> np.ndarray:
        """(rows, columns) what each cell adds to the score by the bins it counts in; of one channel, or of all."""
        return self.shares.sum(axis=0) if channel is None else self.shares[channel]

    def centres(self, cells: np.ndarray, scale: float) -> np.ndarray:
        """(N, 2) x, y in px of the image of the centres of cells (N, 2) (row, column)."""
        return ((self.offset + self.stride * cells) / scale)[:, ::-1]


@dataclass(frozen=True)
class RegionContributions:
    """How one region was pooled. scale: resized px per image px, the `index`-th of the pyramid's.

    areas: (S,) the region's area in px^2 at every scale, of which the settings' rule chose one. stages: what each adds
    to the score; with a constant they sum up to it.
    """

    index: int
    scale: float
    areas: np.ndarray
    stages: tuple[StageContributions, ...]

    def strongest(self, count: int) -> list[tuple[StageContributions, int]]:
        """(stage, channel) of the `count` channels that add most, most first; of equal ones the first."""
        added = np.concatenate([stage.channels() for stage in self.stages])
        owners = [(stage, channel) for stage in self.stages for channel in range(len(stage.values))]
        return [owners[place] for place in np.argsort(-added, kind="stable")[:count]]


def region_contributions(
    pyramid: FeaturePyramid, box: np.ndarray, vector: np.ndarray, gradient: np.ndarray, settings: FeatureSettings
) -> RegionContributions:
    """Take a region's pooled vector apart. box: (4,) px of the image. vector: (D,) as pooled from it.

    gradient: (D,) what a unit of each value adds to the score: an SVM's weights, or what a head makes of them.
    A value that is the floor's (``FeatureSettings.pool_floor``) counts for the cell whose value lies below it.
    """
    boxes, levels = np.asarray(box)[None], settings.levels
    index = int(scales_of(boxes, pyramid, settings)[0])
    scale, stages, start = float(pyramid.scales[index]), [], 0
    factors = settings.stage_weights or (1.0,) * len(settings.stages)
    parts = zip(settings.stages, factors, pyramid.strides.tolist(), pyramid.offsets, pyramid.maps[index], strict=True)
    for name, factor, stride, offset, maps in parts:
        channels, *map_size = np.shape(maps)
        (cells,) = cells_of(boxes, scale, stride, offset, pyramid.size, tuple(map_size), settings)
        stop = start + pooled_length(channels, levels)
        ends = np.cumsum([channels * n * n for n in levels])[:-1]
        # As pooled, (C * bins,) level by level -> (C, bins).
        values, slopes = (
            np.concatenate([part.reshape(channels, -1) for part in np.split(one[start:stop], ends)], axis=1)
            for one in (vector, gradient)
        )
        added, winners = values.astype(np.float64) * slopes, None
        if settings.pooling == "mean":
            shares = _shares_of_all(np.asarray(maps), bins_of(cells, levels), added, factor * slopes)
        else:
            winners = winning_cells(maps, cells, levels)
            shares = _shares_of_winners(added, winners, tuple(map_size))
        stages.append(
            StageContributions(
                stage_label(name), stride, offset, cells, tuple(map_size), values, added, shares, winners
            )
        )
        start = stop
    return RegionContributions(index, scale, area(boxes)[0] * pyramid.scales**2, tuple(stages))
