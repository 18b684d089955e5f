import csv

import numpy as np
import pytest

from detection.learning import MiningEntry, MiningLog
from detection.stages.train import train_box_regressors, train_linear_svms, write_mining_log
from detection.stages.work import Work


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


def test_no_training(tmp_path):
    write_mining_log(tmp_path / "mining.csv", MiningLog((), (0,), 0.0, 1.0, 0, 0, 0), ["cat"])
    assert (tmp_path / "mining.csv").read_text().startswith("class,mining_pass,images")
    assert len((tmp_path / "mining.csv").read_text().splitlines()) == 1
