"""Stopped at any moment and started again, a run ends with the same files as one that was not disturbed."""

import dataclasses
import io
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from detection.learning import RegressionCheckpoint
from detection.pipeline.keys import pass_key
from detection.pipeline.runner import run_all
from detection.pipeline.stages.regressors import REGRESSORS
from detection.talking import Notices

ROOT = Path(__file__).resolve().parents[2]
# How the lines begin that the stages print, in order, off a terminal: when the second or third of their items is done,
# and at their end. Expressions: an end tells the seconds.
LINES = (
    "proposals and maps: 3/", "proposals: ", "features: ", "SVMs: 4/16", "SVMs: 14/16", "svms: ",
    "box regression: 3/8", "regressors: ", "detections: 2/5", r"detections: \d+\.", "drawings: ", "evaluation: ",
    "misses: ", "report: ",
)  # fmt: skip


def results(run):
    return [(run / folder / "test.json").read_bytes() for folder in ("detections", "evaluation")]


class InterruptedConsole(Console):
    """Raises KeyboardInterrupt instead of printing a line that begins as `text` (an expression) says."""

    def __init__(self, text):
        super().__init__(file=io.StringIO(), width=200, force_terminal=False)
        self.text = text

    def print(self, *objects, **options):
        if re.match(self.text, str(objects[0])):
            raise KeyboardInterrupt
        super().print(*objects, **options)


def test_interrupted_in_every_stage(finished, open_run, tmp_path, monkeypatch):
    """One run: interrupted at each of these lines in turn, and started again after each."""
    monkeypatch.setattr(RegressionCheckpoint, "SECONDS", 0)
    monkeypatch.setattr("detection.learning.regression_checkpoint._REST", 0)
    for line in LINES:
        experiment = open_run(tmp_path / "run")
        log = logging.Logger("interrupted", logging.INFO)
        log.addHandler(Notices(InterruptedConsole(line)))
        experiment.work = dataclasses.replace(experiment.work, log=log)
        with pytest.raises(KeyboardInterrupt):
            run_all(experiment)
        if line.startswith("box regression"):
            key = pass_key(REGRESSORS.key(experiment), experiment.train_images)
            kept = RegressionCheckpoint(tmp_path / "run" / "regression", key)
            assert kept.images_done() == 2
    run_all(open_run(tmp_path / "run"))
    assert results(tmp_path / "run") == results(finished)
    assert not (tmp_path / "run" / "regression").exists()


def test_interrupted_while_a_detector_is_replaced(finished, open_run, tmp_path, monkeypatch):
    """Before each move: the new regressors beside the old ones, the description, the regressors to their place."""
    replace = os.replace

    def broken_at(stop):
        moves = []

        def move(source, target):
            source, folder = Path(source), Path(target).parent.name
            if folder == "detector" and not source.name.startswith(".tmp-"):
                moves.append(source.name)
                if len(moves) > stop:
                    raise KeyboardInterrupt
            replace(source, target)

        return move, moves

    for stop, name in enumerate(("regressors.safetensors", "detector.yaml", ".new-")):
        run = shutil.copytree(finished, tmp_path / str(stop))
        move, moves = broken_at(stop)
        monkeypatch.setattr("detection.detector_files.os.replace", move)
        with pytest.raises(KeyboardInterrupt):
            run_all(open_run(run, "--regression.ridge=10"))
        monkeypatch.undo()
        assert moves[-1].startswith(name)
        run_all(open_run(run))
        assert results(run) == results(finished)


def start(options, run):
    command = [sys.executable, str(ROOT / "tools" / "run_pipeline.py"), *options, f"--run={run}"]
    # A group of its own, so that workers are killed too.
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=run.parent, start_new_session=True
    )


def wait_for(process, text):
    """Read its progress until a line starts with `text`."""
    seen = []
    for line in process.stderr:
        seen.append(line)
        if line.startswith(text):
            return
    raise AssertionError(f"no line {text!r}: {''.join(seen)}")


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_killed_in_every_stage(finished, open_run, shape_options, tmp_path):
    """One run: killed in one stage after the other, and started again after each."""
    run = tmp_path / "run"
    for line in ("proposals and maps: 3/13", "SVMs: 4/16", "detections: 2/5"):
        with start(shape_options, run) as process:
            wait_for(process, line)
            os.killpg(process.pid, signal.SIGKILL)
    run_all(open_run(run))
    assert results(run) == results(finished)


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
@pytest.mark.parametrize(
    ("number", "send", "status", "word"),
    [
        (signal.SIGINT, os.killpg, 130, "interrupted"),
        (signal.SIGTERM, os.kill, 143, "terminated"),
    ],
)
def test_ended_by_a_signal(shape_options, tmp_path, number, send, status, word):
    """Ctrl-C goes to the whole group, SIGTERM to the process; the workers are starting at that moment."""
    with start([*shape_options, "--workers=2", "--proposals.preset=quality"], tmp_path / "run") as process:
        wait_for(process, "proposals and maps: 1/13")
        send(process.pid, number)
        output, errors = process.communicate(timeout=300)
    assert process.returncode == status, output + errors
    assert errors.splitlines()[-1] == f"{word}: the same command goes on from here"
    assert output == ""
    assert "Traceback" not in errors
    assert not (tmp_path / "run" / ".lock").exists()


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="asks Linux for the workers")
def test_a_worker_that_is_killed_is_told_in_one_line(finished, open_run, shape_options, tmp_path):
    """As the system does where memory is short."""
    options = [*shape_options, "--workers=2"]
    with start(options, tmp_path / "run") as process:
        wait_for(process, "proposals and maps: 1/13")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        workers = [one for one in children if b"spawn_main" in Path(f"/proc/{one}/cmdline").read_bytes()]
        os.kill(int(workers[0]), signal.SIGKILL)
        output, errors = process.communicate(timeout=300)
    assert process.returncode == 1, output + errors
    told = errors.splitlines()[-1]
    assert told.startswith("error: a worker process died")
    assert "the same command goes on from there; --workers 1 and smaller" in told
    assert "Traceback" not in errors
    run_all(open_run(tmp_path / "run"))
    assert results(tmp_path / "run") == results(finished)
