"""How time and memory grow with proposals, image side, classes and images: curves, and the exponent of each.

The exponent is the slope of the logarithms of CPU seconds (and of MiB) against those of the input's size: 1 is growth
with the input, less is growth behind it, as while fixed costs weigh most. `last` is the slope of the last step alone,
where they weigh least. Input: proposals; px of the image; classes; images. Memory: what a process takes for it beyond
what it has; of images the peak of the run's processes. The smallest inputs run first and compile.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.dataset import ROOT, TOTAL, stages_of, turn
from benchmarks.inputs import sample_photos
from benchmarks.measure import keep, peak_mib, progress, run, take_turns
from PIL import Image

from detection.data import write_digits, write_image
from detection.detector import Detector
from detection.engines import limit_threads
from detection.features import FeatureExtractor, FeatureSettings
from detection.learning import (
    BoxRegressors,
    LinearSVMs,
    PostprocessSettings,
    RegressionSettings,
    SVMSettings,
    TrainingRegions,
    postprocess,
    train_regressors,
    train_svms,
)
from detection.pipeline.work import return_memory
from detection.proposals import ProposalSettings, propose
from detection.types import Proposals, RegionFeatures
from detection.visualization.charts import Axis, Line, line_chart

# Proposals and classes while the other of the two grows, and those of an image of any side.
PROPOSALS, CLASSES = 2000, 20
# Sides of made-up proposals in px, and how many times wider or taller one may be.
MIN_SIDE, MAX_ASPECT = 20, 4
# Made-up training: images, proposals an image, length of a vector, objects of each class.
TRAINING_IMAGES, TRAINING_PROPOSALS, TRAINING_LENGTH, CLASS_OBJECTS = 40, 200, 256, 8
# What runs over images, so that one takes a tenth of a second.
SMALL_RUN = ("--proposals.preset=single", "--proposals.max_windows=200", "--features.short_sides=[96]",
             "--regression.min_examples=3", "--dataset.classes=collect")  # fmt: skip
WARM_IMAGES = 4


def made_up_boxes(count: int, size: tuple[int, int], seed: int = 0) -> np.ndarray:
    """(count, 4) float32 proposals in an image of `size` (height, width), their areas' logarithms uniform."""
    rng = np.random.default_rng(seed)
    height, width = size
    side = np.exp(rng.uniform(math.log(MIN_SIDE), math.log(min(size)), count))
    aspect = np.exp(rng.uniform(-0.5, 0.5, count) * math.log(MAX_ASPECT))
    sides = np.minimum(np.stack([side * np.sqrt(aspect), side / np.sqrt(aspect)], axis=1), [width, height])
    corner = rng.uniform(0, 1, (count, 2)) * ([width, height] - sides)
    return np.concatenate([corner, corner + sides], axis=1).astype(np.float32)


def made_up_detector(extractor: FeatureExtractor, classes: int, seed: int = 0) -> Detector:
    """A detector of random weights, a few of whose scores are above any threshold that is in use."""
    rng = np.random.default_rng(seed)
    length = extractor.length("pool5")
    weights = rng.standard_normal((classes, length), dtype=np.float32) / np.float32(100 * math.sqrt(length))
    slopes = rng.standard_normal((classes, 4, length), dtype=np.float32) / np.float32(10000 * math.sqrt(length))
    trained = np.ones(classes, bool)
    return Detector(
        classes=tuple(f"class {n}" for n in range(classes)),
        proposal_settings=ProposalSettings(),
        extractor=extractor,
        svms=LinearSVMs(weights, np.zeros(classes, np.float32), trained, "pool5"),
        regressors=BoxRegressors(slopes, np.zeros((classes, 4), np.float32), trained, "pool5"),
    )


def measure(
    title: str, sizes: Sequence[int], methods_of: Callable[[int], Mapping[str, Callable]], repeats: int
) -> list[dict[str, Any]]:
    """A row a size and stage: median CPU seconds and more memory; methods_of(size): stage -> what is measured."""
    rows = []
    for size in sizes:
        methods = methods_of(size)
        for stage, timing in take_turns(methods, repeats, f"{title} {size}").items():
            timing.result = None
            # What the process has free would hide what a method takes.
            return_memory()
            rows.append({"size": size, "stage": stage, "cpu_s": timing.cpu_s, "MiB": peak_mib(methods[stage])})
        progress("")
    return rows


def proposal_methods(extractor: FeatureExtractor, rgb: np.ndarray) -> Callable[[int], Mapping[str, Callable]]:
    """Stages behind the maps, of so many proposals of one photo."""
    pyramid, detector = extractor.pyramid("photo", rgb), made_up_detector(extractor, CLASSES)

    def methods(count: int) -> Mapping[str, Callable]:
        return _scoring(detector, pyramid, made_up_boxes(count, rgb.shape[:2]))

    return methods


