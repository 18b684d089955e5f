"""From a fresh process to the first detection: the first start ever, which compiles, and later ones.

Every start is a process of its own. The first finds empty folders in the place of numba's cache (NUMBA_CACHE_DIR) and
of the user's (XDG_CACHE_HOME), where an engine may keep a network, and leaves there what it made; later ones find it.
"""

import json
import tempfile
from pathlib import Path
from statistics import median

from benchmarks.detectors import detector_of
from benchmarks.harness import Row, Tables, progress, run_python
from benchmarks.inputs import photo_paths
from jsonargparse.typing import PositiveInt

# Runs in the fresh process: prints {phase: [CPU seconds, wall seconds]}.
_START = """
import json, sys, time
laps, last = {}, (time.process_time(), time.perf_counter())
def lap(name):
    global last
    now = (time.process_time(), time.perf_counter())
    laps[name], last = [now[0] - last[0], now[1] - last[1]], now
import torch
lap("import torch")
from detection import Detector
lap("import the rest")
detector = Detector.load(sys.argv[1])
lap("load")
detector.detect(sys.argv[2], threads=int(sys.argv[3]))
lap("first detection")
detector.detect(sys.argv[2], threads=int(sys.argv[3]))
lap("later detection")
print(json.dumps(laps))
"""
TO_FIRST = ("import torch", "import the rest", "load", "first detection")


def start(detector: Path, photo: Path, caches: Path | None, threads: int) -> dict[str, list[float]]:
    """One start: phase -> [CPU, wall] seconds. caches: folder of both caches; None: where they are otherwise."""
    kept = {} if caches is None else {"NUMBA_CACHE_DIR": str(caches / "numba"), "XDG_CACHE_HOME": str(caches / "user")}
    return json.loads(run_python(["-c", _START, str(detector), str(photo), str(threads)], **kept).splitlines()[-1])


def row_of(name: str, starts: list[dict[str, list[float]]]) -> Row:
    """Medians over the starts: CPU seconds of every phase, CPU and wall seconds to the first detection."""
    row: Row = {"start": name, "starts": len(starts)}
    row |= {f"{phase.replace(' ', '_')}_cpu_s": median(one[phase][0] for one in starts) for phase in starts[0]}
    for place, kind in enumerate(("cpu", "wall")):
        row[f"to_first_detection_{kind}_s"] = median(sum(one[phase][place] for phase in TO_FIRST) for one in starts)
    return row


def benchmark(
    voc: str | None = None, run: str | None = None, repeats: PositiveInt = 3, threads: PositiveInt = 2
) -> Tables:
    """Measure what a detector takes to start; see the head of this file.

    Args:
        voc: Folder that holds the year folder of a VOC 2007 devkit, for a test photo of 500x375 px. None: a sample
            photo of scikit-learn's.
        run: Folder of a finished run, whose detector is taken. None: one with random classes on the default network.
        repeats: Later starts.
        threads: Threads of the detections.
    """
    photo, starts = photo_paths(voc, 1)[0], []
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "detector" if run is None else Path(run) / "detector"
        if run is None:
            detector_of(None).save(model)
        for number in range(repeats + 1):
            progress(f"start {number + 1}/{repeats + 1}")
            starts.append(start(model, photo, Path(folder), threads))
    progress("")
    title = "From a fresh process to the first detection"
    yield title, [row_of("first ever, compiling", starts[:1]), row_of("later", starts[1:])]
