"""One run of all stages of a data set, each measured: what `dataset.py` starts in a process of its own, once a turn.

usage: python chain.py RESULT.json OPTION ...      (options of tools/run_pipeline.py; PYTHONPATH: the version to be run)

It knows versions from before `Experiment.prepare`, and needs nothing of the package beyond what run_pipeline.py uses.
Peak memory and the processor time of workers are read from /proc, and are left out where there is none.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Stages by the methods of an experiment that make them; of several ways the first that the version has.
STAGES = {
    "proposals and maps": (("prepare",), ("generate", "extract")),
    "SVMs": (("train_svms",),),
    "box regression": (("train_regressors",),),
    "detections": (("detect",),),
    "evaluation": (("evaluate",),),
}
START = "start"
_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


def children() -> list[int]:
    """Process ids of this process's children."""
    found = []
    for path in _PROC.glob("[0-9]*/stat"):
        try:
            # Behind the name in brackets: state, parent.
            parent = path.read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue
        if int(parent) == os.getpid():
            found.append(int(path.parent.name))
    return found


def cpu_seconds() -> float:
    """Of this process and of its children so far."""
    total = time.process_time()
    for pid in children():
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / _TICKS
    return total


def peak_mib(pid: int | str) -> int | None:
    """Most memory that a process has held since `forget_peaks`."""
    path = _PROC / str(pid) / "status"
    lines = path.read_text().splitlines() if path.is_file() else []
    return next((int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM")), None)


def forget_peaks() -> None:
    """Let the peaks of this process and of its children begin anew."""
    for pid in ["self", *children()]:
        path = _PROC / str(pid) / "clear_refs"
        if path.exists():
            path.write_text("5")


def measured(name: str, body: Callable[[], object]) -> dict[str, Any]:
    """One row: wall and CPU seconds of `body`, and the peak memory of this process and of its largest child."""
    forget_peaks()
    wall, cpu = time.perf_counter(), cpu_seconds()
    body()
    row = {"stage": name, "wall_s": time.perf_counter() - wall, "cpu_s": cpu_seconds() - cpu}
    row["main_MiB"] = peak_mib("self")
    row["worker_MiB"] = max((peak for pid in children() if (peak := peak_mib(pid)) is not None), default=None)
    return row


def run(options: list[str]) -> dict[str, Any]:
    """The rows of all stages, beside where the detections lie and what they are worth."""
    began = time.perf_counter()
    from detection import config

    try:
        from detection.commands import session
    except ImportError:
        session = config  # where earlier versions have all of it

    settings, _ = config.parse(config.build_parser("chain"), options)
    with session.worker_processes(settings.workers or session.default_workers()) as executor:
        experiment = session.open_experiment(settings, executor=executor)
        # Reads the annotations and builds the network.
        experiment.source  # noqa: B018
        start = {"stage": START, "wall_s": time.perf_counter() - began, "cpu_s": time.process_time()}
        rows = [start | {"main_MiB": peak_mib("self"), "worker_MiB": None}]
        for name, ways in STAGES.items():
            methods = next(way for way in ways if all(hasattr(experiment, one) for one in way))
            rows.append(measured(name, lambda methods=methods: [getattr(experiment, one)() for one in methods]))
        return {
            "rows": rows,
            "images": len(experiment.images),
            "detections": str(experiment.detections_file),
            "mean_ap": experiment.evaluation().mean_ap,
        }


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(run(sys.argv[2:])), encoding="utf-8")
