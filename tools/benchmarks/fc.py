"""fc6 and fc7 of an image's proposals: all of them, those on different cells once, low-rank layers; the mAP these cost.

Time of one thread, for layers of random weights on the proposals of a photo: the default backbone's vectors (6,048
values), and those of 256 channels at levels 6-3-2-1 (12,800). Proposals on the same cells of the same map share a
vector: what comes out is compared bit for bit with that of all proposals.

mAP: a run's detector on its test split, and what tools/compress.py made of it: low-rank layers (truncated SVD) in place
of its fc6 and fc7, SVMs and regressors as they are.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from benchmarks.detectors import evaluation_of, open_run
from benchmarks.harness import Row, Tables, change_text, progress, take_turns, timing_rows
from benchmarks.inputs import Photo, photo_with_proposals
from jsonargparse.typing import PositiveInt

from detection.detector import Detector
from detection.engines import limit_threads
from detection.evaluation import difference
from detection.features import FeatureExtractor, FeatureSettings, Head

# The vectors that random layers read.
VECTORS = {
    "efficientnet_lite0, 240 336 480 688 px": FeatureSettings(),
    "alexnet, 688 px, levels 6-3-2-1": FeatureSettings(
        backbone="alexnet", weights="random", stages=(16,), short_sides=(688,), levels=(6, 3, 2, 1)
    ),
}
LAYERS, PROPOSALS = ("fc6", "fc7"), 2000
State = Mapping[str, np.ndarray]
Ranks = tuple[tuple[PositiveInt, PositiveInt], ...]
# Fast R-CNN's for layers of 4,096 (section 3.1), and some for narrower ones.
RANKS = ((1024, 256), (256, 128), (128, 64))


def random_state(length: int, widths: Sequence[int], ranks: Sequence[int] | None = None) -> State:
    """Gaussian fc6 and fc7 for vectors of `length`, or low-rank layers in their place: they take the same time."""
    generator, state, inputs = np.random.default_rng(0), {}, length
    for place, (name, outputs) in enumerate(zip(LAYERS, widths, strict=True)):
        shapes = {"weight": (outputs, inputs)}
        if ranks is not None:
            shapes = {"down.weight": (ranks[place], inputs), "up.weight": (outputs, ranks[place])}
        for key, shape in shapes.items():
            state[f"{name}.{key}"] = generator.standard_normal(shape, np.float32) * np.float32(shape[1] ** -0.5)
        state[f"{name}.bias"], inputs = np.zeros(outputs, np.float32), outputs
    return state


def time_rows(name: str, photo: Photo, widths: Sequence[int], ranks: Ranks, repeats: int) -> list[Row]:
    """CPU and wall seconds of fc7 by layers and proposals; whether all and different ones agree bit for bit."""
    settings, boxes = VECTORS[name], photo.boxes[:PROPOSALS]
    extractor = FeatureExtractor.from_settings(settings)
    pyramid, length = extractor.pyramid(photo.name, photo.rgb), extractor.length("pool5")
    vectors = {key: extractor.pool(pyramid, boxes, distinct=key == "different") for key in ("all", "different")}
    states = {"float32": random_state(length, widths)}
    states |= {f"ranks {pair[0]} {pair[1]}": random_state(length, widths, pair) for pair in ranks}
    methods = {}
    for layers, state in states.items():
        head = Head(dataclasses.replace(settings, head="random"), length, state)
        methods |= {f"{layers}, {key}": partial(head, one.values, "fc7") for key, one in vectors.items()}
    timings = take_turns(methods, repeats, name)
    rows = timing_rows(timings, "float32, all", vectors=name, widths=(length, *widths))
    for row, (method, timing) in zip(rows, timings.items(), strict=True):
        layers, part = method.split(", ")
        row["proposals"] = len(timing.result)
        if part == "different":
            found, expected = timing.result[vectors[part].rows], timings[f"{layers}, all"].result
            row["equal_bits"] = found.tobytes() == expected.tobytes()
    return rows


def cost_rows(run: str, models: Sequence[str], limit: int) -> list[Row]:
    """The mAP of the run's detector and of other saved ones on its first test images, paired differences to its own.

    Raises ValueError where a detector has other classes.
    """
    experiment, rows, base = open_run(run), [], None
    for folder in (str(experiment.run.detector), *models):
        detector = Detector.load(folder)
        if detector.classes != tuple(experiment.classes):
            raise ValueError(f"{folder}: expected a detector of the run's classes, got {', '.join(detector.classes)}")
        result = evaluation_of(experiment, detector, folder, experiment.test_images[:limit])
        change = None if base is None else difference(base, result, experiment.settings.intervals)
        rows.append({"detector": folder, "mAP": result.mean_ap, "change": change_text(change)})
        base = base or result
    progress("")
    return rows


def benchmark(
    matlab: str | None = None,
    run: str | None = None,
    widths: tuple[PositiveInt, PositiveInt] = (4096, 4096),
    ranks: Ranks = RANKS,
    repeats: PositiveInt = 3,
    models: tuple[str, ...] = (),
    images: PositiveInt = 300,
) -> Tables:
    """Measure fc6 and fc7, and what low-rank layers cost; see the head of this file.

    Args:
        matlab: Folder with photos NAME.jpg and the original code's proposals NAME_boxes.mat: those of the first. None:
            scikit-learn's first photo and proposals of this package.
        run: Folder of a run with fine-tuned layers, for mAP.
        widths: Outputs of the random fc6 and fc7.
        ranks: Pairs of ranks of fc6 and fc7.
        repeats: Runs of each method.
        models: Folders that tools/compress.py made of the run's detector; without any no mAP is measured.
        images: Test images of the run for mAP, a second or two each.
    """
    photo, rows = photo_with_proposals(matlab), []
    with limit_threads(1):
        for name in VECTORS:
            rows += time_rows(name, photo, widths, ranks, repeats)
            yield f"fc6 and fc7 of random weights, {photo.name}, one thread", rows
        if run is not None and models:
            yield f"mAP on the run's test split, at most {images} images", cost_rows(run, models, images)
