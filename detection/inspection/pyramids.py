"""One filter's map at several image sizes and its pyramids, all of one length (paper, figure 3)."""

import numpy as np
from PIL import Image

from detection.inspection.contributions import bins_of
from detection.inspection.filters import FilterView
from detection.inspection.pictures import TEXT, draw_rectangles, framed
from detection.inspection.responses import activation_maps
from detection.pooling import pool_map
from detection.types import FeaturePyramid
from detection.visualization import beside, captioned, heat_colours, heat_scale, stacked

# px of the image's shorter side in the picture for each of its resized px, px of a cell, and the side of a level.
_IMAGE_SHARE, _CELL, _LEVEL_SIDE, _GAP, _BORDER = 0.4, 5, 108, 26, 8
_LINE = (255, 255, 255)


def draw_pyramids(
    rgb: np.ndarray, pyramid: FeaturePyramid, view: FilterView, levels: tuple[int, ...], pooling: str = "max"
) -> np.ndarray:
    """A row for each image size: the image, the filter's map with the finest bins, and each level's values.

    view: its first channel is drawn, at each of its scales. Maps grow with the image, what the pyramid makes of them
    does not: (H, W, 3) uint8.
    """
    channel, stage = view.channels[0], view.stage
    maps = [activation_maps(pyramid, scale, stage)[channel].astype(np.float32) for scale in view.scales]
    limits = min(float(one.min()) for one in maps), max(float(one.max()) for one in maps)
    sizes = [[round(side * float(pyramid.scales[scale])) for side in pyramid.size] for scale in view.scales]
    rows = [_row(rgb, size, values, limits, levels, pooling) for size, values in zip(sizes, maps, strict=True)]
    bins = sum(n * n for n in levels)
    title = f"filter {channel}, stride {pyramid.strides[stage]}: {bins} values a filter at any size"
    return framed([captioned(stacked(rows, TEXT), [title], TEXT)], 0, _BORDER)


def _row(
    rgb: np.ndarray,
    size: list[int],
    values: np.ndarray,
    limits: tuple[float, float],
    levels: tuple[int, ...],
    pooling: str,
) -> np.ndarray:
    """size: (height, width) of the resized image. values: (h, w) of the map. limits: lowest and highest colour."""
    height, width = size
    shown = (round(width * _IMAGE_SHARE), round(height * _IMAGE_SHARE))
    image = np.asarray(Image.fromarray(rgb).resize(shown, Image.Resampling.LANCZOS))
    # Lines where the finest bins begin and end inside the map, whose own border gets none.
    edges = _CELL * bins_of((0, 0, *values.shape[::-1]), [max(levels)])
    edges[edges == 0] = -1
    parts = [
        (image, f"image, {height} x {width} px"),
        (draw_rectangles(_heat(values, limits, _CELL), edges, _LINE), f"map, {len(values)} x {len(values.T)}"),
    ]
    for n in levels:
        pooled = pool_map(values[None], (n,), pooling).reshape(n, n)
        parts.append((_heat(pooled, limits, _LEVEL_SIDE // n), f"{n} x {n}"))
    parts.append((heat_scale(_LEVEL_SIDE, *limits, TEXT), ""))
    return beside([captioned(picture, [words], TEXT) for picture, words in parts], _GAP)


def _heat(values: np.ndarray, limits: tuple[float, float], side: int) -> np.ndarray:
    """A map (h, w) as a picture, `side` px a cell."""
    return heat_colours(values, *limits).repeat(side, axis=0).repeat(side, axis=1)
