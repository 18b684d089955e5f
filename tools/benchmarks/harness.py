"""How everything here is measured: options, methods that take turns in one process, tables in one file.

A command is a module with a function `benchmark`: its arguments are the options, and it yields (title, rows) of each
table when there is something new in it. What was yielded is on disk, so that an interrupted measurement keeps it.
"""

import importlib.metadata
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentError

from detection.command_line import Parser, options_of
from detection.storage import read_json, write_json, write_text

ROOT = Path(__file__).resolve().parents[2]
# The folder of results, where none is given.
OUT = "runs/benchmark"
FORMAT_VERSION = 3
# Packages whose versions a figure may depend on; those that are not installed are left out.
_PACKAGES = (
    "numpy", "numba", "torch", "torchvision", "timm", "opencv-python-headless",
    "opencv-contrib-python-headless", "scikit-learn", "openvino",
)  # fmt: skip
_THREADS = "OMP_NUM_THREADS"
# Linux: the system's word for the most memory, and the file that begins to count it anew.
_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")

Row = dict[str, Any]
Tables = Iterator[tuple[str, list[Row]]]


@dataclass
class Timing:
    """Seconds of every run of one method: of the process's CPU, and of wall time; the result of the last."""

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


def take_turns(
    methods: Mapping[Any, Callable[[], Any]], repeats: int, label: str = "", warm: bool = True
) -> dict[Any, Timing]:
    """Run every method once, then the next round, so that whatever else the machine does hits all of them.

    repeats: rounds that count. warm: run each once before, uncounted: it compiles and fills caches. Returns the timings
    by the methods' names.
    """
    for method in methods.values() if warm else ():
        method()
    timings = {name: Timing() for name in methods}
    for _ in range(repeats):
        for name, method in methods.items():
            timing, wall, cpu = timings[name], time.perf_counter(), time.process_time()
            timing.result = method()
            timing.cpu.append(time.process_time() - cpu)
            timing.wall.append(time.perf_counter() - wall)
            progress(f"{label}: {name} {timing.wall[-1]:.3f} s")
    progress("")
    return timings


def timing_rows(timings: Mapping[str, Timing], peer: str, **facts: Any) -> list[Row]:
    """A row a method: the facts, median seconds, how many times faster it is than `peer` where that is among them."""
    rows = []
    for name, timing in timings.items():
        row = {**facts, "method": name, "cpu_s": timing.cpu_s, "wall_s": timing.wall_s}
        rows.append(row | ({"times_faster": timings[peer].cpu_s / timing.cpu_s} if peer in timings else {}))
    return rows


def progress(text: str) -> None:
    """One line of the terminal that the next one replaces; "" clears it."""
    print(f"\r{text:<100.100}", end="\r" if not text else "", file=sys.stderr, flush=True)


