"""An image from its file to its detections, against its convolutions alone and against R-CNN-style crops; a folder of
images.

All in: decoding, proposals, maps, pooling, scores, regression, suppression. Its peer is what nobody can do without: the
plain convolutions of the same network at the same scales (eager PyTorch, NCHW, batch norms as they are, without
gradients), inputs ready beforehand. With two threads the peer runs both ways that there are: each convolution spread
over the threads, and the scales side by side as this package has them.

R-CNN-style crops (benchmarks.rcnn): the same proposals cropped with context, warped to 224 px, sent through the same
network in batches, pooled over the whole crop; then SVMs, regression and suppression as ours. So many crops are timed
as --crops says, and counted up to all proposals.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.detectors import detector_of
from benchmarks.inputs import photo_paths
from benchmarks.measure import Timing, keep, run, take_turns
from benchmarks.rcnn import CropSettings, crop_vectors

from detection.backbones import Backbone
from detection.data import read_image
from detection.detector import Detector
from detection.engines import limit_threads, single_threaded_pool
from detection.features import FeatureExtractor
from detection.features.resize import network_input, normalise
from detection.learning import postprocess
from detection.proposals import propose
from detection.types import Detections, FeaturePyramid, MapFunction, Proposals, RegionFeatures

ALL_IN, PEER = "all in", "plain convolutions"
PEER_SPREAD = "plain convolutions, scales side by side"
ONE_BY_ONE, MANY, HASHING = "one after the other", "detect_many", "control: hashing"
# About as long as an image takes.
HASHED_BLOCKS, HASHED_BLOCK = 128, bytes(2**22)
STAGES = ("decode", "proposals", "maps", "pooling", "fc layers", "scores", "regression", "suppression")


def plain_backbone(backbone: Backbone) -> Backbone:
    """The same network as it was trained, nothing folded or joined."""
    return Backbone(backbone.name, backbone.strides, backbone.state(), offsets=backbone.offsets, fused=False)


def inputs_of(extractor: FeatureExtractor, rgb: np.ndarray) -> list[torch.Tensor]:
    """The network's input (1, 3, H, W), NCHW, at every scale, largest first."""
    backbone = extractor.backbone
    normalised = normalise(rgb, backbone.mean, backbone.std)
    scales = sorted(map(float, extractor.scales(rgb.shape[:2])), reverse=True)
    images = [network_input(normalised, scale, max(backbone.strides)) for scale in scales]
    return [torch.from_numpy(one).permute(0, 3, 1, 2).contiguous() for one in images]


def convolve(network: Callable, images: Sequence[torch.Tensor], spread: MapFunction = map) -> None:
    """The convolutions of an image, and nothing else."""

    def one(image: torch.Tensor) -> None:
        with torch.inference_mode():
            network(image)

    list(spread(one, images))


def content(found: Detections) -> tuple[bytes, bytes, bytes]:
    """All bits of an image's detections."""
    return found.boxes.tobytes(), found.scores.tobytes(), found.labels.tobytes()


def _limited(threads: int, method: Callable[[], Any]) -> Any:
    with limit_threads(threads):
        return method()


def image_rows(detector: Detector, paths: Sequence[Path], repeats: int, threads: int) -> list[dict[str, Any]]:
    """Median seconds an image of all in and of its peer, with one thread and with `threads`."""
    network = plain_backbone(detector.extractor.backbone).network.to(memory_format=torch.contiguous_format)
    rows: dict[tuple[str, int], list[Timing]] = {}
    with single_threaded_pool(threads) as pool:
        for path in paths:
            images = inputs_of(detector.extractor, read_image(path))
            methods = {}
            for count in sorted({1, threads}):
                methods[ALL_IN, count] = partial(_limited, count, partial(detector.detect, path, threads=count))
                methods[PEER, count] = partial(_limited, count, partial(convolve, network, images))
            if threads > 1:
                methods[PEER_SPREAD, threads] = partial(convolve, network, images, pool.map)
            timings = take_turns(methods, repeats, path.name)
            if len({content(timings[ALL_IN, count].result) for count in (1, threads)}) != 1:
                raise ValueError(f"{path}: expected the same detections whatever the threads, got others")
            for key, timing in timings.items():
                rows.setdefault(key, []).append(timing)
    found = [_row(name, count, timings) for (name, count), timings in rows.items()]
    for row in found:
        peers = [one for one in found if one["threads"] == row["threads"] and one["method"] != ALL_IN]
        if row["method"] == ALL_IN:
            row["of_convolutions_cpu"] = row["cpu_s"] / min(one["cpu_s"] for one in peers)
            row["of_convolutions_wall"] = row["wall_s"] / min(one["wall_s"] for one in peers)
    return found


