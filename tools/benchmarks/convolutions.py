"""A backbone's convolutions against eager PyTorch, in one process: CPU time, share of the machine's best, agreement.

Inputs: normalised images of the given short sides, 4:3, padded as they are for detection; random values, as no
convolution's time depends on them. Paths, which take turns: the published network, eager, NCHW, with all its stages and
with those in use; the latter in channels_last; this package's, also by its engine "openvino", and ONNX Runtime, where
they are installed; torch.compile where asked for. The package sets malloc options for its process
(features/memory.py), which help eager PyTorch too: the peer is the published network in a process without them, as
PyTorch comes, and has a second row in this process, with them. The machine's best is the product of two float32
matrices in the same run.
"""

from __future__ import annotations

import multiprocessing
import pickle
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from benchmarks.measure import Elsewhere, keep, run, take_turns
from torch.utils.flop_counter import FlopCounterMode

from detection.backbones import Backbone
from detection.backbones.names import TIMM_PREFIX
from detection.engines import limit_threads
from detection.features.resize import padded_size

# Stages measured of each backbone; others are asked for as NAME:STRIDE,STRIDE.
STAGES = {"efficientnet_lite0": (16, 32), "resnet18": (16, 32), "resnet50": (16, 32)}
ONE_STAGE = (16,)
TIMM_NAMES = {"efficientnet_lite0": "tf_efficientnet_lite0"}
# Width over height of the images.
ASPECT = 4 / 3
PEER = "eager NCHW, stages in use"
SAME_MEMORY = "eager NCHW, our malloc options"
OWN = "this package"
GEMM_SIDE = 1536

Path_ = Callable[[torch.Tensor], Any]


def backbones_of(name: str, stages: tuple[int, ...]) -> tuple[Backbone, Backbone]:
    """The backbone as it is used and as published: unfolded, contiguous. Random weights but for Lite0."""
    weights = "default" if name == "efficientnet_lite0" else "random"
    own = Backbone.from_weights(name, stages, weights)
    plain = Backbone(name, stages, own.state(), offsets=own.offsets, fused=False)
    plain.network.to(memory_format=torch.contiguous_format)
    return own, plain


def whole_network(name: str) -> Path_ | None:
    """All stages of a network of timm, as its `features_only` runs them, untrained; None for others."""
    if not name.startswith(TIMM_PREFIX) and name not in TIMM_NAMES:
        return None
    import timm

    network = timm.create_model(TIMM_NAMES.get(name, name.removeprefix(TIMM_PREFIX)), features_only=True)
    return network.eval()


def openvino_path(plain: Backbone, threads: int) -> Path_:
    """The package's engine "openvino", compiled for the threads in force."""
    backbone = Backbone(plain.name, plain.strides, plain.state(), offsets=plain.offsets, engine="openvino")
    backbone(torch.zeros(1, 3, *_smallest(plain)))
    return backbone


def onnxruntime_path(plain: Backbone, threads: int) -> Path_:
    """The published network under ONNX Runtime, for images of any size."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    sides = torch.export.Dim("rows"), torch.export.Dim("columns")
    shapes = ({2: max(plain.strides) * sides[0], 3: max(plain.strides) * sides[1]},)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "network.onnx")
        example = (torch.zeros(1, 3, *_smallest(plain)),)
        torch.onnx.export(plain.network, example, path, dynamo=True, dynamic_shapes=shapes, verbose=False)
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda images: [torch.from_numpy(one) for one in session.run(None, {name: images.numpy()})]


ENGINES = {"openvino": openvino_path, "onnxruntime": onnxruntime_path}


def _smallest(plain: Backbone) -> tuple[int, int]:
    # Unequal, or an exporter takes the sides for one.
    return 3 * max(plain.strides), 4 * max(plain.strides)


@contextmanager
def as_it_comes(
    network: torch.nn.Module, images: list[torch.Tensor], threads: int
) -> Iterator[Callable[[], Elsewhere]]:
    """A method that convolves `images` in a process where nobody has set malloc's options."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    # As bytes: torch would move the tensors of this process to shared memory, and the rows beside it with them.
    given = (pickle.dumps(network), [one.numpy() for one in images], threads)
    worker = context.Process(target=_serve, args=(theirs, *given), daemon=True)
    worker.start()
    theirs.close()

    def convolve() -> Elsewhere:
        ours.send(True)
        return ours.recv()

    try:
        yield convolve
    finally:
        ours.close()
        worker.join()


def _serve(pipe, network: bytes, images: list, threads: int) -> None:
    """Convolve the images at each message; ends with the pipe."""
    convolutions, tensors = pickle.loads(network), [torch.from_numpy(one) for one in images]
    with limit_threads(threads), torch.inference_mode():
        while True:
            try:
                pipe.recv()
            except EOFError:
                return
            wall, cpu = time.perf_counter(), time.process_time()
            maps = _every(convolutions, tensors)
            seconds = time.process_time() - cpu, time.perf_counter() - wall
            pipe.send(Elsewhere(*seconds, [[one.numpy() for one in stages] for stages in maps]))


def paths_of(
    name: str, own: Backbone, plain: Backbone, threads: int, engines: list[str], compiled: bool
) -> tuple[dict[str, Path_], dict[str, float]]:
    """(path -> method, path -> seconds it took to be made), the latter for paths that convert or compile."""
    paths: dict[str, Path_] = {}
    if (whole := whole_network(name)) is not None:
        paths["eager NCHW, all stages"] = whole
    paths |= {SAME_MEMORY: plain.network, "eager channels_last": _channels_last(plain), OWN: own}
    seconds = {}
    for engine in engines:
        if find_spec(engine) is None:
            print(f"{engine} is not installed: left out")
            continue
        start = time.perf_counter()
        try:
            paths[engine] = ENGINES[engine](plain, threads)
        except ValueError as error:
            print(f"{engine} does not run {name}: left out ({error})")
            continue
        seconds[engine] = time.perf_counter() - start
    if compiled:
        paths["torch.compile"] = torch.compile(plain.network, dynamic=True)
    return paths, seconds


