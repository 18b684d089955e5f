"""What presets give for what they cost: mAP on held-out photos of a training split, time of a photo, minutes.

The training split is divided once, stratified by class, equal photos on one side; every preset is trained on one side
and measured on the other, in a run of its own that goes on where it was interrupted (then its minutes are not told).
Test photos are not looked at.

Times of a photo are medians of CPU, one thread, from its file to its detections; all presets take turns.
"""

import shlex
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from benchmarks.detectors import MEASURES, open_run, quality
from benchmarks.harness import ROOT, Row, Tables, progress, run_python, take_turns
from jsonargparse.typing import PositiveInt
from PIL import Image

from detection.data.split_names import TRAIN_SPLIT
from detection.detector import Detector
from detection.pipeline.stages.detections import read_detections
from detection.storage import file_stem, fingerprint, write_text
from detection.visualization import Axis, Line, line_chart

PRESETS = ("fast", "balanced", "best")
# Seconds of a photo, mAP: what the chart has ticks for, as far as they lie in it.
_TICKS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


def divided(data: str, share: float, folder: Path) -> Path:
    """A copy of the training split of a set with a part held out, made where it is not there."""
    if not folder.is_dir():
        options = ["--splits", TRAIN_SPLIT, "--out", str(folder), f"--share={share}", "--link"]
        run_python([str(ROOT / "tools" / "dataset.py"), "split", data, *options])
    return folder


def trained(words: str, root: Path, run: Path, workers: int) -> float | None:
    """Make the run of a preset; its minutes from nothing to the report, None where it was not made in one go."""
    told, is_new = run.with_name(f"{run.name}.minutes"), not run.exists()
    started = time.monotonic()
    given = [f"--preset={words.split()[0]}", *shlex.split(words)[1:], f"--workers={workers}"]
    run_python([str(ROOT / "tools" / "run_pipeline.py"), *given, f"--dataset.root={root}", f"--run={run}"])
    if is_new:
        write_text(told, str((time.monotonic() - started) / 60))
    return float(told.read_text()) if told.is_file() else None


def timed(runs: Mapping[str, Path], photos: int, repeats: int) -> dict[str, float]:
    """Name -> CPU seconds of a photo: of the first test photos, one thread."""
    paths = [one.path for one in open_run(str(next(iter(runs.values())))).test_images[:photos]]
    methods = {name: partial(_detect, Detector.load(run / "detector"), paths) for name, run in runs.items()}
    return {name: one.cpu_s / len(paths) for name, one in take_turns(methods, repeats, "a photo").items()}


def _detect(detector: Detector, paths: Sequence[Path]) -> None:
    for path in paths:
        detector.detect(path, threads=1)


def chart(rows: Sequence[Row]) -> np.ndarray:
    """A line a preset, where its time is: from COCO's mean to mAP at .5."""
    times = [row["photo_s"] for row in rows]
    # Left of them there is room for their names.
    x = Axis("CPU seconds of a photo", min(times) / 4, max(times) * 1.5, (), logarithmic=True)
    x = Axis(x.title, x.low, x.high, [one for one in _TICKS if x.low < one < x.high], logarithmic=True)
    y = Axis("mAP", 0, 1, np.arange(0, 1.01, 0.2).round(1).tolist())
    lines = [Line(row["preset"], [row["photo_s"]] * 2, [row["mAP_50_95"], row["mAP_50"]]) for row in rows]
    return line_chart("mAP at IoU .5 to .95 (below) and at .5 (above)", x, y, lines)


def benchmark(
    data: str | None = None,
    presets: tuple[str, ...] = PRESETS,
    share: float = 0.3,
    workers: PositiveInt = 2,
    photos: PositiveInt = 10,
    repeats: PositiveInt = 3,
    runs: str = "runs/presets",
) -> Tables:
    """Measure what presets give for what they cost; see the head of this file. Takes minutes a preset.

    Args:
        data: Folder of a data set of your own, in any format.
        presets: Names of presets; options may follow one, as in "fast --svm.C=0.01".
        share: Part of the training split that is held out.
        workers: Processes of each run.
        photos: Photos that are timed.
        repeats: Runs of each timing.
        runs: Folder of the divided set, of the runs, and of the chart, presets.png.
    """
    if data is None:
        print("presets: left out without --data FOLDER: it takes minutes a preset")
        return
    if not presets:
        raise ValueError("presets: expected one at least, got none")
    data = str(Path(data).resolve())
    folder = Path(runs).resolve() / fingerprint(data, share)
    root, places, found, minutes = divided(data, share, folder / "data"), {}, {}, {}
    for name in presets:
        progress(f"a run of {name}")
        places[name] = folder / file_stem(name)
        minutes[name] = trained(name, root, places[name], workers)
        experiment = open_run(str(places[name]))
        found[name] = read_detections(experiment)
    seconds = timed(places, photos, repeats)
    rows = [
        row | {"photo_s": seconds[row["preset"]], "minutes": minutes[row["preset"]]}
        for row in quality("preset", experiment.test_images, experiment.classes, found)
    ]
    sides = f"{len(experiment.test_images)} held-out photos of {data}, trained on {len(experiment.train_images)}"
    yield f"{', '.join(MEASURES)} on {sides}, {workers} processes", rows
    if drawn := [row for row in rows if row["mAP_50"] is not None]:
        Image.fromarray(chart(drawn)).save(Path(runs) / "presets.png")
    progress("")
