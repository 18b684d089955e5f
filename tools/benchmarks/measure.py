"""How everything here is measured: methods take turns in one process, medians count, one file has all results."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jsonargparse import auto_cli

from detection.storage import read_json, write_json, write_text

FORMAT_VERSION = 2
# Packages whose versions a figure may depend on; those that are not installed are left out.
_PACKAGES = (
    "numpy", "numba", "torch", "torchvision", "timm", "opencv-python", "opencv-contrib-python", "scikit-learn",
    "openvino", "onnxruntime",
)  # fmt: skip
_THREADS = "OMP_NUM_THREADS"


@dataclass
class Timing:
    """Seconds of every run of one method: of the process's CPU, and by the clock on the wall; what the last gave."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    result: Any = None

    @property
    def cpu_s(self) -> float:
        """Median CPU seconds."""
        return statistics.median(self.cpu)

    @property
    def wall_s(self) -> float:
        """Median wall seconds."""
        return statistics.median(self.wall)


@dataclass(frozen=True)
class Elsewhere:
    """What a method returns that has another process do its work: that process's own seconds, and what came out."""

    cpu_s: float
    wall_s: float
    result: Any = None


def take_turns(
    methods: Mapping[str, Callable[[], Any]], repeats: int, label: str = "", warm: bool = True
) -> dict[str, Timing]:
    """Run every method once, then the next round, so that whatever else the machine does hits all of them.

    A method that returns `Elsewhere` tells its seconds itself. repeats: rounds that count, at least 1. warm: run each
    once before, uncounted: it compiles and fills caches. Returns the timings by name.
    """
    if repeats < 1:
        raise ValueError(f"repeats: expected at least 1, got {repeats}")
    if warm:
        for method in methods.values():
            method()
    timings = {name: Timing() for name in methods}
    for _ in range(repeats):
        for name, method in methods.items():
            wall, cpu = time.perf_counter(), time.process_time()
            result = method()
            done = Elsewhere(time.process_time() - cpu, time.perf_counter() - wall, result)
            done = result if isinstance(result, Elsewhere) else done
            timings[name].result = done.result
            timings[name].cpu.append(done.cpu_s)
            timings[name].wall.append(done.wall_s)
            progress(f"{label}: {name} {timings[name].wall[-1]:.3f} s")
    progress("")
    return timings


def progress(text: str) -> None:
    """One line of the terminal that the next one replaces; "" clears it."""
    print(f"\r{text:<100.100}", end="\r" if not text else "", file=sys.stderr, flush=True)


def machine() -> dict[str, Any]:
    """What the figures were measured on: processor, number of processors, load, versions."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "processor": _processor(),
        "processors": os.cpu_count(),
        "threads": os.environ.get(_THREADS, ""),
        "load": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        "versions": versions,
    }


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def markdown(title: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """A table, a column a key of any row; KEY_error stands behind its value."""
    if not rows:
        return ""
    keys = [key for key in dict.fromkeys(key for row in rows for key in row) if not key.endswith("_error")]
    lines = [f"### {title}", "", f"| {' | '.join(key.replace('_', ' ') for key in keys)} |", "|---" * len(keys) + "|"]
    lines += [f"| {' | '.join(_cell(row, key) for key in keys)} |" for row in rows]
    return "\n".join(lines) + "\n\n"


def _cell(row: Mapping[str, Any], key: str) -> str:
    value, error = row.get(key, ""), row.get(f"{key}_error")
    if isinstance(value, list):
        return "x".join(map(str, value))
    shown = str(value)
    if isinstance(value, float):
        shown = f"{value:.4f}" if abs(value) < 0.1 else f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
    return shown if error is None else f"{shown} ± {error:.3f}"


def keep(out: str | Path, command: str, tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Print the tables of one command and put them into benchmark.json and benchmark.md of the folder `out`.

    tables: title -> rows. Both files keep what other commands measured.
    """
    path = Path(out) / "benchmark.json"
    there = read_json(path) if path.is_file() else {}
    commands = there.get("commands", {}) if there.get("format_version") == FORMAT_VERSION else {}
    commands[command] = {"machine": machine(), "tables": {title: list(rows) for title, rows in tables.items()}}
    write_json(path, {"format_version": FORMAT_VERSION, "commands": commands})
    texts = {name: "".join(markdown(*one) for one in section["tables"].items()) for name, section in commands.items()}
    write_text(Path(out) / "benchmark.md", "".join(f"## {name}\n\n{text}" for name, text in texts.items()))
    print(texts[command] or f"{command}: nothing was measured: see --help for what it needs")


def peak_mib(body: Callable[[], object]) -> int | str:
    """MiB that a process takes for `body` beyond what it has already; "" where processes cannot be forked."""
    if not hasattr(os, "fork"):
        return ""
    import resource

    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        before = _resident_kib()
        body()
        more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        os.write(writing, str(max(more, 0) // 1024).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return int(text) if text else ""


def _resident_kib() -> int:
    path = Path("/proc/self/statm")
    if not path.is_file():
        return 0
    return int(path.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def run(benchmark: Callable[..., None], command: str, arguments: list[str]) -> int:
    """Run a command line whose options are the arguments of `benchmark`; returns the exit status."""
    # Threads of BLAS are set when it is loaded: the environment has to say it, as in `make bench`.
    if os.environ.get(_THREADS) != "1":
        print(f"warning: expected {_THREADS}=1 in the environment, the figures are of several threads", file=sys.stderr)
    try:
        auto_cli(benchmark, args=arguments, as_positional=False, prog=f"benchmark.py {command}")
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0
