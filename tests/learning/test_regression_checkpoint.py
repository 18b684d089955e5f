import dataclasses

import numpy as np
import pytest

from detection.learning import NormSettings, RegressionCheckpoint, RegressionSettings, train_regressors
from detection.learning.regression_checkpoint import PassState
from detection.learning.reservoir import Reservoir
from detection.learning.svm.samples import NormSample

# Few, so that most examples take another one's place.
SETTINGS = RegressionSettings(ridge=1.0, max_examples=15, norm=NormSettings(images=4, windows=10))


class StoppedError(Exception):
    """The pass was interrupted on purpose."""


@pytest.fixture
def images(make_regions):
    return make_regions(images=24, proposals=80)


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    """One that writes after every image."""
    monkeypatch.setattr(RegressionCheckpoint, "SECONDS", 0)
    monkeypatch.setattr("detection.learning.regression_checkpoint._REST", 0)
    return RegressionCheckpoint(tmp_path / "regression", "key")


def gone_through(images, checkpoint, stop=None):
    """(regressors, ids of the images that were asked for); StoppedError behind `stop` of them."""
    asked = []

    def stream(after=None):
        first = 0 if after is None else [one.image_id for one in images].index(after) + 1
        for one in images[first:]:
            asked.append(one.image_id)
            yield one

    def on_progress(_, done):
        assert images[done - 1].image_id == asked[-1]
        if len(asked) == stop:
            raise StoppedError

    return train_regressors(stream, 3, SETTINGS, on_progress, checkpoint=checkpoint), asked


def stopped(images, checkpoint, stop):
    with pytest.raises(StoppedError):
        gone_through(images, checkpoint, stop)


def content(regressors):
    return regressors.weights.tobytes(), regressors.biases.tobytes(), regressors.trained.tolist()


@pytest.mark.parametrize("stops", [(1,), (24,), (5, 5, 5, 5), (1,) * 24])
def test_stopped_again_and_again(images, checkpoint, stops):
    plain = gone_through(images, None)[0]
    for done, stop in enumerate(stops):
        stopped(images, RegressionCheckpoint(checkpoint.folder, "key"), stop)
        assert checkpoint.images_done() == sum(stops[: done + 1])
    again, asked = gone_through(images, RegressionCheckpoint(checkpoint.folder, "key"))
    assert content(again) == content(plain)
    assert len(asked) == 24 - sum(stops)
    # 3 classes of 15 examples, and room for those that took others' places within an image.
    assert checkpoint.rows_file.stat().st_size <= 2 * 3 * 15 * images[0].objects.values.shape[1] * 4
    checkpoint.remove()
    assert not checkpoint.folder.exists()


def test_killed_while_it_writes(images, checkpoint, monkeypatch):
    """The rows of the state before must not have been touched."""
    plain = gone_through(images, None)[0]
    stopped(images, checkpoint, 8)

    def killed(*_):
        raise StoppedError

    for _ in range(2):
        again = RegressionCheckpoint(checkpoint.folder, "key")
        monkeypatch.setattr(again, "write", killed)
        with pytest.raises(StoppedError):
            gone_through(images, again)
    found, asked = gone_through(images, RegressionCheckpoint(checkpoint.folder, "key"))
    assert content(found) == content(plain)
    assert len(asked) == 16


def test_of_another_key(images, checkpoint):
    stopped(images, checkpoint, 8)
    other = RegressionCheckpoint(checkpoint.folder, "other")
    assert other.images_done() == 0
    found, asked = gone_through(images, other)
    assert content(found) == content(gone_through(images, None)[0])
    assert len(asked) == 24


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("rows.float32", lambda data: data[:30] + bytes([data[30] ^ 1]) + data[31:]),
        ("rows.float32", lambda data: data[:-7]),
        ("rows.float32", lambda _: b""),
        ("state.safetensors", lambda data: data[:-5]),
        ("state.safetensors", lambda data: data[:-1] + bytes([data[-1] ^ 1])),
    ],
)
def test_damaged(images, checkpoint, caplog, name, damage):
    stopped(images, checkpoint, 8)
    path = checkpoint.folder / name
    path.write_bytes(damage(path.read_bytes()))
    found, asked = gone_through(images, RegressionCheckpoint(checkpoint.folder, "key"))
    assert content(found) == content(gone_through(images, None)[0])
    assert len(asked) == 24
    (told,) = caplog.messages
    assert told.startswith(f"{path}: ")
    assert told.endswith("; box regression begins anew")


