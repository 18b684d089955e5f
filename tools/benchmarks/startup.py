"""From a fresh process to the first detection: the first start ever, which compiles, and later ones.

Every start is a process of its own. The first finds an empty folder in the place of numba's cache (NUMBA_CACHE_DIR) and
leaves there what it compiled; the later ones find it. What Python itself compiles (.pyc) is there in both, as pip
writes it when it installs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.detectors import detector_of
from benchmarks.inputs import photo_paths
from benchmarks.measure import keep, progress, run

# Runs in the fresh process: prints {phase: [CPU seconds, wall seconds]}.
_START = """
import json, sys, time
laps, last = {}, (time.process_time(), time.perf_counter())
def lap(name):
    global last
    now = (time.process_time(), time.perf_counter())
    laps[name], last = [now[0] - last[0], now[1] - last[1]], (time.process_time(), time.perf_counter())
import torch
lap("import torch")
from detection import Detector
lap("import the rest")
detector = Detector.load(sys.argv[1])
lap("load")
found = detector.detect(sys.argv[2], threads=int(sys.argv[3]))
lap("first detection")
detector.detect(sys.argv[2], threads=int(sys.argv[3]))
lap("later detection")
heavy = sorted({"timm", "torchvision", "sympy", "torch._dynamo"} & set(sys.modules))
print(json.dumps({"laps": laps, "heavy": heavy, "detections": len(found.labels)}))
"""
TO_FIRST = ("import torch", "import the rest", "load", "first detection")


def start(detector: Path, photo: Path, cache: Path | None, threads: int) -> dict[str, Any]:
    """One start: {"laps": phase -> [CPU, wall] seconds, "heavy": large packages loaded, "detections": their number}.

    cache: folder of what numba compiled; None: where it is kept otherwise. Raises ValueError where the process fails.
    """
    root = str(Path(__file__).resolve().parents[2])
    paths = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH", ""))))
    environment = {**os.environ, "PYTHONPATH": paths} | ({} if cache is None else {"NUMBA_CACHE_DIR": str(cache)})
    call = [sys.executable, "-c", _START, str(detector), str(photo), str(threads)]
    done = subprocess.run(call, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(f"a fresh process: expected detections, got {done.stderr.strip().splitlines()[-1:]}")
    return json.loads(done.stdout.splitlines()[-1])


def row_of(name: str, starts: list[dict[str, Any]]) -> dict[str, Any]:
    """A start's phases: medians in seconds of CPU, and the sum to the first detection by CPU and on the wall."""
    laps = [one["laps"] for one in starts]
    row: dict[str, Any] = {"start": name, "starts": len(starts)}
    row |= {f"{phase.replace(' ', '_')}_cpu_s": median(one[phase][0] for one in laps) for phase in laps[0]}
    for place, kind in enumerate(("cpu", "wall")):
        row[f"to_first_detection_{kind}_s"] = median(sum(one[phase][place] for phase in TO_FIRST) for one in laps)
    return row


def benchmark(
    voc: str | None = None,
    year: str = "VOC2007",
    split: str = "test",
    run: str | None = None,
    repeats: int = 3,
    threads: int = 2,
    out: str = "runs/benchmark",
) -> None:
    """Measure what a detector takes to start; see the head of this file.

    Args:
        voc: Folder that holds the year folder of a VOC devkit, for a photo of 500x375 px. None: a sample photo of
            scikit-learn's.
        year: Name of the year folder.
        split: Split whose first photo is used.
        run: Folder of a finished run, whose detector is taken. None: one with random classes on the default network.
        repeats: Later starts.
        threads: Threads of the detections.
        out: Folder of benchmark.json and benchmark.md.
    """
    if min(repeats, threads) < 1:
        raise ValueError("expected repeats and threads of at least 1")
    photo = photo_paths(voc, year, split, 1)[0]
    with tempfile.TemporaryDirectory() as folder:
        cache, model = Path(folder) / "numba", Path(folder) / "detector"
        cache.mkdir()
        if run is None:
            detector_of(None).save(model)
        else:
            model = Path(run) / "detector"
        progress("first start ever")
        first = start(model, photo, cache, threads)
        later = []
        for number in range(repeats):
            progress(f"later start {number + 1}/{repeats}")
            later.append(start(model, photo, cache, threads))
        progress("")
    rows = [row_of("first ever", [first]), row_of("later", later)]
    compiling = first["laps"]["first detection"][0] - rows[1]["first_detection_cpu_s"]
    rows[0]["compiling_cpu_s"] = compiling
    keep(out, "startup", {"From a fresh process to the first detection": rows})


def main(arguments: list[str]) -> int:
    """Run the command line; returns the exit status."""
    return run(benchmark, "startup", arguments)
