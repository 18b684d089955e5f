"""Stage: one filter's map at several image sizes and its pyramids, all of one length (paper, figure 3)."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from detection.inspection.filters import FilterView
from detection.inspection.responses import seen_part
from detection.pooling import pool_map
from detection.types import FeaturePyramid
from detection.visualization import beside, captioned, heat_colours, heat_scale, stacked

_TEXT = 15
# px of the image's shorter side in the picture for each of its resized px, px of a cell, and the side of a level.
_IMAGE_SHARE, _CELL, _LEVEL_SIDE, _GAP = 0.4, 5, 108, 26
_LINE = (255, 255, 255)


def draw_pyramids(rgb: np.ndarray, pyramid: FeaturePyramid, view: FilterView, levels: tuple[int, ...]) -> np.ndarray:
    """A row for each image size: the image, the filter's map with the finest bins, and each level's maxima.

    view: its first channel is drawn, at each of its scales. Maps grow with the image, what the pyramid makes of them
    does not: (H, W, 3) uint8.
    """
    scales = range(len(pyramid.scales)) if view.scales is None else view.scales
    maps = [seen_part(pyramid, scale, view.stage)[view.channels[0]].astype(np.float32) for scale in scales]
    low, high = min(float(one.min()) for one in maps), max(float(one.max()) for one in maps)
    bins = sum(n * n for n in levels)
    rows = []
    for scale, values in zip(scales, maps, strict=True):
        factor = float(pyramid.scales[scale])
        height, width = (round(side * factor) for side in pyramid.size)
        shown = (round(width * _IMAGE_SHARE), round(height * _IMAGE_SHARE))
        image = np.asarray(Image.fromarray(rgb).resize(shown, Image.Resampling.LANCZOS))
        cells = _enlarged(heat_colours(values, low, high), _CELL)
        parts = [
            captioned(image, [f"image, {height} x {width} px"], _TEXT),
            captioned(
                _with_bins(cells, values.shape, max(levels)), [f"map, {values.shape[0]} x {values.shape[1]}"], _TEXT
            ),
        ]
        for n in levels:
            pooled = pool_map(values[None], (n,)).reshape(n, n)
            parts.append(captioned(_enlarged(heat_colours(pooled, low, high), _LEVEL_SIDE // n), [f"{n} x {n}"], _TEXT))
        parts.append(captioned(heat_scale(_LEVEL_SIDE, low, high, _TEXT), [""], _TEXT))
        rows.append(beside(parts, _GAP))
    stride = int(pyramid.strides[view.stage])
    title = f"filter {view.channels[0]}, stride {stride}: {bins} values a filter at any size"
    return np.pad(captioned(stacked(rows, _TEXT), [title], _TEXT), ((8, 8), (8, 8), (0, 0)), constant_values=255)


def _enlarged(colours: np.ndarray, side: int) -> np.ndarray:
    return np.repeat(np.repeat(colours, side, axis=0), side, axis=1)


def _with_bins(picture: np.ndarray, cells: tuple[int, int], n: int) -> np.ndarray:
    """Lines where the bins of level n begin and end."""
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    height, width = picture.shape[:2]
    for i in range(1, n):
        for row in {i * cells[0] // n, -(-i * cells[0] // n)}:
            draw.line([0, row * _CELL, width, row * _CELL], fill=_LINE)
        for column in {i * cells[1] // n, -(-i * cells[1] // n)}:
            draw.line([column * _CELL, 0, column * _CELL, height], fill=_LINE)
    return np.asarray(image)
