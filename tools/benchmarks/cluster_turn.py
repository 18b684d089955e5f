"""One turn of the measurement `cluster`, in a process of its own: prints what it took, as JSON."""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from detection.commands.session import open_experiment
from detection.config import read_settings
from detection.parallel import OrderedMap
from detection.pipeline.executors import opened_executor
from detection.pipeline.stages import DETECTIONS, EVALUATION, MISSES, REGRESSORS, SVMS
from detection.pipeline.stages.images import prepare
from detection.pipeline.work import peak_memory_mib

# Photos a split of the run that warms up, and tasks that do nothing.
WARM_PHOTOS, TASKS = 2, 400
STAGES = {
    "proposals_and_maps": prepare, "SVMs": SVMS.make, "regression": REGRESSORS.make, "detections": DETECTIONS.make,
    "evaluation": EVALUATION.make, "misses": MISSES.make,
}  # fmt: skip


def peak_of(_: int) -> tuple[int, int | None]:
    """(number of the process, the most MiB that it has held)."""
    time.sleep(0.05)
    return os.getpid(), peak_memory_mib()


def seconds_of(folder: Path, arguments: list[str], executor: OrderedMap) -> dict[str, float]:
    """Wall seconds of each stage of a run, and of all."""
    experiment = open_experiment(read_settings(*arguments, f"--run={folder}"), Console(quiet=True), executor)
    begun, seconds = time.perf_counter(), {}
    for name, make in STAGES.items():
        started = time.perf_counter()
        make(experiment)
        seconds[f"{name}_s"] = time.perf_counter() - started
    return {**seconds, "all_s": time.perf_counter() - begun}


def turn(order: dict[str, Any]) -> dict[str, Any]:
    """What a run took: seconds, memory, and the milliseconds of a task that does nothing.

    order: arguments of the run, workers, scheduler or None, folder.
    """
    folder, arguments, workers = Path(order["folder"]), order["arguments"], order["workers"]
    with opened_executor(workers, folder, order["scheduler"]) as executor:
        seconds_of(folder / "warm", [*arguments, f"--limit={WARM_PHOTOS}"], executor)
        found = seconds_of(folder / "run", arguments, executor)
        started = time.perf_counter()
        list(executor(abs, range(TASKS)))
        overhead = 1000 * (time.perf_counter() - started) / TASKS
        peaks = dict(executor(peak_of, range(8 * workers)))
    others = [peak for process, peak in peaks.items() if process != os.getpid()]
    memory = {"peak_MiB": peak_memory_mib(), "peak_of_a_worker_MiB": max(others, default="")}
    return {**found, **memory, "overhead_of_a_task_ms": overhead}


if __name__ == "__main__":
    print(json.dumps(turn(json.loads(sys.argv[1]))))
