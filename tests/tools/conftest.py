"""What the tests of measurements share."""

import sys
from pathlib import Path

import pytest

from detection.storage import read_json

TOOLS = Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture
def benchmark(monkeypatch):
    """tools/benchmark.py; its commands are there as benchmarks.NAME, anew in every test."""
    monkeypatch.syspath_prepend(str(TOOLS))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    import benchmark

    yield benchmark
    for name in [name for name in sys.modules if name.partition(".")[0] in ("benchmark", "benchmarks")]:
        del sys.modules[name]


@pytest.fixture
def measure(benchmark, tmp_path):
    """``measure(command, *options)``: the rows of each table of the command, in order."""

    def measure(command, *options):
        out = tmp_path / "measured"
        assert benchmark.main([command, *options, f"--out={out}"]) == 0
        return list(read_json(out / "benchmark.json")["commands"][command]["tables"].values())

    return measure
