"""An image from its file to its detections, against its convolutions alone and against R-CNN-style crops.

All in: decoding, proposals, maps, pooling, scores, regression, suppression. Its peer is what nobody can do without: the
plain convolutions of the same network at the same scales (eager PyTorch, NCHW, batch norms as they are, without
gradients), inputs ready beforehand. With two threads the peer runs both ways: each convolution spread over the threads,
and the scales in parallel as this package has them; and several photos are worked on at a time.

R-CNN-style crops (benchmarks.rcnn): the same proposals, each through the same network by itself; what follows the
vectors takes as long as ours. So many crops are timed as --crops says, and counted up to all proposals.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from benchmarks.detectors import detector_of, network_inputs, plain_network, stage_methods
from benchmarks.harness import Row, Tables, take_turns
from benchmarks.inputs import photo_paths
from benchmarks.rcnn import BATCH, crop_vectors
from jsonargparse.typing import PositiveInt

from detection.data import read_image
from detection.detector import Detector
from detection.engines import limit_threads, single_threaded_pool
from detection.features import FeatureExtractor
from detection.proposals import propose
from detection.types import Detections, MapFunction

AFTER_VECTORS = ("fc layers", "scores", "regression", "suppression")
ALL_IN, PEER, PEER_PARALLEL = "all in", "plain convolutions", "plain convolutions, scales in parallel"
MANY = "all in, photos in parallel (detect_many)"
# Short sides in px that R-CNN-style crops are compared with besides the detector's own.
SIDE_SETS = ((688,), (480,))


def convolve(network: torch.nn.Module, images: Sequence[torch.Tensor], mapper: MapFunction = map) -> None:
    """The convolutions of an image, and nothing else."""
    # Each thread has to be told that no gradient is wanted.
    list(mapper(torch.inference_mode()(network), images))


def content(photos: Sequence[Detections]) -> list[tuple[bytes, bytes, bytes]]:
    """All bits of the detections of some images."""
    return [(found.boxes.tobytes(), found.scores.tobytes(), found.labels.tobytes()) for found in photos]


def limited(threads: int, method: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
    """What the method gives for each item, with so many threads of torch."""
    with limit_threads(threads):
        return list(map(method, items))


def image_rows(detector: Detector, paths: Sequence[Path], repeats: int, threads: int) -> list[Row]:
    """Median seconds an image, the mean over the photos, of all in and its peers, with one thread and with `threads`.

    Raises ValueError where that changes a bit of the detections.
    """
    network, methods = plain_network(detector.extractor.backbone), {}
    photos = [network_inputs(detector.extractor, read_image(path)) for path in paths]
    with single_threaded_pool(threads) as pool:
        for count in sorted({1, threads}):
            methods[ALL_IN, count] = partial(limited, count, partial(detector.detect, threads=count), paths)
            methods[PEER, count] = partial(limited, count, partial(convolve, network), photos)
        if threads > 1:
            methods[PEER_PARALLEL, threads] = lambda: [convolve(network, one, pool.map) for one in photos]
            methods[MANY, threads] = lambda: list(detector.detect_many(paths, threads))
        timings = take_turns(methods, repeats, "image")
    first, rows = timings[ALL_IN, 1], []
    for (name, count), timing in timings.items():
        row = {"method": name, "threads": count, "photos": len(paths)}
        row |= {"cpu_s": timing.cpu_s / len(paths), "wall_s": timing.wall_s / len(paths)}
        if name in (ALL_IN, MANY):
            if content(timing.result) != content(first.result):
                raise ValueError(f"{name}, {count} threads: expected the detections of one thread, got others")
            peers = [timings[key] for key in timings if key[0] in (PEER, PEER_PARALLEL) and key[1] == count]
            row["of_convolutions_cpu"] = timing.cpu_s / min(one.cpu_s for one in peers)
            row["of_convolutions_wall"] = timing.wall_s / min(one.wall_s for one in peers)
            row["times_throughput"] = first.wall_s / timing.wall_s
        rows.append(row)
    return rows


def stage_rows(detector: Detector, path: Path, repeats: int) -> list[Row]:
    """CPU milliseconds of one thread that each stage of a photo takes, and its share of their sum."""
    timings = take_turns(stage_methods(detector, path), repeats, "stages")
    total = sum(one.cpu_s for one in timings.values())
    rows = [{"stage": name, "cpu_ms": 1000 * one.cpu_s, "share": one.cpu_s / total} for name, one in timings.items()]
    return [*rows, {"stage": "sum", "cpu_ms": 1000 * total, "share": 1.0}]


def rcnn_rows(detector: Detector, path: Path, repeats: int, crops: int | None, after_s: float) -> list[Row]:
    """Ours, at each set of short sides, against R-CNN-style crops: CPU seconds of one thread for one photo.

    after_s: CPU seconds of what follows the vectors, the same for both.
    """
    rgb, extractor = read_image(path), detector.extractor
    methods: dict[Any, Callable[[], Any]] = {"proposals": partial(propose, "", rgb, detector.proposal_settings)}
    proposals = methods["proposals"]()
    for sides in (extractor.settings.short_sides, *SIDE_SETS):
        settings = replace(extractor.settings, short_sides=sides)
        ours = replace(detector, extractor=FeatureExtractor(settings, extractor.backbone, extractor.pooled_head))
        methods[sides] = lambda ours=ours: ours.detect_proposals(proposals, ours.extractor.pyramid("", rgb))
    timings = take_turns(methods, repeats, "R-CNN-style crops")
    boxes, made = proposals.boxes[:crops], timings.pop("proposals").cpu_s
    crop = partial(crop_vectors, extractor.backbone, rgb, levels=extractor.settings.levels)
    crop(boxes[:BATCH])  # compiles
    crops_s = take_turns({"crops": partial(crop, boxes)}, repeats, "R-CNN-style crops", warm=False)["crops"].cpu_s
    crops_s = crops_s * len(proposals.boxes) / len(boxes) + after_s
    rows = []
    for sides, timing in timings.items():
        row = {"short_sides": list(sides), "proposals": len(proposals.boxes), "crops_timed": len(boxes)}
        row |= {"ours_cpu_s": timing.cpu_s, "proposals_cpu_s": made, "rcnn_cpu_s": crops_s}
        row["times_without_proposals"] = crops_s / timing.cpu_s
        rows.append(row | {"times_with_proposals": (crops_s + made) / (timing.cpu_s + made)})
    return rows


def benchmark(
    voc: str | None = None,
    run: str | None = None,
    photos: PositiveInt = 4,
    repeats: PositiveInt = 3,
    threads: PositiveInt = 2,
    crops: PositiveInt | None = 200,
) -> Tables:
    """Measure images against their convolutions and R-CNN-style crops; see the head of this file.

    Args:
        voc: Folder that holds the year folder of a VOC 2007 devkit; its test photos of 500x375 px are taken. None:
            scikit-learn's two sample photos.
        run: Folder of a finished run, whose detector is taken. None: one with random classes on the default network.
        photos: Photos of the first table; the others take the first.
        repeats: Runs of each method.
        threads: Threads besides one, and photos at a time.
        crops: Proposals cropped as R-CNN does, the rest counted up; None: all of the image (minutes).
    """
    detector, paths = detector_of(run), photo_paths(voc, photos)
    yield "One image, all in, against its convolutions alone", image_rows(detector, paths, repeats, threads)
    with limit_threads(1):
        stages = stage_rows(detector, paths[0], repeats)
        yield "Stages of an image, one thread", stages
        after_s = sum(row["cpu_ms"] for row in stages if row["stage"] in AFTER_VECTORS) / 1000
        title = "One image against R-CNN-style crops, CPU time of one thread"
        yield title, rcnn_rows(detector, paths[0], repeats, crops, after_s)