def _row(name: str, threads: int, timings: Sequence[Timing]) -> dict[str, Any]:
    cpu, wall = (float(np.mean([getattr(one, key) for one in timings])) for key in ("cpu_s", "wall_s"))
    return {"method": name, "threads": threads, "photos": len(timings), "cpu_s": cpu, "wall_s": wall}


def stage_rows(detector: Detector, paths: Sequence[Path], repeats: int) -> list[dict[str, Any]]:
    """CPU milliseconds of one thread that each stage of an image takes: medians over photos and repeats."""
    laps: dict[str, list[float]] = {stage: [] for stage in STAGES}
    with limit_threads(1):
        for turn in range(repeats + 1):
            for path in paths:
                timed = _stages(detector, path)
                # The first turn compiles and fills caches.
                for stage, seconds in timed.items() if turn else ():
                    laps[stage].append(seconds)
    medians = {stage: 1000 * float(np.median(one)) for stage, one in laps.items()}
    total = sum(medians.values())
    rows = [{"stage": stage, "cpu_ms": one, "share": one / total} for stage, one in medians.items()]
    return [*rows, {"stage": "sum", "cpu_ms": total, "share": 1.0}]


def _stages(detector: Detector, path: Path) -> dict[str, float]:
    """Seconds of CPU of the stages of `Detector.detect`, one after the other."""
    laps, last = {}, time.process_time()

    def lap(stage: str) -> None:
        nonlocal last
        now = time.process_time()
        laps[stage], last = now - last, now

    rgb = read_image(path)
    lap("decode")
    proposals = propose("", rgb, detector.proposal_settings)
    lap("proposals")
    pyramid = detector.extractor.pyramid("", rgb)
    lap("maps")
    pool5 = detector.extractor.pool(pyramid, proposals.boxes, distinct=True)
    lap("pooling")
    features = pool5 if detector.svms.layer == "pool5" else detector.extractor.head(pool5)
    lap("fc layers")
    scores = detector.svms.region_scores(features)
    lap("scores")
    laps["regression"] = 0.0

    def refine(proposals_asked: np.ndarray, labels: np.ndarray) -> np.ndarray:
        start = time.process_time()
        boxes = detector.regressors.boxes(pool5, proposals_asked, labels)
        laps["regression"] += time.process_time() - start
        return boxes

    postprocess(scores, pyramid.size, detector.postprocess_settings, refine if detector.regressors else None)
    lap("suppression")
    laps["suppression"] -= laps["regression"]
    return laps


def rcnn_rows(
    detector: Detector, path: Path, repeats: int, crops: int | None, side_sets: Sequence[Sequence[int]]
) -> list[dict[str, Any]]:
    """Ours, at each set of short sides, against R-CNN-style crops: CPU seconds of one thread for one image.

    The network is this package's fused one on both sides, then the plain one on both sides.
    """
    rgb = read_image(path)
    proposals = propose("", rgb, detector.proposal_settings)
    boxes = proposals.boxes[:crops]
    rows = []
    for executor, backbone in (
        ("fused", detector.extractor.backbone),
        ("plain", plain_backbone(detector.extractor.backbone)),
    ):
        ours = {tuple(sides): _with_scales(detector, backbone, tuple(sides)) for sides in side_sets}
        methods = {sides: partial(_ours, one, proposals, rgb) for sides, one in ours.items()}
        methods["proposals"] = partial(propose, "", rgb, detector.proposal_settings)
        crop = partial(crop_vectors, backbone, rgb, levels=detector.extractor.settings.levels, settings=CropSettings())
        with limit_threads(1):
            for method in (*methods.values(), partial(crop, boxes=boxes[: CropSettings().batch])):
                method()
            methods["crops"] = partial(crop, boxes=boxes)
            timings = take_turns(methods, repeats, f"R-CNN-style crops, {executor}", warm=False)
            rest = _after_vectors(detector, timings["crops"].result, boxes, proposals, rgb.shape[:2], repeats)
        crops_s = timings["crops"].cpu_s * len(proposals.boxes) / len(boxes) + rest
        made = timings["proposals"].cpu_s
        for sides in ours:
            own = timings[sides].cpu_s
            row = {"network": executor, "short_sides": list(sides), "proposals": len(proposals.boxes)}
            row |= {"crops_timed": len(boxes), "ours_s": own, "proposals_s": made, "rcnn_s": crops_s}
            row |= {"times_without_proposals": crops_s / own, "times_with_proposals": (crops_s + made) / (own + made)}
            rows.append(row)
    return rows


def _with_scales(detector: Detector, backbone: Backbone, sides: tuple[int, ...]) -> Detector:
    extractor = detector.extractor
    settings = replace(extractor.settings, short_sides=sides)
    return replace(detector, extractor=FeatureExtractor(settings, backbone, extractor.pooled_head))


