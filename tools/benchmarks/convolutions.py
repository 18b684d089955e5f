"""A backbone's convolutions: the engines of this package against eager PyTorch, CPU time and agreement.

Inputs: images of the given short sides, 4:3, padded as they are for detection; random values, as no convolution's time
depends on them. The peer is the network as it was trained, cut after the stages in use: eager, NCHW, nothing folded.
"""

import time
from collections.abc import Sequence
from typing import Any, Literal

import torch
from benchmarks.detectors import plain_network
from benchmarks.harness import Row, Tables, take_turns, timing_rows
from jsonargparse.typing import PositiveInt

from detection.backbones import Backbone
from detection.engines import limit_threads
from detection.features.resize import padded_size

# Stages of each backbone; others are asked for as NAME:STRIDE,STRIDE.
STAGES = {"efficientnet_lite0": (16, 32), "resnet18": (16, 32), "resnet50": (16, 32)}
PEER = "eager PyTorch, NCHW"


def largest_error(maps: Any, expected: Any) -> float:
    """Largest difference of any stage's map, relative to that map's largest value."""
    pairs = zip(maps, expected, strict=True)
    return max(float((one - other).abs().max() / other.abs().max()) for one, other in pairs)


def rows_of(name: str, images: Sequence[torch.Tensor], stages: tuple[int, ...], engines: Sequence[str], repeats: int):
    """A row a method: the convolutions of all images."""
    weights = "default" if name == "efficientnet_lite0" else "random"
    published = Backbone.from_weights(name, stages, weights)
    networks, seconds = {PEER: plain_network(published)}, {}
    for engine in engines:
        started = time.perf_counter()
        try:
            networks[engine] = Backbone(name, stages, published.state(), offsets=published.offsets, engine=engine)
        except ValueError as error:
            print(f"{name}: engine {engine} is left out: {error}")
            continue
        # The smallest image, so that what an engine makes at its first call is made.
        networks[engine](images[0])
        seconds[engine] = time.perf_counter() - started
    methods = {key: lambda network=network: list(map(network, images)) for key, network in networks.items()}
    timings = take_turns(methods, repeats, name)
    rows = timing_rows(timings, PEER, backbone=name, strides=stages)
    for row, (key, timing) in zip(rows, timings.items(), strict=True):
        row["error"] = f"{max(map(largest_error, timing.result, timings[PEER].result)):.1e}"
        row["made_in_s"] = seconds.get(key, "")
    return rows


def benchmark(
    backbones: tuple[str, ...] = ("efficientnet_lite0", "alexnet", "resnet18"),
    short_sides: tuple[PositiveInt, ...] = (240, 336, 480, 688),
    threads: PositiveInt = 1,
    repeats: PositiveInt = 3,
    engines: tuple[Literal["torch", "openvino"], ...] = ("torch", "openvino"),
) -> Tables:
    """Measure the convolutions of an image at all short sides together, by each engine and by eager PyTorch.

    Args:
        backbones: Names as in the settings' backbone; NAME:16,32 for stages other than the usual.
        short_sides: Lengths in px of the images' short side; their times are added.
        threads: Threads that all compute with. CPU time is of all threads together.
        repeats: Runs of each method.
        engines: As in the settings' engine.
    """
    rows: list[Row] = []
    with limit_threads(threads), torch.inference_mode():
        for one in backbones:
            name, _, strides = one.partition(":")
            stages = tuple(map(int, strides.split(","))) if strides else STAGES.get(name, (16,))
            sizes = [padded_size((side, round(side * 4 / 3)), max(stages)) for side in sorted(short_sides)]
            images = [torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0)) for size in sizes]
            rows += rows_of(name, images, stages, engines, repeats)
            sides = ", ".join(map(str, short_sides))
            yield f"Convolutions of an image at {sides} px together, threads: {threads}", rows
