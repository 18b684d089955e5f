"""Mining in bounded memory, in parallel, interrupted and gone on with."""

import dataclasses
import tracemalloc
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from detection.learning import MiningCheckpoint, NormSettings, SVMSettings, TrainingRegions, train_svms
from detection.learning.svm._trainer import Trainer
from detection.types import RegionFeatures

SETTINGS = SVMSettings(C=0.05, retrain_after=60, norm=NormSettings(target=10, windows=10), memory_mib=4)

# Of an image's regions those that name it.
PARTS = ("proposals", "objects")


class StoppedError(Exception):
    pass


def stream_of(images):
    ids = [one.image_id for one in images]
    return lambda after=None: iter(images[0 if after is None else ids.index(after) + 1 :])


def interrupted_at(calls):
    left = [calls]

    def on_progress(phase, done):
        left[0] -= 1
        if not left[0]:
            raise StoppedError

    return on_progress


@pytest.mark.parametrize("commit_after", [1, 3])
def test_interrupted_after_every_state(make_regions, tmp_path, monkeypatch, commit_after):
    monkeypatch.setattr("detection.learning.svm._trainer._COMMIT_AFTER", commit_after)
    images, settings = make_regions(images=8), dataclasses.replace(SETTINGS, passes=2)
    plain, log = train_svms(stream_of(images), 3, settings)
    checkpoint = MiningCheckpoint(tmp_path / "mining", "key")
    # 3 passes over 8 images; with every third one's state, the ninth call would come to the end.
    for _ in range(24 if commit_after == 1 else 8):
        with pytest.raises(StoppedError):
            train_svms(stream_of(images), 3, settings, interrupted_at(commit_after), checkpoint=checkpoint)
    assert checkpoint.images_done() > 0
    resumed, again = train_svms(stream_of(images), 3, settings, checkpoint=checkpoint)
    assert resumed.weights.tobytes() == plain.weights.tobytes()
    assert resumed.biases.tobytes() == plain.biases.tobytes()
    assert again == log
    assert [one.image_ids for one in again.samples] == [one.image_ids for one in log.samples]
    assert all(
        (a.margins == b.margins).all() and (a.alphas == b.alphas).all()
        for a, b in zip(again.samples, log.samples, strict=True)
    )
    checkpoint.remove()
    assert not checkpoint.folder.exists()


def test_interrupted_within_an_image_with_little_memory(make_regions, tmp_path, monkeypatch):
    """Whatever the training was in the middle of."""
    monkeypatch.setattr("detection.learning.svm._trainer.MIB", 70 * 16 * 4)
    images, settings = make_regions(images=10, noise=0.8), dataclasses.replace(SETTINGS, memory_mib=1)
    plain, log = train_svms(stream_of(images), 3, settings)
    assert sum(one.left_out for one in log.entries) > 0
    from detection.learning.svm import _trainer

    solve, calls = _trainer.solve, [0]

    def failing(*arguments, **named):
        calls[0] += 1
        if calls[0] > 0 and calls[0] % 2 == 0:
            raise StoppedError
        return solve(*arguments, **named)

    checkpoint, stops = MiningCheckpoint(tmp_path / "mining", "key"), 0
    monkeypatch.setattr(_trainer, "solve", failing)
    while stops < 1000:
        try:
            resumed, again = train_svms(stream_of(images[:]), 3, settings, checkpoint=checkpoint)
            break
        except StoppedError:
            stops += 1
            if stops % 3 == 0:
                calls[0] = -20
    assert stops > 3
    assert resumed.weights.tobytes() == plain.weights.tobytes()
    assert again == log


