"""Tuning, and further positives, on a run of shapes."""

import json
from dataclasses import replace

import numpy as np
import pytest

from detection.pipeline import validation
from detection.pipeline.class_changes import rename_class
from detection.pipeline.stages.svms import SVMS
from detection.pipeline.validation import tune
from detection.types import RegionScores


def printed(experiment):
    return experiment.work.console.file.getvalue()


def test_tune(run, open_run):
    before = (run / "detector/detector.yaml").read_bytes()
    experiment = open_run(run)
    trials = tune(experiment, [1e-5, 0.01], [1.0, 2.0], folds=2, seed=0)
    assert [(one.C, one.positive_weight) for one in trials] == [(1e-5, 1.0), (1e-5, 2.0), (0.01, 1.0), (0.01, 2.0)]
    # A cost a thousand times smaller learns next to nothing of a few examples.
    assert trials[0].mean_ap < trials[2].mean_ap
    assert trials[2].mean_ap > 0.1
    assert all(len(one.by_fold) == 2 for one in trials)
    best = max(trials, key=lambda one: one.mean_ap)
    assert f"use it with --svm.C={best.C:g} --svm.positive_weight={best.positive_weight:g}" in printed(experiment)
    kept = json.loads((run / "tuning.json").read_text())
    assert kept["best"] == {"C": best.C, "positive_weight": best.positive_weight}
    assert [one["mean_ap"] for one in kept["trials"]] == [one.mean_ap for one in trials]
    assert set(kept["trials"][0]["by_class"]) == {"box", "disc"}
    # Nothing else changed, and the same call finds the same.
    assert (run / "detector/detector.yaml").read_bytes() == before
    assert tune(open_run(run), [0.01], [2.0], folds=2, seed=0)[0] == trials[3]


def test_a_quick_search_mines_nothing(run, open_run, monkeypatch):
    monkeypatch.setattr(validation, "_QUICK_IMAGES", 5)
    monkeypatch.setattr(validation, "train_fold_svms", None)
    before = {path: path.read_bytes() for path in (run / "detector").iterdir()}
    images = {one.image_id for one in open_run(run).train_images}
    measured = []
    monkeypatch.setattr(validation._Folds, "detections", seen(validation._Folds.detections, measured))
    trials = tune(open_run(run), [1e-5, 0.01], [1.0, 2.0], folds=2, seed=0, quick=True)
    assert [(one.C, one.positive_weight) for one in trials] == [(1e-5, 1.0), (1e-5, 2.0), (0.01, 1.0), (0.01, 2.0)]
    assert trials[0].mean_ap < trials[2].mean_ap
    assert trials[2].mean_ap > 0.1
    kept = json.loads((run / "tuning.json").read_text())
    assert (kept["images"], kept["measured_images"]) == (len(images), 5)
    assert len(set(measured)) == 5
    assert images.issuperset(measured)
    assert {path: path.read_bytes() for path in (run / "detector").iterdir()} == before
    assert tune(open_run(run), [0.01], [2.0], folds=2, seed=1, quick=True)
    assert set(measured[:5]) != set(measured[5:])


def seen(detections, measured):
    def noted(folds, machines):
        measured.extend(one.image_id for one in folds.images)
        return detections(folds, machines)

    return noted


def test_layers_that_have_seen_all_folds_are_told(run, open_run, monkeypatch):
    for seen_all in (False, True):
        monkeypatch.setattr(validation, "uses_finetuned", lambda features, told=seen_all: told)
        experiment = open_run(run)
        tune(experiment, [0.01], [2.0], folds=2, seed=0, quick=True)
        assert ("each mAP is too high" in printed(experiment)) == seen_all


def test_a_quick_search_needs_the_svms_of_the_settings_in_force(run, open_run):
    with pytest.raises(ValueError, match=r"expected svms of the settings in force, they are of other.*sppnet train"):
        tune(open_run(run, "--svm.C=0.5"), [0.01], [2.0], folds=2, seed=0, quick=True)
    samples = run / "detector/samples.csv"
    text = samples.read_text()
    samples.write_text(text[: text.rindex("\n", 0, -1) + 1])
    expected = r"samples\.csv: expected the samples that training kept, it is gone or was changed; leave --quick out"
    with pytest.raises(ValueError, match=expected):
        tune(open_run(run), [0.01], [2.0], folds=2, seed=0, quick=True)
    samples.unlink()
    with pytest.raises(ValueError, match=expected):
        tune(open_run(run), [0.01], [2.0], folds=2, seed=0, quick=True)
    assert not (run / "tuning.json").exists()


def test_a_quick_search_is_of_one_training(run, open_run):
    rename_class(open_run(run), "disc", "ring")
    with pytest.raises(ValueError, match=r"detector: its classes were changed since they were trained; leave --quick"):
        tune(open_run(run), [0.01], [2.0], folds=2, seed=0, quick=True)