def run_python(arguments: Sequence[str], checkout: Path = ROOT, **environment: str) -> str:
    """What a Python process with the package of `checkout` prints. Raises ValueError where it fails."""
    paths = os.pathsep.join(filter(None, (str(checkout), os.environ.get("PYTHONPATH", ""))))
    variables = {**os.environ, **environment, "PYTHONPATH": paths}
    done = subprocess.run(
        [sys.executable, *arguments], env=variables, cwd=checkout, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ValueError(f"{checkout}: a Python process failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return done.stdout


def peak_mib(body: Callable[[], object]) -> int | str:
    """MiB that a process takes for `body` beyond what it has already; "" where processes cannot be forked."""
    if not hasattr(os, "fork"):
        return ""
    import resource

    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        # A new process counts its peak anew, and begins with what its parent has.
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        body()
        more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        os.write(writing, str(more // (2**20 if sys.platform == "darwin" else 2**10)).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return int(text) if text else ""


def measured(step: str, make: Callable[[], Any], rows: list[Row]) -> Any:
    """What `make` gives; its seconds, and the most memory that the process held meanwhile, become a row of `rows`."""
    progress(step)
    if _RESET.exists():
        _RESET.write_text("5")
    started = time.perf_counter()
    result = make()
    lines = _STATUS.read_text().splitlines() if _STATUS.exists() else []
    peak = [int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM")]
    rows.append({"step": step, "s": time.perf_counter() - started, "peak_MiB": peak[0] if peak else ""})
    progress("")
    return result


def change_text(change: Any) -> str:
    """An ``evaluation.Difference`` of mAP as +0.012 (-0.010 to +0.034); "" for None and where there are no objects."""
    bounds = None if change is None else change.mean_ap
    return "" if bounds is None else f"{bounds.value:+.3f} ({bounds.low:+.3f} to {bounds.high:+.3f})"


def machine() -> Row:
    """What the figures were measured on: processor, number of processors, load, versions."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    installed = {one.name: one.version for one in importlib.metadata.distributions()}
    return {
        "processor": names[0] if names else platform.processor(),
        "processors": os.cpu_count(),
        "threads": os.environ.get(_THREADS, ""),
        "load": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        "versions": {name: installed[name] for name in _PACKAGES if name in installed},
    }


def markdown(title: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """A table, a column a key of any row; KEY_error stands behind its value."""
    keys = [key for key in dict.fromkeys(key for row in rows for key in row) if not key.endswith("_error")]
    lines = [f"### {title}", "", f"| {' | '.join(key.replace('_', ' ') for key in keys)} |", "|---" * len(keys) + "|"]
    lines += [f"| {' | '.join(_cell(row, key) for key in keys)} |" for row in rows]
    return "\n".join(lines) + "\n\n"


def _cell(row: Mapping[str, Any], key: str) -> str:
    value, error = row.get(key, ""), row.get(f"{key}_error")
    if isinstance(value, (list, tuple)):
        return "x".join(map(str, value))
    shown = str(value)
    if isinstance(value, float):
        shown = f"{value:.3g}" if abs(value) < 0.1 else f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
    return shown if error is None else f"{shown} ± {error:.3f}"


def keep(out: str | Path, command: str, tables: Mapping[str, Sequence[Row]]) -> str:
    """Put the tables (title -> rows) of one command into benchmark.json and benchmark.md of the folder `out`.

    Both files keep what other commands measured. Returns the command's tables as Markdown.
    """
    path = Path(out) / "benchmark.json"
    there = read_json(path) if path.is_file() else {}
    commands = there.get("commands", {}) if there.get("format_version") == FORMAT_VERSION else {}
    commands[command] = {"machine": machine(), "tables": dict(tables)}
    write_json(path, {"format_version": FORMAT_VERSION, "commands": commands})
    texts = {name: "".join(markdown(*one) for one in section["tables"].items()) for name, section in commands.items()}
    write_text(Path(out) / "benchmark.md", "".join(f"## {name}\n\n{text}" for name, text in texts.items()))
    return texts[command]


def run(benchmark: Callable[..., Tables], command: str, arguments: Sequence[str]) -> int:
    """Run a command line whose options are the arguments of `benchmark`, and --out; returns the exit status.

    A benchmark that keeps more than its tables has --out as an argument `out`.
    """
    # Threads of BLAS are set when it is loaded: the environment has to say it, as in `make bench`.
    if os.environ.get(_THREADS) != "1":
        print(f"warning: expected {_THREADS}=1 in the environment, the figures are of several threads", file=sys.stderr)
    parser = Parser(prog=f"benchmark.py {command}", exit_on_error=False)
    parser.add_function_arguments(benchmark, skip={"out"})
    parser.add_argument("--out", default=OUT, help="Folder of benchmark.json and benchmark.md.")
    text, tables = "", {}
    try:
        options = parser.instantiate(parser.parse_args(arguments))
        out = options.out
        for title, rows in benchmark(**options_of(benchmark, options, given=0)):
            tables[title] = rows
            text = keep(out, command, tables)
    except (ArgumentError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(text or f"{command}: nothing was measured: see --help for what it needs")
    return 0
