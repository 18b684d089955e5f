"""A whole data set, from photos to mAP: seconds and memory a stage, beside another version of this package.

Each turn is a process of its own with a new run folder; the versions take turns, and the first, on two photos, compiles
and does not count. CPU seconds are of all processes and, with everything else the machine does, the safer figure.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import keep, progress, run

ROOT = Path(__file__).resolve().parents[2]
CHAIN = Path(__file__).with_name("chain.py")
CONFIG = ROOT / "configs" / "custom.yaml"
NOW, BEFORE, TOTAL = "this version", "before", "total"
# Photos a split of the turns that compile.
WARM_PHOTOS = 2


def turn(checkout: Path, options: Sequence[str], folder: Path) -> dict[str, Any]:
    """What `chain.py` measures of the version in `checkout`, in the new run folder `folder`."""
    answer = folder.with_suffix(".json")
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    call = [sys.executable, str(CHAIN), str(answer), f"--config={CONFIG}", f"--run={folder}", *options]
    done = subprocess.run(call, env=environment, cwd=checkout, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(f"{checkout}: the chain failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return json.loads(answer.read_text(encoding="utf-8"))


def take_turns(
    checkouts: Mapping[str, Path], options: Sequence[str], repeats: int, work: Path
) -> dict[str, list[dict]]:
    """Every version's answers; a turn's run folder goes once its detections are read."""
    answers: dict[str, list[dict[str, Any]]] = {name: [] for name in checkouts}
    for number in range(repeats):
        for name, checkout in checkouts.items():
            progress(f"turn {number + 1}/{repeats}: {name}")
            folder = work / f"{name.split()[0]}-{number}"
            answer = turn(checkout, options, folder)
            answer["detections"] = Path(answer["detections"]).read_bytes()
            answers[name].append(answer)
            shutil.rmtree(folder)
    progress("")
    return answers


def stage_rows(answers: Mapping[str, Sequence[dict]]) -> list[dict[str, Any]]:
    """A row a stage and version, medians over the turns; the last stage is the total."""
    tables = {name: [stages_of(one) for one in turns] for name, turns in answers.items()}
    rows = []
    for place, stage in enumerate(row["stage"] for row in tables[NOW][0]):
        medians = {name: _median([turn[place] for turn in turns]) for name, turns in tables.items()}
        for name, values in medians.items():
            row = {"stage": stage, "version": name, **values}
            if BEFORE in medians:
                row |= {f"{key}_times_faster": medians[BEFORE][key] / values[key] for key in ("wall_s", "cpu_s")}
            rows.append(row)
    return rows


def stages_of(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of one turn, and their total."""
    rows = answer["rows"]
    total: dict[str, Any] = {"stage": TOTAL}
    total |= {key: sum(row[key] for row in rows) for key in ("wall_s", "cpu_s")}
    for key in ("main_MiB", "worker_MiB"):
        total[key] = max((row[key] for row in rows if row[key] is not None), default=None)
    return [*rows, total]


