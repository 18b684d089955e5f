import os
import signal
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from finetune_problem import CLASSES, LENGTH, SETTINGS, make_task

from detection.learning import FinetuneSettings
from detection.learning.finetune.files import read_log
from detection.learning.finetune.train import CHECKPOINT_FILE, finetune

HERE, ROOT = Path(__file__).resolve().parent, Path(__file__).resolve().parents[3]


def content(head):
    return {name: value.tobytes() for name, value in head.layers.items()}


def test_it_learns(task):
    head = finetune(task, replace(SETTINGS, dropout=0.0))
    rows = read_log(task.folder / "log.csv")
    assert [int(row["iteration"]) for row in rows] == list(range(2, 33, 2))
    assert [float(row["learning_rate"]) for row in rows] == [0.05] * 12 + [0.01] * 4
    losses = [float(row["loss"]) for row in rows]
    assert np.mean(losses[-3:]) < 0.75 * losses[0]
    assert {name: value.shape for name, value in head.layers.items()} == {
        "fc6.weight": (12, LENGTH), "fc6.bias": (12,), "fc7.weight": (10, 12), "fc7.bias": (10,),
        "fc8.weight": (CLASSES + 1, 10), "fc8.bias": (CLASSES + 1,),
    }  # fmt: skip
    assert len(head.held_out) == 3


def test_the_snapshot_is_the_best_on_held_out_images(task):
    head = finetune(task, SETTINGS)
    measured = {
        int(row["iteration"]): float(row["held_out_loss"])
        for row in read_log(task.folder / "log.csv")
        if row["held_out_loss"]
    }
    assert set(measured) == {8, 16, 24, 32}
    assert head.measure == min(measured.values())
    assert measured[head.iteration] == head.measure


def test_without_held_out_images_the_last_is_taken(task):
    head = finetune(task, replace(SETTINGS, held_out=0.0))
    assert (head.iteration, head.measure, len(head.held_out)) == (32, None, 0)


def test_equal_calls_give_equal_bits(tmp_path):
    first, second = (finetune(make_task(tmp_path / name), SETTINGS) for name in "ab")
    assert content(first) == content(second)


