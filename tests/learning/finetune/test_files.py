import sys
import types
from dataclasses import replace

import numpy as np
import pytest

from detection.learning.finetune.files import COLUMNS, Checkpoint, TrainingLog, read_checkpoint, read_log


def test_log_drops_what_will_be_made_again(tmp_path):
    log = TrainingLog(tmp_path, 0)
    for iteration in (2, 4, 6):
        log.add({"iteration": iteration, "loss": 0.5})
    log.close()
    with (tmp_path / "log.csv").open("a") as file:
        file.write("8,0.1")
    TrainingLog(tmp_path, 4).close()
    assert [row["iteration"] for row in read_log(tmp_path / "log.csv")] == ["2", "4"]
    assert (tmp_path / "log.csv").read_text().splitlines()[0] == ",".join(COLUMNS)
    (tmp_path / "log.csv").write_text("something else\n")
    assert read_log(tmp_path / "log.csv") == []


@pytest.mark.parametrize("line", [b"\xf3" + b"," * 7, b"x" + b"," * 7])
def test_a_damaged_log_is_named(tmp_path, line):
    TrainingLog(tmp_path, 0).close()
    with (tmp_path / "log.csv").open("ab") as file:
        file.write(line + b"\n")
    with pytest.raises(ValueError, match=r"log\.csv: damaged: .*delete it"):
        TrainingLog(tmp_path, 4)


def test_tensorboard_gets_the_same_figures(tmp_path, monkeypatch):
    written, closed = [], []

    class SummaryWriter:
        def __init__(self, folder, purge_step):
            written.append((folder, purge_step))

        def add_scalar(self, name, value, step):
            written.append((name, value, step))

        def close(self):
            closed.append(True)

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", types.SimpleNamespace(SummaryWriter=SummaryWriter))
    log = TrainingLog(tmp_path, 4)
    log.add({"iteration": 6, "loss": 0.5, "learning_rate": 0.01})
    log.close()
    assert written == [(str(tmp_path / "tensorboard"), 5), ("learning_rate", 0.01, 6), ("loss", 0.5, 6)]
    assert closed == [True]


def test_a_checkpoint_comes_back_as_it_was(tmp_path, caplog):
    rng, path = np.random.default_rng(0), tmp_path / "checkpoint.safetensors"
    weights, velocities, best = ({"fc6.weight": rng.random((2, 3)), "fc8.bias": rng.random(2)} for _ in range(3))
    generators = {str(rank): rng.integers(0, 255, 16).astype(np.uint8) for rank in range(11)}
    kept = Checkpoint("key", 7, weights, velocities, generators, rng.random(3), rng.random(3), best, 5, 0.25)
    kept.write(path)
    found = read_checkpoint(path, "key")
    assert (found.key, found.iteration, found.best_iteration, found.best_measure) == ("key", 7, 5, 0.25)
    assert (found.shift.tolist(), found.factor.tolist()) == (kept.shift.tolist(), kept.factor.tolist())
    for part in ("weights", "velocities", "generators", "best"):
        expected = getattr(kept, part)
        assert {name: value.tolist() for name, value in getattr(found, part).items()} == {
            name: value.tolist() for name, value in expected.items()
        }
    assert read_checkpoint(path, "other") is None
    assert read_checkpoint(tmp_path / "none.safetensors", "key") is None
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:]):
        path.write_bytes(damaged)
        assert read_checkpoint(path, "key") is None
        assert caplog.messages[-1].startswith(f"{path}: ")
        assert caplog.messages[-1].endswith("; training begins anew")
    replace(kept, best={}, best_measure=float("inf")).write(path)
    assert read_checkpoint(path, "key").best == {}