def _scoring(detector: Detector, pyramid: Any, boxes: np.ndarray) -> Mapping[str, Callable]:
    vectors = detector.extractor.pool(pyramid, boxes)
    scores = detector.svms.region_scores(vectors)
    refined = detector.regressors.refine(scores, vectors)
    return {
        "pool": partial(detector.extractor.pool, pyramid, boxes),
        "score": partial(detector.svms.region_scores, vectors),
        "regress": partial(detector.regressors.refine, scores, vectors),
        "suppress": partial(postprocess, refined, pyramid.size, PostprocessSettings()),
        "all of these": partial(detector.detect_proposals, Proposals("photo", pyramid.size, boxes, "made up"), pyramid),
    }


def class_methods(extractor: FeatureExtractor, rgb: np.ndarray) -> Callable[[int], Mapping[str, Callable]]:
    """Scoring by so many classes, and their training on made-up vectors."""
    pyramid, boxes = extractor.pyramid("photo", rgb), made_up_boxes(PROPOSALS, rgb.shape[:2])

    def methods(count: int) -> Mapping[str, Callable]:
        images = made_up_training(count)
        found = dict(_scoring(made_up_detector(extractor, count), pyramid, boxes))
        found.pop("pool")
        found["train SVMs"] = lambda: train_svms(lambda: images, count, SVMSettings())
        found["train regressors"] = lambda: train_regressors(lambda: images, count, RegressionSettings())
        return found

    return methods


def made_up_training(classes: int, seed: int = 0) -> list[TrainingRegions]:
    """Training images in which each class has CLASS_OBJECTS objects, with a proposal near each; the rest is noise."""
    rng = np.random.default_rng(seed)
    size = (400, 400)
    modes = 2 * rng.standard_normal((classes, TRAINING_LENGTH), dtype=np.float32)
    labels = rng.permutation(np.repeat(np.arange(classes), CLASS_OBJECTS))
    images = []
    for number, own in enumerate(np.array_split(labels, TRAINING_IMAGES)):
        name, objects = f"image {number}", made_up_boxes(len(own), size, number)
        near = objects + rng.uniform(-1, 1, objects.shape).astype(np.float32)
        boxes = np.concatenate([near, made_up_boxes(TRAINING_PROPOSALS, size, TRAINING_IMAGES + number)])
        values = rng.standard_normal((len(boxes), TRAINING_LENGTH), dtype=np.float32)
        values[: len(own)] += modes[own]
        of_objects = modes[own] + rng.standard_normal((len(own), TRAINING_LENGTH), dtype=np.float32)
        proposals, truth = (RegionFeatures(name, *one, "pool5") for one in ((boxes, values), (objects, of_objects)))
        images.append(TrainingRegions(proposals, truth, own, np.zeros(len(own), bool)))
    return images


def side_methods(extractor: FeatureExtractor, rgb: np.ndarray, folder: Path) -> Callable[[int], Mapping[str, Callable]]:
    """Proposals and maps of a photo brought to so long a side, from its file on."""
    from detection.data import read_image

    def methods(side: int) -> Mapping[str, Callable]:
        scale = side / max(rgb.shape[:2])
        size = (
            (side, round(rgb.shape[0] * scale)) if rgb.shape[1] >= rgb.shape[0] else (round(rgb.shape[1] * scale), side)
        )
        path = folder / f"{side}.jpg"
        write_image(path, np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.BICUBIC)))
        pixels = read_image(path)
        return {
            "decode": partial(read_image, path),
            "proposals": partial(propose, "photo", pixels, ProposalSettings()),
            "maps": partial(extractor.pyramid, "photo", pixels),
        }

    return methods


def image_rows(sizes: Sequence[int], workers: int, folder: Path) -> list[dict[str, Any]]:
    """A row a number of images and stage of whole runs on digits with small maps, two thirds of them to train on."""
    rows = []
    for count in [WARM_IMAGES, *sizes]:
        train = 2 * count // 3
        root = write_digits(folder / f"digits-{count}", trainval=train, test=count - train)
        progress(f"images: {count}")
        options = [f"--dataset.root={root}", f"--workers={workers}", *SMALL_RUN]
        answer = turn(ROOT, options, folder / f"run-{count}")
        for row in stages_of(answer) if count in sizes else []:
            memory = {"MiB": row["main_MiB"], "worker_MiB": row["worker_MiB"]}
            rows.append({"size": count, "stage": row["stage"], "cpu_s": row["cpu_s"], **memory})
    progress("")
    return rows


# What came out.


def slopes(rows: Sequence[Mapping[str, Any]], input_of: Callable[[int], float]) -> list[dict[str, Any]]:
    """A row a stage: exponents of CPU time and memory; see the head of this file. input_of(size): the input's size."""
    found = []
    for stage in dict.fromkeys(row["stage"] for row in rows):
        own = [row for row in rows if row["stage"] == stage]
        at = [input_of(row["size"]) for row in own]
        row: dict[str, Any] = {"stage": stage, "from": own[0]["size"], "to": own[-1]["size"]}
        for column in [key for key in ("cpu_s", "MiB", "worker_MiB") if key in own[0]]:
            values = [one[column] for one in own]
            row |= {f"{column}_exponent": slope(at, values), f"{column}_last": slope(at[-2:], values[-2:])}
        found.append(row)
    return found