def test_a_pair_is_tried_once_and_a_fold_without_objects_has_no_figure(run, open_run, monkeypatch):
    monkeypatch.setattr(validation, "_QUICK_IMAGES", 2)
    experiment = open_run(run)
    [trial] = tune(experiment, [0.01, 0.01], [2.0], folds=3, seed=0, quick=True)
    assert trial.by_fold[2] is None
    measured = [one for one in trial.by_fold if one is not None]
    assert len(measured) == 2
    line = next(one for one in printed(experiment).splitlines() if one.endswith("best"))
    assert line.split()[3:5] == [f"{np.mean(measured):.3f}", f"{np.std(measured, ddof=1):.3f}"]
    kept = json.loads((run / "tuning.json").read_text())
    assert kept["trials"][0]["by_fold"] == list(trial.by_fold)
    assert kept["mined_with"] == {"C": experiment.svm_settings.C, "positive_weight": 2.0}
    assert "a C far below that comes out too low" in printed(experiment).replace("\n", " ")


def test_a_lack_of_memory_in_one_training_of_several_is_told(run, open_run, monkeypatch):
    train = validation.train_fold_svms

    def short_of_memory(*arguments, **named):
        machines, log = train(*arguments, **named)
        assert len(log.entries) > 1
        return machines, replace(log, entries=(replace(log.entries[0], left_out=3), *log.entries[1:]))

    told = "hard negatives were left out for lack of memory"
    for called, count in ((train, 0), (short_of_memory, 1)):
        monkeypatch.setattr(validation, "train_fold_svms", called)
        experiment = open_run(run)
        tune(experiment, [0.01], [2.0], folds=2, seed=0)
        assert printed(experiment).count(told) == count


def test_further_positives_of_a_run(run, open_run):
    experiment = open_run(run, "--svm.mirrored_positives=true", "--svm.jittered_positives=2")
    plain = open_run(run).run.read()["stages"]["svms"]["positives"]
    SVMS.make(experiment)
    more = experiment.run.read()["stages"]["svms"]["positives"]
    assert more == {name: 6 * count for name, count in plain.items()}
    image = experiment.train_images[0]
    extra = experiment.settings.svm.extra_positives
    regions = experiment.source.training_regions(image, "pool5", extra=extra)
    count = len(image.boxes)
    assert len(regions.extra_labels) == 5 * count
    # A mirrored object lies where it would in the mirrored photo, and looks alike.
    mirrored = regions.extra.boxes[2 * count : 3 * count]
    np.testing.assert_allclose(mirrored[:, 0] + image.boxes[:, 2], image.size[1], rtol=1e-6)
    distance = np.linalg.norm(regions.extra.values[2 * count : 3 * count] - regions.objects.values, axis=1)
    assert (distance < np.linalg.norm(regions.objects.values, axis=1)).all()
    assert (distance > 0).all()


def test_few_positives_are_warned_of(run, open_run):
    experiment = open_run(run, "--limit=2", "--svm.C=0.02")
    SVMS.make(experiment)
    assert "fewer than 10 positives: box" in printed(experiment).replace("\n", " ")


def test_mining_is_printed(open_run, tmp_path):
    experiment = open_run(tmp_path / "run")
    SVMS.make(experiment)
    lines = printed(experiment).splitlines()
    head = next(i for i, line in enumerate(lines) if line.startswith("class "))
    assert lines[head].split() == ["class", "pass", "positives", "negatives", "added", "evicted", "objective", "gap"]
    name, number, positives, *_ = lines[head + 1].split()
    assert (name, number) == ("box", "1")
    assert int(positives) > 0
    assert not (tmp_path / "run/mining").exists()


def test_nothing_judges_an_image_that_it_was_trained_on(run, open_run, monkeypatch):
    divided = validation._Folds.of(open_run(run), 3, 0)
    ids = {one.image_id for one in divided.images}
    machines = [Known({image_id for image_id in ids if divided.fold_of[image_id] != fold}) for fold in range(3)]
    found = divided.detections([machines, machines])
    assert len(found) == 2
    assert [one.image_id for one in found[1]] == [one.image_id for one in divided.images]


class Known:
    """Stands for what was trained on images: it refuses to judge one of them."""

    def __init__(self, images, classes=2):
        self.images, self.classes = images, classes

    def joined(self, other):
        assert other.images == self.images
        return Known(self.images, self.classes + other.classes)

    def region_scores(self, vectors):
        assert vectors.image_id not in self.images
        boxes = np.repeat(vectors.boxes[:, None], self.classes, axis=1)
        return RegionScores(vectors.image_id, boxes, np.zeros(boxes.shape[:2], np.float32))
