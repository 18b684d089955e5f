import csv
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from detection.inspection.samples import ranked_samples
from detection.learning import MiningEntry, MiningLog, TrainingSamples
from detection.pipeline.stages.regressors import train_box_regressors
from detection.pipeline.stages.svms import SVMS, report_mining, train_linear_svms, write_mining_log
from detection.pipeline.training_samples import (
    read_samples,
    rename_training_samples,
    training_samples,
    write_training_samples,
)
from detection.pipeline.work import Work


@pytest.fixture
def experiment(run, open_run):
    return open_run(run)


@pytest.mark.parametrize("workers", [1, 3])
def test_reading_ahead_does_not_change_bits(experiment, workers):
    work, settings = Work(workers, console=experiment.work.console), experiment.settings
    images = experiment.train_images
    svms, log = train_linear_svms(experiment.source, images, 2, settings.svm, "pool5", work)
    regressors = train_box_regressors(experiment.source, images, 2, settings.regression, work)
    kept = (experiment.run.detector / name for name in ("svms.safetensors", "regressors.safetensors"))
    for part, path in zip((svms, regressors), kept, strict=True):
        again = type(part).from_arrays(*_arrays(path))
        assert again.weights.tobytes() == part.weights.tobytes()
        assert again.biases.tobytes() == part.biases.tobytes()
    assert log.images == 8


def _arrays(path):
    from detection.storage import read_arrays

    return read_arrays(path)


def test_an_image_that_fails_is_listed_once(experiment):
    experiment.source.cache().path("train1").unlink()
    image = experiment.train_images[1]
    broken = type(image)(
        image.image_id, image.path.with_name("x"), image.size, image.boxes, image.labels, image.difficult
    )
    images = [experiment.train_images[0], broken, *experiment.train_images[2:]]
    work = Work(2, console=experiment.work.console)
    _, log = train_linear_svms(experiment.source, images, 2, experiment.settings.svm, "pool5", work)
    assert log.images == 7
    assert [one.kind for one in work.problems] == ["missing image"]


@pytest.mark.parametrize(("below", "mirrored"), [(8, False), (9, True)])
def test_mirrored_where_the_photos_are_fewer(run, open_run, below, mirrored):
    """Of 8 photos: the same SVMs, under the same key, as where it was asked for."""
    plain, experiment = SVMS.key(open_run(run)), open_run(run, f"--svm.mirrored_below={below}")
    SVMS.make(experiment)
    told = "8 training photos, fewer than svm.mirrored_below 9: mirrored objects are positives too"
    assert (told in experiment.work.console.file.getvalue()) == mirrored
    found = (run / "detector" / "svms.safetensors").read_bytes()
    asked = open_run(run, f"--svm.mirrored_positives={str(mirrored).lower()}")
    assert SVMS.key(asked) == SVMS.key(experiment) == experiment.trained()["svms"]
    assert (SVMS.key(experiment) == plain) != mirrored
    shutil.rmtree(run / "detector")
    SVMS.make(asked)
    assert (run / "detector" / "svms.safetensors").read_bytes() == found