def test_states_grow_rarer_with_the_images(make_regions, tmp_path, monkeypatch):
    """What is written grows with the images: its number must not."""
    monkeypatch.setattr("detection.learning.svm._trainer._COMMITS", 2)
    checkpoint, written = MiningCheckpoint(tmp_path / "mining", "key"), []
    monkeypatch.setattr(checkpoint, "write", lambda _, facts: written.append((facts["number"], facts["done"])))
    train_svms(stream_of(make_regions(images=40)), 3, SETTINGS, checkpoint=checkpoint)
    # Every fourth image up to the 16th, every 8th up to the 32nd, then every 16th; and where a pass begins.
    assert written == [
        (0, 4),
        (0, 8),
        (0, 12),
        (0, 16),
        (0, 24),
        (0, 32),
        (1, 0),
        *((1, n) for n in (4, 8, 12, 16, 24, 32)),
        (2, 0),
    ]


def test_only_ids_of_images_with_samples_are_kept(make_regions, tmp_path, monkeypatch):
    """What is held must not grow with the images."""
    checkpoint, states = MiningCheckpoint(tmp_path / "mining", "key"), []
    monkeypatch.setattr(checkpoint, "write", lambda *state: states.append(state))
    settings = dataclasses.replace(SETTINGS, max_positives=2)
    _, log = train_svms(stream_of(make_regions(images=60)), 3, settings, checkpoint=checkpoint)
    for arrays, _ in states:
        used = [arrays[f"{label}.{part}"] for label in range(3) for part in ("origins", "keys")]
        of_images = np.concatenate([one if one.ndim == 1 else one[:, 0] for one in used])
        assert sorted(arrays["positions"].tolist()) == sorted(set(of_images.tolist()))
    arrays, facts = states[-1]
    assert facts["images"] == 60 > len(arrays["positions"]) > 6
    ids = {name for sample in log.samples for name in sample.image_ids}
    assert set(arrays["image_ids"].tobytes().decode().split("\0")) == ids


def test_goes_on_with_ids_that_are_no_utf8(make_regions, tmp_path):
    """Names of files may hold any byte, which Python has as a lone surrogate."""
    images = [
        dataclasses.replace(
            one, **{name: dataclasses.replace(getattr(one, name), image_id=f"\udcff é {number}") for name in PARTS}
        )
        for number, one in enumerate(make_regions(images=8))
    ]
    _, log = train_svms(stream_of(images), 3, SETTINGS)
    checkpoint = MiningCheckpoint(tmp_path / "mining", "key")
    with pytest.raises(StoppedError):
        train_svms(stream_of(images), 3, SETTINGS, interrupted_at(13), checkpoint=checkpoint)
    _, again = train_svms(stream_of(images), 3, SETTINGS, checkpoint=checkpoint)
    assert {one for sample in again.samples for one in sample.image_ids} <= {one.image_id for one in images}
    assert [one.image_ids for one in again.samples] == [one.image_ids for one in log.samples]


def test_a_sample_of_the_positives(make_regions, tmp_path):
    images, settings = make_regions(images=40), dataclasses.replace(SETTINGS, max_positives=5)
    svms, log = train_svms(stream_of(images), 3, settings)
    _, everything = train_svms(stream_of(images), 3, SETTINGS)
    assert min(everything.positives) > 10
    assert log.positives == (5, 5, 5)
    late = {one for sample in log.samples for one in sample.image_ids[: sample.positives]} - {
        one.image_id for one in images[:20]
    }
    assert late
    for sample, whole in zip(log.samples, everything.samples, strict=True):
        boxes = {(name, box.tobytes()) for name, box in zip(whole.image_ids, whole.boxes, strict=True)}
        assert {
            (name, box.tobytes()) for name, box in zip(sample.image_ids[:5], sample.boxes[:5], strict=True)
        } <= boxes
    _, other = train_svms(stream_of(images), 3, dataclasses.replace(settings, seed=4))
    assert [one.image_ids[:5] for one in other.samples] != [one.image_ids[:5] for one in log.samples]
    enough, _ = train_svms(stream_of(images), 3, dataclasses.replace(settings, max_positives=10**6))
    plain, _ = train_svms(stream_of(images), 3, SETTINGS)
    assert enough.weights.tobytes() == plain.weights.tobytes()

    checkpoint = MiningCheckpoint(tmp_path / "mining", "key")
    for _ in range(12):
        with pytest.raises(StoppedError):
            train_svms(stream_of(images), 3, settings, interrupted_at(5), checkpoint=checkpoint)
    resumed, again = train_svms(stream_of(images), 3, settings, checkpoint=checkpoint)
    assert resumed.weights.tobytes() == svms.weights.tobytes()
    assert again == log


