"""What the tests of measurements share."""

import sys
from pathlib import Path

import pytest

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