def test_without_its_rows(images, checkpoint):
    stopped(images, checkpoint, 8)
    checkpoint.rows_file.unlink()
    assert checkpoint.images_done() == 0
    assert len(gone_through(images, RegressionCheckpoint(checkpoint.folder, "key"))[1]) == 24


def test_how_often_it_writes(tmp_path, monkeypatch):
    """When a minute has passed, and twenty times as long as the last writing took, which is three seconds or ten."""
    now = [0.0]
    monkeypatch.setattr("detection.learning.regression_checkpoint.time.monotonic", lambda: now[0])
    checkpoint, written = RegressionCheckpoint(tmp_path / "regression", "key"), []

    def write(_, facts):
        written.append(now[0])
        now[0] += 3 if len(written) == 1 else 10

    monkeypatch.setattr(checkpoint, "write", write)
    one = Reservoir(5, 0)
    one.add(np.zeros((2, 4), np.float32), np.zeros((2, 4)))
    for second in (59.9, 60, 122.9, 123, 332.9, 333):
        now[0] = max(now[0], second)
        checkpoint.offer([one], NormSample(NormSettings()), PassState(1, "a", "pool5", 4))
    assert written == [60, 123, 333]


def test_a_short_pass_writes_nothing(images, tmp_path):
    gone_through(images, RegressionCheckpoint(tmp_path / "regression", "key"))
    assert not (tmp_path / "regression").exists()


def test_a_restored_reservoir_goes_on_drawing():
    rows, targets = np.arange(80, dtype=np.float32).reshape(40, 2), np.arange(160.0).reshape(40, 4)
    whole, first, second = (Reservoir(6, 3) for _ in range(3))
    whole.add(rows, targets)
    first.add(rows[:25], targets[:25])
    second.restore([first.row(position) for position in range(6)], first.targets, 25)
    second.add(rows[25:], targets[25:])
    assert (second.rows == whole.rows).all()
    assert (second.targets == whole.targets).all()
    assert second.seen == 40


def test_settings_are_those_of_the_pass(images):
    """What the tests above rely on: examples are left out."""
    assert content(gone_through(images, None)[0]) != content(
        train_regressors(lambda: images, 3, dataclasses.replace(SETTINGS, max_examples=6000))
    )


def test_a_disk_without_room_ends_no_training(images, checkpoint, monkeypatch, caplog):
    """What was kept goes, since it may be half of it, and nothing more is tried."""
    write, tried = checkpoint.write, []

    def full(*arguments):
        tried.append(True)
        if len(tried) > 3:
            raise OSError(28, "No space left on device")
        write(*arguments)

    monkeypatch.setattr(checkpoint, "write", full)
    assert content(gone_through(images, checkpoint)[0]) == content(gone_through(images, None)[0])
    assert len(tried) == 4
    assert not checkpoint.folder.exists()
    (told,) = caplog.messages
    assert told.startswith(f"{checkpoint.folder}: [Errno 28] No space left on device; box regression goes on without")


def test_a_state_of_another_training_stays(images, checkpoint):
    stopped(images, RegressionCheckpoint(checkpoint.folder, "key of these images"), 8)
    RegressionCheckpoint(checkpoint.folder, "other").remove_own()
    assert checkpoint.folder.exists()
    RegressionCheckpoint(checkpoint.folder, "key").remove_own()
    assert not checkpoint.folder.exists()
    stopped(images, RegressionCheckpoint(checkpoint.folder, "key of these images"), 8)
    checkpoint.state_file.unlink()
    RegressionCheckpoint(checkpoint.folder, "other").remove_own()
    assert not checkpoint.folder.exists()