def _median(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    columns = {key: [row[key] for row in rows if row[key] is not None] for key in rows[0] if key != "stage"}
    return {key: statistics.median(values) if values else "" for key, values in columns.items()}


def result_rows(answers: Mapping[str, Sequence[dict]]) -> list[dict[str, Any]]:
    """What the runs found: mAP, and whether every turn's detections are those of this version's first, bit for bit."""
    first = answers[NOW][0]["detections"]
    return [
        {
            "version": name,
            "photos": turns[0]["images"],
            "turns": len(turns),
            "mAP": turns[0]["mean_ap"],
            "same_detections": all(one["detections"] == first for one in turns),
        }
        for name, turns in answers.items()
    ]


def eager_rows(options: Sequence[str], photos: int, images: int, total_cpu: float, work: Path) -> list[dict[str, Any]]:
    """CPU seconds of the plain convolutions alone: the same network, cut and scales, eager, not folded, NCHW.

    photos: convolved, evenly out of all; the figure is for all `images`.
    """
    import torch

    from detection import config
    from detection.backbones.backbone import Backbone
    from detection.commands.session import open_experiment
    from detection.data import read_image
    from detection.engines import limit_threads
    from detection.features.resize import network_input, normalise

    given = [f"--config={CONFIG}", f"--run={work / 'eager'}", *options]
    settings, _ = config.parse(config.build_parser("eager"), given)
    experiment = open_experiment(settings)
    features, extractor = settings.features, experiment.source.pooling_extractor()
    plain = Backbone(features.backbone, features.stages, extractor.backbone.state(), offsets=extractor.backbone.offsets,
                     fused=False)  # fmt: skip
    network = plain.network.to(memory_format=torch.contiguous_format)
    seconds = []
    step = max(len(experiment.images) // photos, 1)
    with torch.inference_mode(), limit_threads(1):
        for image in experiment.images[::step][:photos]:
            normalised = normalise(read_image(image.path, image.size), plain.mean, plain.std)
            scales = extractor.scales(image.size)
            inputs = [network_input(normalised, float(one), max(plain.strides)) for one in scales]
            tensors = [torch.from_numpy(one).permute(0, 3, 1, 2).contiguous() for one in inputs]
            started = time.process_time()
            for one in tensors:
                network(one)
            seconds.append(time.process_time() - started)
            progress(f"eager convolutions: {len(seconds)}/{photos}")
    progress("")
    cpu = statistics.median(seconds) * images
    return [{"what": "eager convolutions alone", "photos": images, "measured_on": len(seconds), "cpu_s": cpu,
             "whole_chain_in_their_times": total_cpu / cpu}]  # fmt: skip


def benchmark(
    voc: str | None = None,
    limit: int = 30,
    workers: int = 2,
    before: str | None = None,
    options: list[str] = [],  # noqa: B006 (jsonargparse reads it, nothing changes it)
    eager_photos: int = 6,
    repeats: int = 1,
    out: str = "runs/benchmark",
) -> None:
    """Measure all stages of a data set, from photos to mAP; see the head of this file.

    Args:
        voc: Folder that holds the year folder of a VOC devkit. None: embedded digits, with the settings for photos.
        limit: Photos of each split. 30 take a minute or two on two processors; 10000 takes all.
        workers: Worker processes of the run.
        before: Folder of another version of this package (`git worktree add ../before COMMIT`), which takes turns with
            this one. None: this one alone.
        options: Further options of tools/run_pipeline.py, for both.
        eager_photos: Photos on which the plain convolutions are measured; 0: not at all.
        repeats: Turns of each version.
        out: Folder of benchmark.json and benchmark.md.
    """
    if min(repeats, workers, limit) < 1 or eager_photos < 0:
        raise ValueError(
            f"expected repeats, workers, limit >= 1 and eager_photos >= 0, got {repeats}, {workers}, {limit}, "
            f"{eager_photos}"
        )
    checkouts = {NOW: ROOT}
    if before is not None:
        if not (Path(before) / "detection" / "config.py").is_file():
            raise ValueError(f"--before {before}: expected a checkout of this package, found no detection/config.py")
        checkouts = {BEFORE: Path(before).resolve(), NOW: ROOT}
    with tempfile.TemporaryDirectory(prefix="benchmark-dataset-") as folder:
        work = Path(folder)
        root = Path(voc).resolve() if voc is not None else _digits(work, limit)
        common = [f"--dataset.root={root}", f"--workers={workers}", *options]
        for name, checkout in checkouts.items():
            progress(f"{name}: first turn, which compiles")
            turn(checkout, [*common, f"--limit={WARM_PHOTOS}"], work / f"first-{name.split()[0]}")
        given = [*common, f"--limit={limit}"]
        answers = take_turns(checkouts, given, repeats, work)
        rows = stage_rows(answers)
        tables = {"Stages of a whole data set": rows, "What the runs found": result_rows(answers)}
        if eager_photos:
            total = next(row["cpu_s"] for row in rows if (row["stage"], row["version"]) == (TOTAL, NOW))
            images = answers[NOW][0]["images"]
            tables["Against the convolutions alone"] = eager_rows(given, eager_photos, images, total, work)
        keep(out, "dataset", tables)


def _digits(work: Path, limit: int) -> Path:
    from detection.data import write_digits

    print("no --voc: measured on embedded digits")
    return write_digits(work / "digits", trainval=limit, test=limit)


def main(arguments: list[str]) -> int:
    """Run the command line; returns the exit status."""
    return run(benchmark, "dataset", arguments)
