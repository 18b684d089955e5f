"""Tuning, calibration, and further positives, on a run of shapes."""

import json
from pathlib import Path

import numpy as np
import pytest

from detection import Detector
from detection.commands.detect import detect_files
from detection.data import image_size
from detection.evaluation import EvaluationSettings
from detection.pipeline import validation
from detection.pipeline.stages.detections import detect, read_detections
from detection.pipeline.stages.regressors import REGRESSORS
from detection.pipeline.stages.svms import SVMS
from detection.pipeline.validation import calibrate, measure_reliability, tune
from detection.pipeline.work import Work
from detection.types import AnnotatedImage, Detections, RegionScores


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


def test_calibrate_and_measure(run, open_run, shapes, tmp_path):
    before = read_detections(open_run(run))
    experiment = open_run(run)
    detector = calibrate(experiment, folds=2, seed=0, min_score=-2.0)
    assert detector.calibration.trained.any()
    again = Detector.load(run / "detector")
    assert again.calibration.slopes.tolist() == detector.calibration.slopes.tolist()
    measured = measure_reliability(open_run(run), again, bins=5, min_score=-2.0)
    kept = json.loads((run / "evaluation/test-reliability.json").read_text())
    assert kept["detections"] == measured.counts.sum() > 0
    assert kept["expected_calibration_error"] == measured.error
    assert min(image_size(run / "evaluation/test-reliability.png")) > 100
    # Detections stay, and are not made again.
    after = open_run(run)
    assert [one.scores.tobytes() for one in detect(after)] == [one.scores.tobytes() for one in before]
    assert "done before" in printed(after)
    photo = shapes / "VOC2007/JPEGImages/test1.jpg"
    found = detect_files(run / "detector", [photo], tmp_path / "out", -1.0, Work(console=after.work.console))
    rows = json.loads((tmp_path / "out/detections.json").read_text())
    chances = again.calibration.of(found[0])
    shown = [one.get("probability") for one in rows]
    assert shown == [None if np.isnan(one) else one for one in chances.tolist()]
    assert any(one is not None for one in shown)


def test_calibration_ends_with_what_it_was_made_for(run, open_run):
    calibrate(open_run(run), folds=2, seed=0, min_score=-2.0)
    REGRESSORS.make(open_run(run, "--regression.ridge=10"))
    assert Detector.load(run / "detector").calibration is None


def test_calibration_needs_the_detector(run, open_run, tmp_path):
    with pytest.raises(ValueError, match="there are none"):
        calibrate(open_run(tmp_path / "empty"), 2, 0, -1.0)
    with pytest.raises(ValueError, match="of other settings"):
        calibrate(open_run(run, "--svm.C=1"), 2, 0, -1.0)


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


class Known:
    """Stands for what was trained on images: it refuses to judge one of them."""

    def __init__(self, images):
        self.images = images

    def region_scores(self, vectors):
        assert vectors.image_id not in self.images
        boxes = np.repeat(vectors.boxes[:, None], 2, axis=1)
        return RegionScores(vectors.image_id, boxes, np.zeros(boxes.shape[:2], np.float32))

    def refine(self, scores, pool5):
        assert pool5.image_id not in self.images
        return scores


def test_nothing_judges_an_image_that_it_was_trained_on(run, open_run, monkeypatch):
    divided = validation._Folds.of(open_run(run), 3, 0)
    monkeypatch.setattr(validation, "train_regressors", lambda stream, *_: Known({one.image_id for one in stream()}))
    regressors = divided.regressors()
    ids = {one.image_id for one in divided.images}
    for fold, one in enumerate(regressors):
        assert one.images == {image_id for image_id in ids if divided.fold_of[image_id] != fold}
    machines = [Known(one.images) for one in regressors]
    found = divided.detections([machines, machines], regressors)
    assert [one.image_id for one in found[1]] == [one.image_id for one in divided.images]


def test_a_detection_at_the_least_margin_is_judged_and_none_below():
    boxes = np.float32([[0, 0, 10, 10], [40, 0, 50, 10], [80, 0, 90, 10]])
    image = AnnotatedImage("a", Path("a"), (100, 100), boxes[[0]], np.array([0]), np.array([False]))
    found = Detections("a", boxes, np.float32([0.5, -1, -1.5]), np.zeros(3, np.int64))
    scores, labels, right = validation.judged([found], [image], ["cat"], EvaluationSettings(), -1.0)
    assert scores.tolist() == [0.5, -1]
    assert labels.tolist() == [0, 0]
    assert right.tolist() == [True, False]