def test_mining_log(tmp_path):
    entry = MiningEntry(1, 1, 5, 3, 20, 20, 2, np.float64(0.5), 1e-6, 12, True)
    log = MiningLog((entry,), (3, 3), 10.0, 2.0, 5, 23, 1000)
    write_mining_log(tmp_path / "mining.csv", log, ["cat", 'a "b", c'])
    with (tmp_path / "mining.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 1
    assert rows[0]["class"] == 'a "b", c'
    assert {key: rows[0][key] for key in ("mining_pass", "images", "positives", "negatives", "added", "evicted")} == {
        "mining_pass": "1", "images": "5", "positives": "3", "negatives": "20", "added": "20", "evicted": "2",
    }  # fmt: skip
    assert (float(rows[0]["objective"]), rows[0]["converged"]) == (0.5, "True")


def test_what_a_user_is_warned_of():
    told, warned = [], []
    experiment = SimpleNamespace(say=told.append, warn=warned.append)
    entries = [MiningEntry(label, 1, 5, 3, 20, 20, 2, 0.5, 1e-6, 12, label != 1) for label in (0, 1, 1, 2)]
    enough = MiningLog(tuple(entries), (10, 10, 0), 10.0, 2.0, 5, 23, 1000)
    report_mining(experiment, enough, ["cat", "dog", "cow"])
    assert (len(told), warned) == (1, ["the SVM of dog did not converge; see mining.csv"])
    warned.clear()
    entries = [replace(entries[0], left_out=1), entries[0]]
    report_mining(experiment, replace(enough, entries=tuple(entries), positives=(10, 9, 1)), ["cat", "dog", "cow"])
    assert warned == [
        "hard negatives were left out for lack of memory: svm.memory_mib; see mining.csv",
        "fewer than 10 positives: dog 9, cow 1; docs/learning.md tells what to expect",
    ]


def test_no_training(tmp_path):
    write_mining_log(tmp_path / "mining.csv", MiningLog((), (0,), 0.0, 1.0, 0, 0, 0), ["cat"])
    assert (tmp_path / "mining.csv").read_text().startswith("class,mining_pass,images")
    assert len((tmp_path / "mining.csv").read_text().splitlines()) == 1


def log_with(*samples):
    return MiningLog((), (1,), 0.0, 1.0, 0, 0, 0, tuple(samples))


def samples_of(label, margins, alphas, positives=1):
    boxes = np.arange(4 * len(margins), dtype=np.float32).reshape(-1, 4) + 0.1
    ids = tuple(f"image, {n}" for n in range(len(margins)))
    return TrainingSamples(label, positives, ids, boxes, np.array(margins, np.float32), np.array(alphas, np.float32))


def test_samples_go_out_and_come_back(tmp_path):
    path = tmp_path / "samples.csv"
    kept = samples_of(1, [0.5, -1.5, -0.9, -0.2], [2, 0, 1, 0.5])
    write_training_samples(path, log_with(kept), ["cat", "dog"])
    found = read_samples(path)
    assert [(one.name, one.is_positive, one.image_id) for one in found] == [
        ("dog", n == 0, f"image, {n}") for n in range(4)
    ]  # fmt: skip
    assert np.array_equal(np.array([one.box for one in found], np.float32), kept.boxes)
    assert np.array_equal(np.array([one.margin for one in found], np.float32), kept.margins)
    positives, negatives = ranked_samples(found, "dog")
    assert [one.margin for one in positives] == [0.5]
    assert [round(one.margin, 6) for one in negatives] == [-0.2, -0.9]
    assert ranked_samples(found, "cat") == ([], [])
    (again,) = training_samples(path, ["cat", "dog"])
    assert (again.label, again.positives, again.image_ids) == (kept.label, kept.positives, kept.image_ids)
    for name in ("boxes", "margins", "alphas"):
        assert getattr(again, name).tobytes() == getattr(kept, name).tobytes()


def test_samples_in_another_order_are_the_same(tmp_path):
    path = tmp_path / "samples.csv"
    write_training_samples(path, log_with(samples_of(0, [0.5, 0.4, -0.9], [2, 0, 1], positives=2)), ["cat"])
    head, first, second, third = path.read_text().splitlines()
    path.write_text("\n".join([head, third, first, second]))
    [found] = training_samples(path, ["cat"])
    assert (found.positives, found.image_ids) == (2, ("image, 0", "image, 1", "image, 2"))
    assert found.alphas.tolist() == [2, 0, 1]


def test_samples_follow_changes_of_the_classes(tmp_path):
    path = tmp_path / "samples.csv"
    write_training_samples(path, log_with(samples_of(0, [1], [1]), samples_of(1, [2], [1])), ["cat", "dog"])
    write_training_samples(path, log_with(samples_of(0, [3], [1])), ["cow"], add=True)
    assert [(one.name, one.margin) for one in read_samples(path)] == [("cat", 1), ("dog", 2), ("cow", 3)]
    write_training_samples(path, log_with(samples_of(0, [4], [1])), ["dog"], add=True)
    rename_training_samples(path, {"cat": None, "cow": "ox"})
    assert [(one.name, one.margin) for one in read_samples(path)] == [("ox", 3), ("dog", 4)]
    rename_training_samples(tmp_path / "none.csv", {"cat": None})
    assert not (tmp_path / "none.csv").exists()


@pytest.mark.parametrize(
    "text",
    [
        "class,kind\n",
        "{head}\ncat,positive,a,1,2,3\n",
        "{head}\ncat,both,a,1,2,3,4,5,6\n",
        "{head}\ncat,positive,a,1,2,3,4,5,nan\n",
    ],
)
def test_faulty_samples_are_named(tmp_path, text):
    path = tmp_path / "samples.csv"
    path.write_text(text.replace("{head}", "class,kind,image_id,x1,y1,x2,y2,margin,alpha"))
    with pytest.raises(ValueError, match=r"samples\.csv"):
        read_samples(path)


def test_a_detector_made_again_that_is_cut_off_is_not_taken_for_whole(run, open_run, monkeypatch):
    """run.yaml still has the record of the one that is gone."""
    logs = {name: (run / "detector" / name).read_bytes() for name in ("mining.csv", "samples.csv")}
    shutil.rmtree(run / "detector")

    def cut_off(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("detection.pipeline.stages.svms.write_mining_log", cut_off)
        with pytest.raises(KeyboardInterrupt):
            SVMS.make(open_run(run))
    assert (run / "detector/detector.yaml").is_file()
    SVMS.make(open_run(run))
    assert {name: (run / "detector" / name).read_bytes() for name in logs} == logs
    assert not (run / "mining").exists()
