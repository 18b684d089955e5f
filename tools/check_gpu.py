"""Whether a GPU gives what the CPU gives, and how fast: detection, pooling, fine-tuning on made-up photos.

usage: python tools/check_gpu.py [--device cuda] [--photos 8] [--batches 50]

Takes some minutes at most and fetches nothing. Prints images a second by batch size, and a table of differences; ends
with status 1 where a difference is larger than rounding, with 2 where there is no such device.
"""

import argparse
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from benchmarks.detectors import random_detector
from benchmarks.harness import markdown
from benchmarks.inputs import random_boxes

from detection.backbones import Backbone
from detection.detector import Detector
from detection.engines import limit_threads
from detection.features import FeatureExtractor, FeatureSettings
from detection.geometry import iou
from detection.learning import FinetuneSettings
from detection.learning.finetune.trial import batches
from detection.pooling import spatial_pyramid_pool
from detection.pooling.torch_pooling import pool_tensor

SIZE, CLASSES, REGIONS = (375, 500), 5, 2000
BATCHES = (1, 2, 4, 8, 16, 32)
# Largest differences, as parts of the largest value, that rounding explains: maps are float16, losses have run through
# many steps. Of detections the part that has its like on the other device.
MAPS, POOLED, LOSS, ALIKE = 4e-3, 1e-6, 1e-2, 0.97


def photos(count: int) -> list[np.ndarray]:
    """(H, W, 3) uint8: coloured boxes before a smooth ground; seed 0."""
    rng, made = np.random.default_rng(0), []
    for _ in range(count):
        ramp = np.linspace(0, 120, SIZE[1])[None, :, None] * rng.random(3) + np.linspace(0, 120, SIZE[0])[:, None, None]
        photo = ramp + rng.normal(0, 6, (*SIZE, 3))
        for x1, y1, x2, y2 in random_boxes(200, SIZE)[rng.integers(0, 200, 12)].astype(int):
            photo[y1:y2, x1:x2] = rng.integers(0, 256, 3) + rng.normal(0, 6, (y2 - y1, x2 - x1, 3))
        made.append(photo.clip(0, 255).astype(np.uint8))
    return made


def seconds_of(make: Callable[[], object], device: str) -> float:
    """Wall seconds of the second of two calls, with all that the device does for it."""
    for _ in range(2):
        started = time.perf_counter()
        make()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        seconds = time.perf_counter() - started
    return seconds


def detectors(device: str) -> tuple[Detector, Detector]:
    """The same detector of random classes on the CPU and on the device."""
    settings = FeatureSettings(engine="torch")
    return tuple(random_detector(FeatureExtractor.from_settings(settings, one), CLASSES) for one in ("cpu", device))


def alike(one, other) -> float:
    """The part of one's detections that have one of their class with IoU 0.9 among the other's."""
    overlaps = iou(one.boxes, other.boxes) * (one.labels[:, None] == other.labels[None, :])
    return float((overlaps.max(axis=1, initial=0) >= 0.9).mean()) if len(one.labels) else 1.0


def differences(device: str, count: int, steps: int) -> list[dict]:
    """A row each: the largest difference between CPU and device, what is allowed, seconds of both."""
    cpu, gpu = detectors(device)
    made, rows = photos(count), []
    maps = [detector.extractor.pyramid("", made[0], map).maps for detector in (cpu, gpu)]
    pairs = [
        (np.float32(a), np.float32(b))
        for ones, others in zip(*maps, strict=True)
        for a, b in zip(ones, others, strict=True)
    ]
    largest = max(float(np.abs(a - b).max() / np.abs(a).max()) for a, b in pairs)
    times = [seconds_of(lambda d=d: d.extractor.pyramid("", made[0], stay=True), device) for d in (cpu, gpu)]
    rows.append(
        {"what": "maps of a photo", "difference": largest, "allowed": MAPS, "cpu_s": times[0], "device_s": times[1]}
    )
    rows += [_pooled(device, kind) for kind in ("max", "mean")]
    found = [list(map(detector.detect, made)) for detector in (cpu, gpu)]
    share = min(np.mean([alike(*pair) for pair in zip(*order, strict=True)]) for order in (found, found[::-1]))
    times = [seconds_of(lambda d=d: d.detect(made[0]), device) for d in (cpu, gpu)]
    rows.append(
        {
            "what": "detections not alike",
            "difference": 1 - share,
            "allowed": 1 - ALIKE,
            "cpu_s": times[0],
            "device_s": times[1],
        }
    )
    # Without dropout, whose draws differ.
    settings = FinetuneSettings(dropout=0.0)
    one, other = (batches(cpu.extractor.length("pool5"), CLASSES, settings, place, steps) for place in ("cpu", device))
    largest = max(abs(a - b) / max(abs(a), 1e-3) for (_, a), (_, b) in zip(one, other, strict=True))
    times = [sum(seconds for seconds, _ in done) for done in (one, other)]
    rows.append(
        {
            "what": f"loss over {steps} batches",
            "difference": largest,
            "allowed": LOSS,
            "cpu_s": times[0],
            "device_s": times[1],
        }
    )
    return rows


def _pooled(device: str, kind: str) -> dict:
    """Pooling of REGIONS regions of a map of 256 channels, by the kernel and by whole-array operations."""
    rng, levels = np.random.default_rng(0), (6, 3, 2, 1)
    values = rng.normal(0, 1, (256, 43, 57)).astype(np.float32)
    corners = np.sort(rng.integers(0, (57, 43), (REGIONS, 2, 2)), axis=1).reshape(REGIONS, 4)
    cells = np.add(corners, [0, 0, 1, 1])
    on_device = torch.from_numpy(values).to(device)
    expected = spatial_pyramid_pool(values, cells, levels, kind)
    got = pool_tensor(on_device, cells, levels, kind).cpu().numpy()
    times = [
        seconds_of(lambda: spatial_pyramid_pool(values, cells, levels, kind), device),
        seconds_of(lambda: pool_tensor(on_device, cells, levels, kind), device),
    ]
    largest = float(np.abs(got - expected).max() / np.abs(expected).max())
    return {
        "what": f"{kind} pooling",
        "difference": largest,
        "allowed": POOLED,
        "cpu_s": times[0],
        "device_s": times[1],
    }


def throughput(device: str) -> list[dict]:
    """Images a second of the convolutions at a short side of 480 px, by images in a batch."""
    backbone: Backbone = FeatureExtractor.from_settings(FeatureSettings(engine="torch"), device).backbone
    rows = []
    for size in BATCHES:
        images = torch.rand(size, 3, 480, 640).to(device)
        rows.append(
            {"batch": size, "images_a_second": size / seconds_of(lambda images=images: backbone(images), device)}
        )
    return rows


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cuda", help="torch device")
    parser.add_argument("--photos", type=int, default=8, help="photos to detect in")
    parser.add_argument("--batches", type=int, default=50, help="batches of fine-tuning")
    options = parser.parse_args(arguments)
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        print("There is no GPU that this PyTorch can use, so nothing was checked.")
        return 2
    named = torch.cuda.get_device_name() if options.device.startswith("cuda") else options.device
    print(f"device: {named}; PyTorch {torch.__version__}\n")
    with limit_threads(1):
        rows = differences(options.device, options.photos, options.batches)
        print(markdown("Differences, as parts of the largest value", rows))
        print(markdown("Convolutions, 480 x 640 px", throughput(options.device)))
    wrong = [row["what"] for row in rows if not row["difference"] <= row["allowed"]]
    print(f"too different: {', '.join(wrong)}" if wrong else "All differences are those of rounding.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
