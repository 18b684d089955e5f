"""Options, turns, tables: what all measurements share."""

import mmap
import time

import numpy as np
import pytest

from detection.storage import read_json


@pytest.fixture
def harness(benchmark):
    return benchmark.harness


def test_methods_take_turns(harness):
    calls = []
    methods = {name: lambda name=name: calls.append(name) or name for name in "ab"}
    timings = harness.take_turns(methods, 2)
    assert "".join(calls) == "ababab"
    assert [(name, one.result, len(one.cpu)) for name, one in timings.items()] == [("a", "a", 2), ("b", "b", 2)]
    calls.clear()
    harness.take_turns(methods, 1, warm=False)
    assert "".join(calls) == "ab"


def test_waiting_takes_wall_time_and_no_cpu(harness):
    timing = harness.take_turns({"wait": lambda: time.sleep(0.05)}, 1, warm=False)["wait"]
    assert timing.wall_s >= 0.05
    assert timing.cpu_s < 0.04


def test_rows_compare_with_the_peer(harness):
    timings = {"slow": harness.Timing([4.0, 6.0], [5.0]), "fast": harness.Timing([1.0, 1.5], [1.0])}
    rows = harness.timing_rows(timings, "slow", photo="x")
    assert [row["times_faster"] for row in rows] == [1, 4]
    assert {(row["photo"], row["method"], row["cpu_s"]) for row in rows} == {("x", "slow", 5), ("x", "fast", 1.25)}
    assert "times_faster" not in harness.timing_rows(timings, "absent")[0]


def test_tables_of_other_commands_stay(harness, tmp_path):
    harness.keep(tmp_path, "first", {"one": [{"a_b": 0.01234, "size": [3, 4]}]})
    text = harness.keep(tmp_path, "second", {"two": [{"mAP": 0.5, "mAP_error": 0.01}, {"more": "x"}]})
    assert text == "### two\n\n| mAP | more |\n|---|---|\n| 0.500 ± 0.010 |  |\n|  | x |\n\n"
    assert "| 0.0123 | 3x4 |" in (tmp_path / "benchmark.md").read_text()
    kept = read_json(tmp_path / "benchmark.json")["commands"]
    assert list(kept) == ["first", "second"]
    assert kept["first"]["machine"]["versions"]["numpy"] == np.__version__


def test_what_was_measured_before_an_error_is_kept(harness, tmp_path, capsys):
    def measurement(size: int = 1):
        yield "squares", [{"square": size**2}]
        raise ValueError("no more")

    assert harness.run(measurement, "squares", ["--size=3", f"--out={tmp_path}"]) == 2
    assert "error: no more" in capsys.readouterr().err
    (rows,) = read_json(tmp_path / "benchmark.json")["commands"]["squares"]["tables"].values()
    assert rows == [{"square": 9}]
    assert harness.run(measurement, "squares", ["--size=x"]) == 2
    assert harness.run(lambda: iter(()), "nothing", []) == 0
    assert "nothing was measured" in capsys.readouterr().out


def test_memory_of_a_method(harness):
    def touch() -> None:
        # Pages of the system's own, whatever the process has free.
        with mmap.mmap(-1, 2**26) as pages:
            pages[:: mmap.PAGESIZE] = bytes(2**26 // mmap.PAGESIZE)

    assert harness.peak_mib(touch) >= 60
    assert harness.peak_mib(lambda: None) < 10


def test_commands_and_options(benchmark, capsys):
    assert benchmark.main(["frobnicate"]) == 2
    assert benchmark.main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert all(command in printed for command in benchmark.COMMANDS)
    assert benchmark.main(["all", "--frobnicate=1"]) == 2
    assert "expected options of the commands" in capsys.readouterr().err
    for command in benchmark.COMMANDS.keys() - {"fc", "svm"}:
        assert benchmark.main([command, "--frobnicate=1"]) == 2


def test_all_gives_each_command_its_own_options(benchmark, monkeypatch):
    calls = {}

    class Done:
        returncode = 0

    def started(call, check):
        calls[call[2]] = call[3:]
        return Done

    monkeypatch.setattr(benchmark.subprocess, "run", started)
    assert benchmark.main(["all", "--repeats=1", "--C=[0.1]", "--out=somewhere"]) == 0
    assert calls.keys() == benchmark.COMMANDS.keys()
    assert calls["svm"] == ["--repeats=1", "--C=[0.1]", "--out=somewhere"]
    assert calls["pooling"] == ["--repeats=1", "--out=somewhere"]
