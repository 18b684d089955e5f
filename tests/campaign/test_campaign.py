"""A sample of the campaign holds; and what does not hold is counted as failed, whatever way it fails."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.campaign import inputs
from tests.campaign.calls import Done
from tests.campaign.changes import damages, mutated
from tests.campaign.readers import Reader
from tests.campaign.trials import Campaign, Job, Trial, table

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs fork and signals")


def test_a_sample_holds(tmp_path):
    """Two inputs of every reader and two kills, of a seed that is in no other campaign."""
    command = [sys.executable, "-m", "tests.campaign", "--only=inputs,kills", "--sample=0.002", "--seed=7"]
    done = subprocess.run(
        [*command, f"--out={tmp_path / 'failed'}"], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows[0] == ["part", "tried", "held", "failed"]
    assert [row[0] for row in rows[1:]] == ["inputs", "kills", "all"]
    assert all(int(row[1]) == int(row[2]) > 0 for row in rows[1:])


def grows(path):
    return len(bytearray(10**10))


def hangs(path):
    time.sleep(1000)


def dies(path):
    os._exit(3)


def names_nothing(path):
    raise ValueError("something is wrong somewhere")


def told(path):
    raise ValueError(f"{path}: expected another file")


def breaks(path):
    raise KeyError("stages")


@pytest.mark.parametrize(
    ("read", "fault"),
    [
        (told, None),
        (lambda path: None, None),
        (grows, "MemoryError"),
        (hangs, "the process took more than 0.2 s"),
        (dies, "the process died"),
        (names_nothing, "ValueError that names no file"),
        (breaks, "KeyError"),
    ],
)
def test_what_a_reader_may_not_do(tmp_path, monkeypatch, read, fault):
    if read is hangs:
        monkeypatch.setattr(inputs, "SECONDS", 0.2)

    def write(folder):
        (folder / "a.txt").write_text("12 34\n")
        return folder / "a.txt"

    def read_changed(path):
        return None if path.read_text(errors="replace") == "12 34\n" else read(path)

    (tmp_path / "work").mkdir()
    reader = Reader("some", write, read_changed)
    trials = list(inputs._try_reader(tmp_path / "work", reader, seed=1, count=3))
    assert [one.name for one in trials] == [f"some input {number}" for number in range(4)]
    assert trials[0].fault == ""
    for one in trials[1:]:
        assert (one.fault == "") if fault is None else (fault in one.fault)
        assert one.command == "python -m tests.campaign --show some input/a.txt"


def test_a_whole_file_that_is_refused_is_a_fault(tmp_path):
    path = tmp_path / "a.txt"
    path.touch()
    assert inputs.fault(Reader("some", None, told), path) == ""
    assert "a whole file was refused" in inputs.fault(Reader("some", None, told), path, whole=True)


def test_draws_are_the_seeds():
    reader, original = Reader("some", None, None), b"x1 = 22, y1 = 33\n" * 5
    drawn = [inputs.content(reader, original, 1, number) for number in range(50)]
    assert drawn == [inputs.content(reader, original, 1, number) for number in range(50)]
    assert drawn[0] == original
    assert len(set(drawn)) > 45
    assert inputs.content(reader, original, 2, 1) != drawn[1]


def test_every_manner_of_damage():
    import random

    found = list(damages(b"0123456789" * 200, random.Random(0), 5))
    assert len(found) == 22
    assert sum(what.startswith("cut") for what, _ in found) == 5
    assert all(content != b"0123456789" * 200 for _, content in found)
    assert [what for what, _ in damages(b"", random.Random(0))] == ["emptied", "appended to"]
    assert mutated(b"", random.Random(3)) == mutated(b"", random.Random(3))


@pytest.mark.parametrize(
    ("status", "errors", "fault"),
    [
        (2, "error: a.yaml: expected a number\n", ""),
        (0, "", "expected exit status 1 or 2"),
        (-11, "", "expected exit status 1 or 2"),
        (None, "", "hung"),
        (1, "Traceback (most recent call last):\nKeyError: a.yaml\n", "a traceback"),
        (2, "", "expected a line on standard error, got 0"),
        (2, "error: b.yaml\n", "expected one of a.yaml named"),
        (2, "error: a.yaml\n" * 5, "expected a line on standard error, got 5"),
        (1, "a.yaml: 3 images\na warning\nerror: a.yaml: expected a number\n", ""),
        (1, "a.yaml: 3 images\n", "expected a line on standard error, got 0"),
        (130, "a.yaml: 3 images\nerror: b.yaml\n", "expected exit status 1 or 2"),
        (2, "a.yaml: 3 images\nerror: b.yaml\n", "expected one of a.yaml named"),
    ],
)
def test_a_refusal_is_one_line_that_names_the_file(status, errors, fault):
    found = Done(status, "", errors, 0.0).refusal_fault("a.yaml")
    assert found.startswith(fault) if fault else found == ""


def test_faults_are_counted_and_kept(tmp_path, capsys):
    def work(folder):
        (folder / "input").write_text("bad")
        yield Trial("good")
        yield Trial("bad", "it broke\x1b", "python tools/x.py input", (folder / "input",))

    def crashes(folder):
        yield Trial("good")
        raise RuntimeError("of its own")

    campaign = Campaign(tmp_path / "out", tmp_path, slots=2, ends=time.monotonic() + 60)
    campaign.run("a", [Job("a", "two", work), Job("a", "crash", crashes), Job("a", "slow", hangs, limit=0.3)])
    assert table(campaign.tallies) == [["a", "5", "2", "3"], ["all", "5", "2", "3"]]
    kept = [one.parent for one in (tmp_path / "out/a").rglob("input")]
    assert [(one / "input").read_text() for one in kept] == ["bad"]
    assert "python tools/x.py input" in (kept[0] / "README").read_text()
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert all(text in shown for text in ("it broke", "of its own", "more than 0.3 s"))


def test_no_trial_begins_after_the_end(tmp_path):
    campaign = Campaign(tmp_path / "out", tmp_path, slots=2, ends=time.monotonic() - 1)
    campaign.run("a", [Job("a", "one", lambda folder: [Trial("good")])])
    assert campaign.tallies["a"].tried == 0
