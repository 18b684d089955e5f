"""Spatial pyramid pooling against torchvision's roi_pool, one thread; every bin is compared.

Proposals lie on the cells of a map of normal random values, as large as one of 688 px at stride 16 is.
"""

import numpy as np
import torch
from benchmarks.harness import Row, Tables, take_turns, timing_rows
from benchmarks.inputs import Photo, photo_with_proposals
from jsonargparse.typing import PositiveInt

from detection.engines import limit_threads
from detection.geometry import project_to_cells, resize_scale
from detection.pooling import spatial_pyramid_pool

STRIDE, OFFSET, MAX_LONG_SIDE = 16, (15.5, 15.5), 2000
LEVELS = (6, 3, 2, 1)
PEER = "roi_pool, a call a level"


def cells_of(photo: Photo, limit: int, short_side: int) -> tuple[np.ndarray, tuple[int, int]]:
    """(cells (R, 4) int32, map (rows, columns)) of a photo's first proposals."""
    size = photo.rgb.shape[:2]
    scale = resize_scale(size, short_side, MAX_LONG_SIDE)
    map_size = tuple(-(-round(side * scale) // STRIDE) for side in size)
    return project_to_cells(photo.boxes[:limit], scale, STRIDE, OFFSET, size, map_size), map_size


def rows_of(cells: np.ndarray, map_size: tuple[int, int], channels: int, repeats: int) -> list[Row]:
    """One row a method for a map of `channels` values a cell."""
    from torchvision.ops import roi_pool

    feature_map = np.random.default_rng(0).standard_normal((channels, *map_size)).astype(np.float32)
    tensor, different = torch.from_numpy(feature_map)[None], np.unique(cells, axis=0)
    # roi_pool's last cell is inside.
    rois = torch.from_numpy(np.hstack([np.zeros((len(cells), 1)), cells - [0, 0, 1, 1]]).astype(np.float32))
    methods = {
        PEER: lambda: [roi_pool(tensor, rois, n) for n in LEVELS],
        "all proposals": lambda: spatial_pyramid_pool(feature_map, cells, LEVELS),
        "different proposals": lambda: spatial_pyramid_pool(feature_map, different, LEVELS),
    }
    timings = take_turns(methods, repeats, f"{channels} channels")
    rows = timing_rows(timings, PEER, channels=channels)
    expected = np.hstack([level.numpy().reshape(len(cells), -1) for level in timings[PEER].result])
    rows[1]["bins_that_differ"] = int((timings["all proposals"].result != expected).sum())
    return rows


def benchmark(
    matlab: str | None = None,
    proposals: PositiveInt = 2000,
    short_side: PositiveInt = 688,
    channels: tuple[PositiveInt, ...] = (256, 512),
    repeats: PositiveInt = 5,
) -> Tables:
    """Measure pyramid pooling of one map at the paper's levels, 6-3-2-1, by one thread.

    Args:
        matlab: Folder with a photo NAME.jpg and the original code's proposals NAME_boxes.mat. None: own proposals of
            one of scikit-learn's photos.
        proposals: At most so many proposals.
        short_side: Short side of the resized photo in px.
        channels: Channels of the maps.
        repeats: Rounds.
    """
    photo = photo_with_proposals(matlab)
    cells, map_size = cells_of(photo, proposals, short_side)
    different, rows = len(np.unique(cells, axis=0)), []
    with limit_threads(1):
        for count in channels:
            rows += rows_of(cells, map_size, count, repeats)
            where = f"{photo.name}: {len(cells)} proposals, {different} on different cells"
            yield f"{where}, map {map_size[0]} x {map_size[1]}, one thread", rows
