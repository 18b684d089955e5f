"""How time grows with the number of proposals, the side of the image and the number of classes; one thread.

A stage's exponent is the slope of the logarithm of its CPU seconds against that of the input's size: 1 is growth with
the input, less is growth behind it, as while fixed costs weigh most. `last` is the slope of the last step alone, where
they weigh least. The smallest input comes first and compiles. Growth with the photos: `dataset` with other limits.
"""

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from benchmarks.detectors import detector_of, random_detector, stage_methods
from benchmarks.harness import Row, Tables, take_turns
from benchmarks.inputs import random_boxes, sample_paths
from jsonargparse.typing import PositiveInt
from PIL import Image

from detection.data import image_size, read_image, write_image
from detection.engines import limit_threads

PROPOSALS = 2000
BEFORE_POOLING, AFTER_POOLING = ("decode", "proposals", "maps"), ("scores", "regression", "suppression")
Sizes = tuple[PositiveInt, ...]
MethodsOf = Callable[[int], Mapping[str, Callable]]


def growth_rows(sizes: Sizes, methods_of: MethodsOf, stages: Sequence[str], repeats: int, power: int) -> list[Row]:
    """A row a stage: median CPU seconds at every size, their exponents against the size to the power.

    methods_of: size -> stage -> what runs it.
    """
    seconds: dict[str, list[float]] = {}
    for size in sorted(sizes):
        methods = {name: method for name, method in methods_of(size).items() if name in stages}
        for stage, timing in take_turns(methods, repeats, str(size)).items():
            seconds.setdefault(stage, []).append(timing.cpu_s)
    at, rows = [size**power for size in sorted(sizes)], []
    for stage, values in seconds.items():
        row = {"stage": stage, "exponent": slope(at, values), "last": slope(at[-2:], values[-2:])}
        rows.append(row | {f"at_{size}_s": value for size, value in zip(sorted(sizes), values, strict=True)})
    return rows


def slope(at: Sequence[float], values: Sequence[float]) -> float | str:
    """Slope of the logarithms by least squares; "" where fewer than two values are above 0."""
    pairs = [(math.log(x), math.log(y)) for x, y in zip(at, values, strict=True) if y > 0]
    return float(np.polyfit(*zip(*pairs, strict=True), 1)[0]) if len({x for x, _ in pairs}) > 1 else ""


def resized(path: Path, side: int, folder: Path) -> Path:
    """A file of the photo with a longer side of so many px."""
    photo, out = Image.fromarray(read_image(path)), folder / f"{side}.jpg"
    size = [max(round(one * side / max(photo.size)), 1) for one in photo.size]
    write_image(out, np.asarray(photo.resize(size, Image.Resampling.BICUBIC)))
    return out


def benchmark(
    proposals: Sizes = (500, 1000, 2000, 4000, 8000),
    sides: Sizes = (300, 750, 1500, 3000),
    classes: Sizes = (1, 5, 20, 60, 200),
    run: str | None = None,
    repeats: PositiveInt = 3,
) -> Tables:
    """Measure how time grows; see the head of this file. An empty list leaves one out.

    Args:
        proposals: Numbers of random boxes on one photo: pooling, scores, box regression, suppression.
        sides: Longer sides in px of one photo, resampled: decoding, proposals, maps.
        classes: Numbers of random classes on pooled vectors: scores, regression and suppression of 2,000 boxes.
        run: Folder of a finished run, whose detector is taken. None: one with random classes on the default network.
        repeats: Runs of which the median counts.
    """
    detector, path = detector_of(run), sample_paths()[0]
    size = image_size(path)
    with tempfile.TemporaryDirectory(prefix="benchmark-scaling-") as folder, limit_threads(1):
        boxes, px = random_boxes(PROPOSALS, size), "longer side in px (exponents: against its square)"
        methods: dict[str, MethodsOf] = {
            "proposals": lambda count: stage_methods(detector, path, random_boxes(count, size)),
            px: lambda side: stage_methods(detector, resized(path, side, Path(folder))),
            "classes": lambda count: stage_methods(random_detector(detector.extractor, count), path, boxes),
        }
        stages = (("pooling", "fc layers", *AFTER_POOLING), BEFORE_POOLING, AFTER_POOLING)
        for title, sizes, own, power in zip(methods, (proposals, sides, classes), stages, (1, 2, 1), strict=True):
            if sizes:
                yield f"CPU seconds against {title}", growth_rows(sizes, methods[title], own, repeats, power)
