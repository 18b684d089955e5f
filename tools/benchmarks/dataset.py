"""A whole data set, from photos to mAP: seconds a stage and peak memory, and the same of another version.

Each turn is tools/run_pipeline.py in a process of its own with a new run folder, whose run.yaml has the stages' seconds
and figures. The versions take turns; the first turn, on two photos, compiles and does not count. CPU seconds are of all
processes, drawings and report included, and, with everything else the machine does, the safer figure.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness import ROOT, Row, Tables, progress, run_python
from jsonargparse.typing import PositiveInt

from detection.data import write_digits
from detection.storage import read_yaml

CONFIG = ROOT / "configs" / "custom.yaml"
NOW, BEFORE = "this version", "before"
# Photos a split of the turns that compile.
WARM_PHOTOS = 2
# Stages that are no part of "photos to mAP".
AFTERWARDS = ("drawings", "misses", "report")


def turn(checkout: Path, arguments: Sequence[str], folder: Path) -> Row:
    """What one whole run took and found, of the version in `checkout`; its run folder `folder` goes again.

    NAME_s: wall seconds of a stage; "detections": the bytes of the detections' files.
    """
    wall, before = time.perf_counter(), os.times()
    run_python([str(checkout / "tools" / "run_pipeline.py"), *arguments, f"--run={folder}"], checkout)
    wall, after = time.perf_counter() - wall, os.times()
    stages = read_yaml(folder / "run.yaml")["stages"]
    to_map = wall - sum(stages[name]["seconds"] for name in AFTERWARDS if name in stages)
    seconds = {f"{name}_s": facts["seconds"] for name, facts in stages.items() if name not in AFTERWARDS}
    found = {"start_s": to_map - sum(seconds.values()), **seconds, "photos_to_mAP_s": to_map, "whole_command_s": wall}
    found["cpu_s"] = sum(getattr(after, key) - getattr(before, key) for key in ("children_user", "children_system"))
    found["peak_MiB"] = max(facts["peak_memory_mib"] for facts in stages.values())
    found["mAP"] = stages["evaluation"]["mAP"]
    found["detections"] = b"".join(path.read_bytes() for path in sorted((folder / "detections").glob("*.json")))
    shutil.rmtree(folder)
    return found


def compared(rows: Sequence[Row]) -> list[Row]:
    """The turns with whether they found the same as the last, bit for bit, and how many times faster the last was."""
    last = rows[-1]
    shown = [row | {"same_detections": row["detections"] == last["detections"]} for row in rows]
    first = next((row for row in rows if row["version"] == BEFORE), None)
    if first is not None:
        keys = [key for key in last if key.endswith("_s") and key in first and last[key] > 0]
        shown.append({"version": "times faster"} | {key: first[key] / last[key] for key in keys})
    return [{key: value for key, value in row.items() if key != "detections"} for row in shown]


def benchmark(
    voc: str | None = None,
    limit: PositiveInt = 30,
    workers: PositiveInt = 2,
    before: str | None = None,
    options: tuple[str, ...] = (),
    repeats: PositiveInt = 1,
) -> Tables:
    """Measure all stages of a data set, from photos to mAP; see the head of this file.

    Args:
        voc: Folder that holds the year folder of a VOC devkit. None: embedded digits, with the settings for photos.
        limit: Photos of each split. 30 take a minute or two on two processors; 10000 takes all.
        workers: Worker processes of the run.
        before: Folder of another version of this package (`git worktree add ../before COMMIT`), which takes turns with
            this one. None: this one alone.
        options: Further options of tools/run_pipeline.py, for both.
        repeats: Turns of each version, a row each.
    """
    if before is not None and not (Path(before) / "detection" / "config.py").is_file():
        raise ValueError(f"--before {before}: expected a checkout of this package, found no detection/config.py")
    checkouts = {NOW: ROOT} if before is None else {BEFORE: Path(before).resolve(), NOW: ROOT}
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="benchmark-dataset-") as name:
        folder = Path(name)
        root = write_digits(folder / "digits", limit, limit) if voc is None else Path(voc).resolve()
        arguments = [f"--config={CONFIG}", f"--dataset.root={root}", f"--workers={workers}", *options]
        for number in range(repeats + 1):
            for version, checkout in checkouts.items():
                progress(f"turn {number}/{repeats}: {version}")
                photos = limit if number else WARM_PHOTOS
                found = turn(checkout, [*arguments, f"--limit={photos}"], folder / "run")
                rows += [{"version": version, **found}] if number else []
        progress("")
    yield f"A whole data set, at most {limit} photos a split, wall seconds", compared(rows)
