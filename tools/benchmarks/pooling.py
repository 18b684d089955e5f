"""Spatial pyramid pooling against torchvision's roi_pool and torch's adaptive_max_pool2d: one process, one thread.

Proposals: the first of the original MATLAB selective search on a photo, or of this package's own, on the cells of a map
of 688 px at stride 16; the map has normal random values. This package writes to memory that is kept, but where a row
says "fresh"; the peers have no way to be given memory. The methods take turns; what counts is the median of the
process's CPU time. "floor" is what the machine takes to write as much as the vectors of all proposals (NumPy's fill),
or to copy it. Bits are compared bin by bin.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.inputs import sample_photos
from benchmarks.measure import keep, run, take_turns

from detection.data import image_size
from detection.geometry import project_to_cells, resize_scale
from detection.pooling import spatial_pyramid_pool
from detection.pooling._kernels import unique_cells
from detection.pooling.spp import pool_into, pooled_length
from detection.proposals import ProposalSettings, selective_search
from detection.proposals.foreign import match_proposals, read_proposals

STRIDE, OFFSET, MAX_LONG_SIDE = 16, (15.5, 15.5), 2000
# Channels and levels: of the paper, of ResNet18's stage at stride 16 and the paper's levels, of the defaults.
SHAPES = ((256, (6, 3, 2, 1)), (512, (6, 3, 2, 1)), (112, (3, 2, 1)))
ALL, UNIQUE, ROI = "all proposals", "different proposals", "roi_pool, a call a level"
LOOP, LOOP_LAST = "adaptive_max_pool2d, a proposal at a time", "the same, map channels-last"
FILL, COPY = "floor: fill", "floor: copy"


def real_cells(matlab: str | None, proposals: int, short_side: int) -> tuple[str, np.ndarray, tuple[int, int]]:
    """(source, cells (R, 4) int32, map (rows, columns)) of a photo's first proposals."""
    if matlab is not None:
        path = sorted(Path(matlab).glob("*_boxes.mat"))[0]
        photo = path.with_name(path.name.replace("_boxes.mat", ".jpg"))
        file, size = read_proposals(path), image_size(photo)
        match_proposals(file, [photo.stem])
        source, boxes = f"MATLAB proposals of {photo.name}", file.convention.to_half_open(file.boxes[0])
    else:
        name, rgb = next(iter(sample_photos().items()))
        source, size = f"own proposals of {name}", (rgb.shape[0], rgb.shape[1])
        boxes = selective_search(rgb, ProposalSettings(min_side=0, max_windows=None))
    scale = resize_scale(size, short_side, MAX_LONG_SIDE)
    map_size = tuple(-(-round(side * scale) // STRIDE) for side in size)
    return source, project_to_cells(boxes[:proposals], scale, STRIDE, OFFSET, size, map_size), map_size


def own_methods(feature_map: np.ndarray, cells: np.ndarray, levels: tuple[int, ...]) -> dict[str, Callable[[], Any]]:
    """The pooling of this package, and what the machine takes to write and to copy its vectors."""
    length = pooled_length(len(feature_map), levels)
    rows = np.arange(len(cells))
    out, unaligned = (np.empty((len(cells), length), np.float32) for _ in range(2))

    def pooled(proposals: np.ndarray, to: np.ndarray) -> np.ndarray:
        pool_into(feature_map, proposals, levels, rows[: len(proposals)], to, 0)
        return to

    def different() -> np.ndarray:
        first = unique_cells(cells)
        return pooled(cells[first == rows], out)

    # What writes through the caches leaves them full of lines that are still to go to memory, and the next method waits
    # for those: the ones that are compared follow one that writes past them.
    return {
        "all proposals, memory of np.empty": lambda: pooled(cells, unaligned),
        "all proposals, fresh memory": lambda: spatial_pyramid_pool(feature_map, cells, levels),
        ALL: lambda: pooled(cells, out),
        UNIQUE: different,
        FILL: lambda: unaligned.fill(1),
        COPY: lambda: np.copyto(unaligned, out),
    }


def peers(feature_map: np.ndarray, cells: np.ndarray, levels: tuple[int, ...]) -> dict[str, Callable[[], Any]]:
    """Name -> method, of the peers that are installed; each gives a list of (R, C, n, n), or of proposals' levels."""
    try:
        import torch
        from torchvision.ops import roi_pool
    except ImportError as error:
        print(f"peers are left out: {error}")
        return {}
    torch.set_num_threads(1)
    planes = torch.from_numpy(feature_map)
    last = planes[None].contiguous(memory_format=torch.channels_last)[0]
    # roi_pool's last cell is inside.
    rois = torch.from_numpy(np.hstack([np.zeros((len(cells), 1)), cells - [0, 0, 1, 1]]).astype(np.float32))

    def loop(values: torch.Tensor) -> list[list[torch.Tensor]]:
        pool = torch.nn.functional.adaptive_max_pool2d
        return [[pool(values[:, y1:y2, x1:x2], n) for n in levels] for x1, y1, x2, y2 in cells.tolist()]

    return {
        ROI: lambda: [roi_pool(planes[None], rois, n) for n in levels],
        LOOP: lambda: loop(planes),
        LOOP_LAST: lambda: loop(last),
    }


def different_bins(own: np.ndarray, name: str, result: list, levels: tuple[int, ...], channels: int) -> int:
    """How many of all bins of all proposals and channels differ from the peer's."""
    by_level = result if name == ROI else [[proposal[k] for proposal in result] for k in range(len(levels))]
    at = differing = 0
    for n, bins in zip(levels, by_level, strict=True):
        theirs = np.stack([one.numpy() for one in bins]).reshape(len(own), -1)
        differing += int((own[:, at : at + channels * n * n] != theirs).sum())
        at += channels * n * n
    return differing


def rows_of_shape(
    cells: np.ndarray, map_size: tuple[int, int], channels: int, levels: tuple[int, ...], repeats: int
) -> list[dict[str, Any]]:
    """One row a method for a map of `channels` normal random values a cell."""
    feature_map = np.random.default_rng(0).standard_normal((channels, *map_size)).astype(np.float32)
    own, others = own_methods(feature_map, cells, levels), peers(feature_map, cells, levels)
    timings = take_turns(own | others, repeats, f"C = {channels}")
    expected = spatial_pyramid_pool(feature_map, cells, levels)
    rows = []
    for name, timing in timings.items():
        row = {"channels": channels, "levels": list(levels), "method": name, "cpu_ms": 1e3 * timing.cpu_s}
        row |= {"least_cpu_ms": 1e3 * min(timing.cpu), "wall_ms": 1e3 * timing.wall_s}
        row["of_the_fill"] = timing.cpu_s / timings[FILL].cpu_s
        for peer in (ROI, LOOP, LOOP_LAST):
            if peer in timings and name in own and name not in (FILL, COPY):
                row[f"times_faster_than_{'roi_pool' if peer == ROI else peer}"] = timings[peer].cpu_s / timing.cpu_s
        if name in others:
            row["bins_that_differ"] = different_bins(expected, name, timing.result, levels, channels)
        rows.append(row)
    return rows


def gradient_rows(cells: np.ndarray, map_size: tuple[int, int], channels: int, repeats: int) -> list[dict[str, Any]]:
    """Forward and backward of tensors that want a gradient, on the first 128 proposals, as in training."""
    try:
        import torch
    except ImportError:
        return []
    levels = SHAPES[0][1]
    values = np.random.default_rng(0).standard_normal((channels, *map_size)).astype(np.float32)
    tensor = torch.from_numpy(values).requires_grad_()
    proposals = cells[:128]

    def learned(forward: Callable[[torch.Tensor], list[torch.Tensor]]) -> Callable[[], Any]:
        def both() -> torch.Tensor:
            tensor.grad = None
            torch.stack([one.sum() for one in forward(tensor)]).sum().backward()
            return tensor.grad

        return both

    def loop(one: torch.Tensor) -> list[torch.Tensor]:
        pool = torch.nn.functional.adaptive_max_pool2d
        return [pool(one[:, y1:y2, x1:x2], n) for x1, y1, x2, y2 in proposals.tolist() for n in levels]

    methods = {"this package": learned(lambda one: [spatial_pyramid_pool(one, proposals, levels)]), LOOP: learned(loop)}
    timings = take_turns(methods, repeats, "gradients")
    gradients = [timing.result.numpy() for timing in timings.values()]
    rows = [{"channels": channels, "proposals": len(proposals), "method": name} for name in methods]
    for row, timing in zip(rows, timings.values(), strict=True):
        row |= {"cpu_ms": 1e3 * timing.cpu_s, "times_faster": timings[LOOP].cpu_s / timing.cpu_s}
        row["largest_difference"] = float(np.abs(gradients[0] - gradients[1]).max())
    return rows


def benchmark(
    matlab: str | None = None,
    proposals: int = 2000,
    short_side: int = 688,
    channels: list[int] = [256, 512, 112],  # noqa: B006 (jsonargparse reads it, nothing changes it)
    repeats: int = 5,
    out: str = "runs/benchmark",
) -> None:
    """Measure pyramid pooling of one map, one thread; see the head of this file.

    Args:
        matlab: Folder with a photo NAME.jpg and the original code's proposals NAME_boxes.mat. None: own proposals of
            one of scikit-learn's photos.
        proposals: At most so many proposals.
        short_side: Short side of the resized photo in px.
        channels: Channels of the maps; 112 has the default levels 3-2-1, others the paper's 6-3-2-1.
        repeats: Rounds.
        out: Folder of benchmark.json and benchmark.md.
    """
    if min(proposals, short_side, repeats, *channels) < 1:
        raise ValueError("proposals, short_side, channels, repeats: expected numbers >= 1")
    source, cells, map_size = real_cells(matlab, proposals, short_side)
    different = len(np.unique(cells, axis=0))
    levels_of = dict(SHAPES)
    rows = [
        row
        for count in channels
        for row in rows_of_shape(cells, map_size, count, levels_of.get(count, SHAPES[0][1]), repeats)
    ]
    title = f"{source}: {len(cells)}, {different} different, map {map_size[0]} x {map_size[1]}, one thread"
    gradients = gradient_rows(cells, map_size, channels[0], repeats)
    keep(out, "pooling", {title: rows, "Forward and backward of a CPU tensor": gradients})


def main(arguments: list[str]) -> int:
    """Run the command line; returns the exit status."""
    return run(benchmark, "pooling", arguments)