def test_positives_take_no_more_memory_than_their_sample(make_regions, monkeypatch):
    monkeypatch.setattr("detection.learning.svm._trainer.MIB", 64)
    few = dataclasses.replace(SETTINGS, max_positives=2, memory_mib=40)
    with pytest.raises(ValueError, match="expected room for the positives"):
        train_svms(stream_of(make_regions(images=60)), 3, dataclasses.replace(few, max_positives=None))
    _, log = train_svms(stream_of(make_regions(images=60)), 3, few)
    assert log.positives == (2, 2, 2)


def test_a_state_of_another_key_or_with_changed_rows_is_not_used(make_regions, tmp_path):
    images = make_regions(images=6)
    plain, _ = train_svms(stream_of(images), 3, SETTINGS)
    seen = []

    def train(key):
        seen.clear()
        checkpoint = MiningCheckpoint(tmp_path / "mining", key)
        return train_svms(stream_of(images), 3, SETTINGS, lambda *step: seen.append(step), checkpoint=checkpoint)[0]

    with pytest.raises(StoppedError):
        train_svms(
            stream_of(images), 3, SETTINGS, interrupted_at(9), checkpoint=MiningCheckpoint(tmp_path / "mining", "a")
        )
    rows = tmp_path / "mining" / "rows.float32"
    content = rows.read_bytes()
    assert (train("a").weights == plain.weights).all()
    # 9 images were done, 6 of them in the pass before; after the third of this one no state was written.
    assert seen[0] == ("mining pass 1", 1)
    train("b")
    assert seen[0] == ("positives", 1)
    with pytest.raises(StoppedError):
        train_svms(
            stream_of(images), 3, SETTINGS, interrupted_at(9), checkpoint=MiningCheckpoint(tmp_path / "mining", "c")
        )
    rows.write_bytes(bytes(len(content)))
    assert (train("c").weights == plain.weights).all()
    assert seen[0] == ("positives", 1)


def test_memory_is_kept_to(make_regions, monkeypatch):
    """Counted by the rows and by what the allocator hands out."""
    monkeypatch.setattr("detection.learning.svm._trainer.MIB", 2**16)
    length = 1024
    images = make_regions(images=24, proposals=80, noise=0.8, length=length)
    _, most = train_svms(stream_of(images), 3, dataclasses.replace(SETTINGS, memory_mib=1000))
    assert most.peak_bytes > 10 * 2**16
    assert sum(one.left_out for one in most.entries) == 0
    for limit in (8, 10):
        tracemalloc.start()
        svms, log = train_svms(stream_of(images), 3, dataclasses.replace(SETTINGS, memory_mib=limit))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert log.peak_bytes <= limit * 2**16
        assert log.peak_rows * length * 4 <= log.peak_bytes
        # The rows, a copy of one image's, and small things.
        assert peak <= limit * 2**16 + 80 * length * 4 + 2**18
        assert svms.trained.all()
        assert any(one.left_out for one in log.entries)


def test_enough_memory_changes_nothing(make_regions):
    images = make_regions()
    most, log = train_svms(stream_of(images), 3, SETTINGS)
    assert not any(one.left_out for one in log.entries)
    least, _ = train_svms(stream_of(images), 3, dataclasses.replace(SETTINGS, memory_mib=1))
    assert least.weights.tobytes() == most.weights.tobytes()