def _ours(detector: Detector, proposals: Proposals, rgb: np.ndarray) -> Detections:
    pyramid: FeaturePyramid = detector.extractor.pyramid("", rgb)
    return detector.detect_proposals(proposals, pyramid)


def _after_vectors(
    detector: Detector,
    vectors: np.ndarray,
    boxes: np.ndarray,
    proposals: Proposals,
    size: tuple[int, int],
    repeats: int,
) -> float:
    """CPU seconds of what follows R-CNN's vectors, for all: those of the timed crops stand for the others'."""
    rows = np.arange(len(proposals.boxes)) % len(boxes)
    pool5 = RegionFeatures("", proposals.boxes, vectors[rows], "pool5")

    def method() -> None:
        features = pool5 if detector.svms.layer == "pool5" else detector.extractor.head(pool5)
        scores = detector.svms.region_scores(features)
        if detector.regressors is not None:
            scores = detector.regressors.refine(scores, pool5)
        postprocess(scores, size, detector.postprocess_settings)

    return take_turns({"rest": method}, repeats, "what follows the vectors")["rest"].cpu_s


def folder_rows(detector: Detector, paths: Sequence[Path], repeats: int, workers: int) -> list[dict[str, Any]]:
    """A folder one image after the other, each with one thread, against several at a time.

    Hashing tells what the machine gave so many threads meanwhile: it shares nothing but the processors.
    """
    with single_threaded_pool(workers) as pool:
        methods = {
            (ONE_BY_ONE, 1, 1): partial(_limited, 1, lambda: [detector.detect(one) for one in paths]),
            (ONE_BY_ONE, 1, workers): lambda: [detector.detect(one, threads=workers) for one in paths],
            (MANY, workers, 1): lambda: list(detector.detect_many(paths, workers)),
            (HASHING, 1, 1): lambda: list(map(_hashed, paths)),
            (HASHING, workers, 1): lambda: list(pool.map(_hashed, paths)),
        }
        timings = take_turns(methods, repeats, "folder")
    if len({tuple(map(content, one.result)) for (name, *_), one in timings.items() if name != HASHING}) != 1:
        raise ValueError("expected the same detections whatever is done at a time, got others")
    rows = []
    for (name, at_a_time, threads), timing in timings.items():
        row = {"method": name, "at_a_time": at_a_time, "threads_each": threads, "items": len(paths)}
        row |= {"cpu_s": timing.cpu_s, "wall_s": timing.wall_s, "items_a_second": len(paths) / timing.wall_s}
        first = timings[HASHING if name == HASHING else ONE_BY_ONE, 1, 1]
        rows.append(row | {"times_throughput": first.wall_s / timing.wall_s})
    return rows


def _hashed(_: Path) -> None:
    hashed = hashlib.sha256()
    for _ in range(HASHED_BLOCKS):
        hashed.update(HASHED_BLOCK)


def benchmark(
    voc: str | None = None,
    year: str = "VOC2007",
    split: str = "test",
    run: str | None = None,
    photos: int = 2,
    repeats: int = 3,
    threads: int = 2,
    crops: int | None = 200,
    folder: int = 6,
    out: str = "runs/benchmark",
) -> None:
    """Measure one image against its convolutions and R-CNN-style crops, and a folder; see the head of this file.

    Args:
        voc: Folder that holds the year folder of a VOC devkit; its photos of 500x375 px are taken. None: scikit-learn's
            two sample photos.
        year: Name of the year folder.
        split: Split whose photos are used.
        run: Folder of a finished run, whose detector is taken. None: one with random classes on the default network.
        photos: Photos for the first two tables.
        repeats: Runs of each method.
        threads: Threads beside one, and images of a folder at a time.
        crops: Proposals sent R-CNN-style crops, the rest counted up; None: all of the image (minutes).
        folder: Photos of the folder.
        out: Folder of benchmark.json and benchmark.md.
    """
    if min(photos, repeats, threads, folder) < 1 or (crops is not None and crops < 1):
        raise ValueError("expected photos, repeats, threads, folder and crops of at least 1")
    detector = detector_of(run)
    paths = photo_paths(voc, year, split, max(photos, folder))
    sides = detector.extractor.settings.short_sides
    tables = {
        "One image, all in, against its convolutions alone": image_rows(detector, paths[:photos], repeats, threads),
        "Stages of an image, one thread": stage_rows(detector, paths[:photos], repeats),
        "One image against R-CNN-style crops, CPU time of one thread": rcnn_rows(
            detector, paths[0], repeats, crops, [sides, (688,), (480,)]
        ),
        "A folder of images": folder_rows(detector, paths[:folder], repeats, threads),
    }
    keep(out, "image", tables)


def main(arguments: list[str]) -> int:
    """Run the command line; returns the exit status."""
    return run(benchmark, "image", arguments)