def _channels_last(plain: Backbone) -> Path_:
    again = Backbone(plain.name, plain.strides, plain.state(), offsets=plain.offsets, fused=False)
    return lambda images: again.network(images.contiguous(memory_format=torch.channels_last))


def flops_of(plain: Backbone, images: torch.Tensor) -> int:
    """Operations of the convolutions in use as they are published: a multiplication and an addition are two."""
    with FlopCounterMode(display=False) as counter:
        plain.network(images)
    return counter.get_total_flops()


def largest_error(outputs: Any, expected: tuple[torch.Tensor, ...]) -> float:
    """Largest difference of any stage's map, relative to that map's largest value."""
    differences = ((one - other).abs().max() / other.abs().max() for one, other in zip(outputs, expected, strict=True))
    return float(max(differences))


def rows_of(
    name: str,
    stages: tuple[int, ...],
    sides: list[int],
    threads: int,
    repeats: int,
    engines: list[str],
    compiled: bool,
) -> list[dict[str, Any]]:
    """One row a path: all the scales together, as an image's maps take them."""
    own, plain = backbones_of(name, stages)
    paths, seconds = paths_of(name, own, plain, threads, engines, compiled)
    sizes = [padded_size((side, round(side * ASPECT)), max(stages)) for side in sides]
    images = [torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0)) for size in sizes]
    expected = [plain.network(one) for one in images]
    if compiled:
        start = time.perf_counter()
        _every(paths["torch.compile"], images)
        seconds["torch.compile"] = time.perf_counter() - start
    matrix = torch.randn(GEMM_SIDE, GEMM_SIDE)
    methods = {path: lambda method=method: _every(method, images) for path, method in paths.items()}
    with as_it_comes(plain.network, images, threads) as peer:
        timings = take_turns({PEER: peer, **methods, "sgemm": lambda: matrix @ matrix}, repeats, name)
    timings[PEER].result = [[torch.from_numpy(one) for one in stages] for stages in timings[PEER].result]
    best = 2 * GEMM_SIDE**3 / min(timings["sgemm"].cpu)
    flops = sum(flops_of(plain, one) for one in images)
    rows = []
    for path in (PEER, *paths):
        timing = timings[path]
        row = {"backbone": name, "short_sides": sides, "threads": threads, "path": path}
        row |= {"cpu_s": timing.cpu_s, "wall_s": timing.wall_s}
        row["times_faster"] = timings[PEER].cpu_s / timing.cpu_s
        # All stages are more operations than are counted here.
        if path != "eager NCHW, all stages":
            row |= {"GFLOP/s": flops / timing.cpu_s / 1e9, "of_sgemm": flops / timing.cpu_s / best}
            row["error"] = f"{max(map(largest_error, timing.result, expected)):.1e}"
        rows.append(row | {"made_in_s": seconds[path]} if path in seconds else row)
    return rows


def _every(method: Path_, images: list[torch.Tensor]) -> list:
    return [method(one) for one in images]


def benchmark(
    backbones: list[str] = ["efficientnet_lite0", "alexnet", "resnet18"],  # noqa: B006 (jsonargparse reads it)
    short_sides: list[int] = [240, 336, 480, 688],  # noqa: B006
    threads: list[int] = [1],  # noqa: B006
    repeats: int = 3,
    engines: list[str] = ["openvino", "onnxruntime"],  # noqa: B006
    compiled: bool = False,
    out: str = "runs/benchmark",
) -> None:
    """Measure a backbone's convolutions against eager PyTorch; see the head of this file.

    Args:
        backbones: Names as in the settings' backbone; NAME:16,32 for stages other than the usual.
        short_sides: Lengths in px of the images' short side; their times are added.
        threads: Threads that the paths compute with, one table each. CPU time is of all threads together.
        repeats: Runs of each path.
        engines: Some of openvino and onnxruntime; onnxruntime takes up to half a minute to convert a network.
        compiled: Also torch.compile, which needs a C++ compiler and takes minutes.
        out: Folder of benchmark.json and benchmark.md.
    """
    if repeats < 1 or min(threads, default=0) < 1 or min(short_sides, default=0) < 1:
        raise ValueError(
            f"repeats, threads, short_sides: expected numbers >= 1, got {repeats}, {threads}, {short_sides}"
        )
    if unknown := set(engines) - ENGINES.keys():
        raise ValueError(f"engines: expected some of {', '.join(ENGINES)}, got {', '.join(sorted(unknown))}")
    tables: dict[str, list[dict[str, Any]]] = {}
    for count in threads:
        rows = []
        with limit_threads(count), torch.inference_mode():
            for one in backbones:
                name, _, strides = one.partition(":")
                stages = tuple(map(int, strides.split(","))) if strides else STAGES.get(name, ONE_STAGE)
                rows += rows_of(name, stages, short_sides, count, repeats, engines, compiled)
        tables[f"Convolutions of an image at all short sides, threads: {count}"] = rows
    keep(out, "convolutions", tables)


def main(arguments: list[str]) -> int:
    """Run the command line; returns the exit status."""
    return run(benchmark, "convolutions", arguments)