def test_positives_that_do_not_fit(make_regions, monkeypatch):
    monkeypatch.setattr("detection.learning.svm._trainer.MIB", 64)
    with pytest.raises(ValueError, match=r"svm\.memory_mib: expected room for the positives .* 3, which holds 3 v"):
        train_svms(stream_of(make_regions()), 3, dataclasses.replace(SETTINGS, memory_mib=3))


@pytest.mark.parametrize("kind", [ThreadPoolExecutor, ProcessPoolExecutor])
def test_classes_at_a_time(make_regions, kind):
    images = make_regions()
    plain, log = train_svms(stream_of(images), 3, SETTINGS)
    with kind(2) as executor:
        parallel, again = train_svms(stream_of(images), 3, SETTINGS, executor=executor)
    assert parallel.weights.tobytes() == plain.weights.tobytes()
    assert again == log


def test_until_no_image_yields_a_hard_negative(make_regions):
    images = make_regions(images=16, proposals=80, noise=0.8)
    svms, log = train_svms(stream_of(images), 3, dataclasses.replace(SETTINGS, passes=0))
    last = max(one.mining_pass for one in log.entries)
    assert last > 1
    more, again = train_svms(stream_of(images), 3, dataclasses.replace(SETTINGS, passes=last + 5))
    assert (more.weights == svms.weights).all()
    assert again == log


def test_images_without_objects_are_a_pool(make_regions):
    """They give negatives to all classes, and hard ones change the SVMs."""
    images = make_regions(images=8)
    rng = np.random.default_rng(5)
    boxes = np.tile(np.array([[0, 0, 9, 9]], np.float32), (150, 1))
    values = rng.normal(0.7, 0.5, (150, 16)).astype(np.float32)
    pool = TrainingRegions(
        RegionFeatures("pool", boxes, values, "pool5"),
        RegionFeatures("pool", boxes[:0], values[:0], "pool5"),
        np.zeros(0, np.int64),
        np.zeros(0, bool),
    )
    without, _ = train_svms(stream_of(images), 3, SETTINGS)
    svms, log = train_svms(stream_of([*images, pool]), 3, SETTINGS)
    last = [[one for one in log.entries if one.label == label and one.added][-1] for label in range(3)]
    assert all(one.images == 9 for one in last)
    assert (svms.score(pool.proposals) > -1).mean() < (without.score(pool.proposals) > -1).mean()


def test_further_positives(make_regions):
    images = make_regions(images=8)
    more = [
        dataclasses.replace(one, extra=one.objects, extra_labels=one.labels) if len(one.labels) else one
        for one in images
    ]
    _, log = train_svms(stream_of(images), 3, SETTINGS)
    _, twice = train_svms(stream_of(more), 3, SETTINGS)
    assert twice.positives == tuple(2 * count for count in log.positives)
    # A positive that is there twice counts as one of twice the weight.
    heavy, _ = train_svms(stream_of(images), 3, dataclasses.replace(SETTINGS, positive_weight=4, tolerance=1e-7))
    exact, _ = train_svms(stream_of(more), 3, dataclasses.replace(SETTINGS, tolerance=1e-7))
    np.testing.assert_allclose(exact.weights, heavy.weights, atol=2e-3)


def test_where_room_is_short_the_hardest_stay():
    """Of four proposals that are new, two find room: those whose best score of an SVM that wants them is greatest."""
    caches = [SimpleNamespace(left_out=0), SimpleNamespace(left_out=5)]
    trainer = SimpleNamespace(
        caches=caches, store=SimpleNamespace(room=2), _new=lambda wanted: np.flatnonzero(wanted.any(axis=1))
    )
    scores = np.array([[0.1, 9.0], [0.5, 0.2], [0.3, 0.4], [0.2, 0.3], [9.0, 9.0]])
    wanted = np.array([[True, False], [True, False], [True, True], [True, True], [False, False]])
    Trainer._leave_out(trainer, scores, wanted)
    assert wanted.tolist() == [[False, False], [True, False], [True, True], [False, False], [False, False]]
    assert [one.left_out for one in caches] == [2, 6]