def test_killed_and_resumed(tmp_path):
    """SIGKILL after an iteration; the next call goes on from the checkpoint and ends with the same bits."""
    program = (
        "import os, signal, sys; from pathlib import Path; sys.path.insert(0, sys.argv[1])\n"
        "from finetune_problem import SETTINGS, make_task\n"
        "from detection.learning.finetune.train import finetune\n"
        "kill = lambda done, total: done == 14 and os.kill(os.getpid(), signal.SIGKILL)\n"
        "finetune(make_task(Path(sys.argv[2])), SETTINGS, on_step=kill)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(HERE), str(tmp_path / "a")], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    check_resumed(tmp_path, 14)


@pytest.mark.parametrize("stop", [1, 6, 12, 31])
def test_stopped_and_resumed(tmp_path, stop):
    def interrupt(done, _):
        if done == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finetune(make_task(tmp_path / "a"), SETTINGS, on_step=interrupt)
    check_resumed(tmp_path, stop)


def check_resumed(tmp_path, stop):
    assert (tmp_path / "a" / CHECKPOINT_FILE).exists() == (stop >= 4)
    seen = []
    resumed = finetune(make_task(tmp_path / "a"), SETTINGS, on_step=lambda done, total: seen.append(done))
    whole = finetune(make_task(tmp_path / "b"), SETTINGS)
    assert seen[0] == stop // 4 * 4 + 1
    assert content(resumed) == content(whole)
    assert (tmp_path / "a/log.csv").read_text() == (tmp_path / "b/log.csv").read_text()


def test_a_finished_training_is_not_repeated(task):
    head = finetune(task, SETTINGS)
    task.pool.pooled = 0
    again = finetune(task, SETTINGS, on_step=lambda done, total: pytest.fail("trained again"))
    assert content(again) == content(head)


def test_a_checkpoint_of_another_key_is_not_used(tmp_path):
    finetune(make_task(tmp_path), SETTINGS)
    other = replace(SETTINGS, seed=2)
    assert content(finetune(make_task(tmp_path, "other"), other)) == content(finetune(make_task(tmp_path / "b"), other))


def test_two_processes_give_one_processes_loss_curve(tmp_path):
    """torchrun with gloo, dropout 0, the same global batches."""
    program = tmp_path / "program.py"
    program.write_text(
        "import sys; from dataclasses import replace; from pathlib import Path; sys.path.insert(0, sys.argv[1])\n"
        "from finetune_problem import SETTINGS, make_task\n"
        "from detection.learning.finetune.distributed import process_group\n"
        "from detection.learning.finetune.train import finetune\n"
        "with process_group('cpu') as group:\n"
        "    assert group.size == 2\n"
        "    task = make_task(Path(sys.argv[2]))\n"
        "    finetune(task, replace(SETTINGS, dropout=0.0, log_every=1), group)\n"
        "    Path(sys.argv[2], f'pooled{group.rank}').write_text(str(task.pool.pooled))\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(program)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*command, str(HERE), str(tmp_path / "two")],
        env=environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    alone = make_task(tmp_path / "one")
    finetune(alone, replace(SETTINGS, dropout=0.0, log_every=1))
    one, two = (read_log(tmp_path / name / "log.csv") for name in ("one", "two"))
    assert len(one) == len(two) == 32
    for name in ("loss", "accuracy", "held_out_loss"):
        first, second = ([float(row[name] or 0) for row in rows] for rows in (one, two))
        assert np.allclose(first, second, rtol=1e-5, atol=0), name
    # Each pooled its share alone.
    shares = [int((tmp_path / "two" / f"pooled{rank}").read_text()) for rank in (0, 1)]
    assert sum(shares) == alone.pool.pooled
    assert min(shares) > 0


CHANGES = {
    "widths": (12, 8), "initial_sigma": 0.3, "initial_bias": 0.2, "last_sigma": 0.1, "standardise": False,
    "deviation_floor": 0.5, "learning_rates": (0.05, 0.02), "iterations": (20, 12), "bias_rate": 2.0, "momentum": 0.5,
    "weight_decay": 0.1, "dropout": 0.2, "batch_size": 20, "foreground_fraction": 0.5, "flips": True,
    "random_scale": True, "held_out": 0.5, "snapshot_batches": 1, "snapshot_measure": "error",
    "round_iterations": 3, "round_passes": 1, "seed": 2,
}  # fmt: skip


def test_no_field_is_forgotten():
    # Of the proposals' labels: test_samples.py; where layers start: test_stage of the stage. The others change no
    # result.
    labels = {"foreground_iou", "background_min_iou", "background_max_iou", "include_objects", "use_difficult"}
    # When snapshots are measured: test_the_snapshot_is_the_best_on_held_out_images.
    others = {"snapshot_every", "initial", "memory_mib", "log_every", "checkpoint_every"}
    assert {one.name for one in fields(FinetuneSettings)} == set(CHANGES) | labels | others


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return finetune(make_task(tmp_path_factory.mktemp("plain")), SETTINGS)


@pytest.mark.parametrize(("key", "value"), CHANGES.items())
def test_every_number_reaches_the_result(task, plain, key, value):
    changed = finetune(task, replace(SETTINGS, **{key: value}))
    assert (content(changed), changed.measure) != (content(plain), plain.measure)


def first_batch_loss(task, **changes):
    """Loss of the first batch; with a learning rate next to nothing, of the layers as they start."""
    finetune(task, replace(SETTINGS, iterations=(1,), learning_rates=(1e-9,), log_every=1, dropout=0.0, **changes))
    return float(read_log(task.folder / "log.csv")[0]["loss"])


def far_from_zero(task):
    """The task with vectors of a large common mean and a small deviation."""

    def pool(requests):
        return ((100 + 0.1 * one.astype(np.float32)).astype(np.float16) for one in task.pool(requests))

    return replace(task, pool=pool)


def test_gaussian_layers_start_on_scaled_vectors(tmp_path):
    """A shift and factor of the vectors change next to nothing: the first layer sees them standardised."""
    near, far = make_task(tmp_path / "a"), far_from_zero(make_task(tmp_path / "b"))
    first, second = (first_batch_loss(one, last_sigma=1.0) for one in (near, far))
    assert abs(first - second) < 0.1 * first
    other = first_batch_loss(far_from_zero(make_task(tmp_path / "c")), last_sigma=1.0, standardise=False)
    assert abs(first - other) > 0.5 * first


def test_given_layers_do_on_vectors_as_they_come_what_they_did(tmp_path):
    rng = np.random.default_rng(0)
    given = {"fc6.weight": rng.normal(size=(12, LENGTH)), "fc6.bias": rng.normal(size=12)}
    given |= {"fc7.weight": rng.normal(size=(10, 12)), "fc7.bias": rng.normal(size=10)}
    given = {name: value.astype(np.float32) for name, value in given.items()}
    tasks = [make_task(tmp_path / name, given=given) for name in "ab"]
    scaled, plain = (first_batch_loss(t, standardise=s) for t, s in zip(tasks, (True, False), strict=True))
    assert abs(scaled - plain) < 1e-4 * plain