def slope(at: Sequence[float], values: Sequence[float | int | str | None]) -> float | str:
    """Slope of the logarithms by least squares; "" where fewer than two values are above 0 or known."""
    pairs = [
        (math.log(x), math.log(y)) for x, y in zip(at, values, strict=True) if isinstance(y, (int, float)) and y > 0
    ]
    if len({x for x, _ in pairs}) < 2:
        return ""
    return float(np.polyfit(*zip(*pairs, strict=True), 1)[0])


def draw(path: Path, title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Charts of CPU seconds and of MiB against the size, both logarithmic, side by side in one PNG."""
    charts = []
    for column, unit in (("cpu_s", "CPU seconds"), ("MiB", "MiB")):
        lines = []
        for stage in dict.fromkeys(row["stage"] for row in rows):
            own = [row for row in rows if row["stage"] == stage]
            values = [
                row[column] if isinstance(row[column], (int, float)) and row[column] > 0 else math.nan for row in own
            ]
            lines.append(Line(stage, [float(row["size"]) for row in own], [float(value) for value in values]))
        known = [value for line in lines for value in line.y if not math.isnan(value)]
        sizes = [float(row["size"]) for row in rows]
        # One size makes no curve.
        if not known or len(set(sizes)) < 2:
            continue
        low, high = 10.0 ** math.floor(math.log10(min(known))), 10.0 ** math.ceil(math.log10(max(known)) + 1e-9)
        ticks = [10.0**power for power in range(round(math.log10(low)), round(math.log10(high)) + 1)]
        x = Axis(title, min(sizes), max(sizes), sorted(set(sizes)), logarithmic=True)
        y = Axis(unit, low, max(high, 10 * low), ticks, logarithmic=True)
        charts.append(line_chart(f"{unit} against {title}", x, y, lines, legend=0.02))
    if charts:
        write_image(path, np.concatenate(charts, axis=1))


def benchmark(
    proposals: list[int] = [500, 1000, 2000, 4000, 8000],  # noqa: B006 (jsonargparse reads it, nothing changes it)
    sides: list[int] = [300, 750, 1500, 3000],  # noqa: B006
    classes: list[int] = [1, 5, 20, 60, 200],  # noqa: B006
    images: list[int] = [15, 30, 60],  # noqa: B006
    workers: int = 1,
    features: FeatureSettings = FeatureSettings(),  # noqa: B008 (frozen)
    repeats: int = 3,
    out: str = "runs/benchmark",
) -> None:
    """Measure how time and memory grow; see the head of this file. An empty list leaves one out.

    Args:
        proposals: Numbers of proposals, made up, on one photo: pooling, scores, box regression, suppression (20
        classes).
        sides: Longer sides in px of one photo, resampled: decoding, proposals, maps, all at their defaults, which bring
            large images to another size.
        classes: Numbers of classes: scores, regression and suppression of 2,000 proposals, and training on made-up
            vectors.
        images: Numbers of embedded digits in a whole run with small maps; [100,200,400,800] takes half an hour.
        workers: Worker processes of those runs.
        features: Backbone, scales and levels of the first three.
        repeats: Runs of which the median counts.
        out: Folder of benchmark.json and benchmark.md, and of the curves, scaling-WHAT.png.
    """
    if repeats < 1 or workers < 1 or min([1, *proposals, *sides, *classes]) < 1 or min([WARM_IMAGES + 1, *images]) < 5:
        raise ValueError("expected repeats and workers >= 1, sizes >= 1 and images >= 5")
    rgb = next(iter(sample_photos().values()))
    curves: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory(prefix="benchmark-scaling-") as name, limit_threads(1):
        folder = Path(name)
        if proposals or sides or classes:
            extractor = FeatureExtractor.from_settings(features)
        if proposals:
            curves["proposals"] = measure("proposals", proposals, proposal_methods(extractor, rgb), repeats)
        if sides:
            curves["longer side"] = measure("longer side", sides, side_methods(extractor, rgb, folder), repeats)
        if classes:
            curves["classes"] = measure("classes", classes, class_methods(extractor, rgb), repeats)
        if images:
            curves["images"] = image_rows(images, workers, folder)
    tables: dict[str, list[dict[str, Any]]] = {}
    for title, rows in curves.items():
        tables[f"Exponents against {title}"] = slopes(
            rows, lambda size, t=title: float(size**2 if t == "longer side" else size)
        )
        os.makedirs(out, exist_ok=True)
        draw(Path(out) / f"scaling-{title.split()[-1]}.png", title, [row for row in rows if row["stage"] != TOTAL])
    tables |= {f"Against {title}": rows for title, rows in curves.items()}
    keep(out, "scaling", tables)


def main(arguments: list[str]) -> int:
    """Run the command line; returns the exit status."""
    return run(benchmark, "scaling", arguments)
