import dataclasses

import numpy as np
import pytest
import yaml

from detection import Detector
from detection.learning import Calibration
from detection.pipeline.detector_parts import run_calibration
from detection.pipeline.held_out import Judged
from detection.pipeline.stages.calibration import CALIBRATION, held_out_counts, held_out_table
from detection.pipeline.stages.detections import DETECTIONS, detect, read_detections
from detection.pipeline.stages.drawings import DRAWINGS
from detection.pipeline.stages.evaluation import EVALUATION
from detection.pipeline.stages.regressors import REGRESSORS
from detection.pipeline.stages.svms import SVMS

# What the few shapes can be calibrated with.
FEW = ("--calibration.folds=2", "--calibration.min_found=2")


def printed(experiment):
    return experiment.work.console.file.getvalue()


def remade(run, open_run, *options):
    CALIBRATION.make(open_run(run, *options))
    return run_calibration(open_run(run, *options))


def test_a_run_ends_training_with_it(finished, open_run):
    experiment = open_run(finished)
    assert CALIBRATION.kept(experiment) == CALIBRATION.key(experiment)
    record = experiment.run.read()["stages"]
    assert list(record).index("regressors") + 1 == list(record).index("calibration")
    assert record["calibration"]["images"] == 8
    described = yaml.safe_load((finished / "detector/detector.yaml").read_text())["calibration"]
    calibration = Detector.load(finished / "detector").calibration
    assert list(described) == ["box", "disc"]
    for place, one in enumerate(described.values()):
        assert one["threshold"] == pytest.approx(calibration.thresholds[place], abs=1e-4)
        assert one["probability"] == pytest.approx(calibration.threshold_probabilities()[place], abs=1e-4)
        assert one["calibrated"] == calibration.trained[place]


def test_classes_are_calibrated_by_what_is_found_in_their_images(run, open_run):
    experiment = open_run(run, *FEW)
    CALIBRATION.make(experiment)
    calibration = run_calibration(experiment)
    assert calibration.trained.all()
    assert (calibration.slopes > 0).all()
    lines = printed(experiment).splitlines()
    (head,) = [place for place, line in enumerate(lines) if line.startswith("class  shown from")]
    counts = np.array([line.split()[2:5] for line in lines[head + 1 : head + 3]], int)
    objects = sum(np.bincount(one.labels[~one.difficult], minlength=2) for one in experiment.train_images)
    assert counts[:, 0].tolist() == objects.tolist()
    figures = experiment.run.read()["stages"]["calibration"]
    assert [figures[name] for name in ("objects", "found", "false")] == counts.sum(axis=0).tolist()
    assert figures["uncalibrated"] == []
    # The same again, to the last bit, with threads too.
    again = remade(run, open_run, *FEW, "--calibration.images=400", "--workers=2")
    assert all(one.tobytes() == other.tobytes() for one, other in zip(*both(calibration, again), strict=True))


def both(*calibrations):
    return [list(one.to_arrays()[0].values()) for one in calibrations]


def test_classes_of_too_few_are_marked(run, open_run):
    experiment = open_run(run, "--calibration.min_found=1000")
    CALIBRATION.make(experiment)
    assert [one.tolist() for one in both(run_calibration(experiment))[0]] == [
        one.tolist() for one in both(Calibration.fixed(2))[0]
    ]
    assert "uncalibrated" in printed(experiment)
    assert "probabilities are rough: box, disc" in printed(experiment)


def test_no_images_and_no_samples(run, open_run):
    assert not remade(run, open_run, "--calibration.images=0").trained.any()
    for name in ("detector/samples.csv", "calibration/folds.safetensors"):
        (run / name).unlink()
    experiment = open_run(run, *FEW, "--calibration.images=8")
    CALIBRATION.make(experiment)
    assert not run_calibration(experiment).trained.any()
    assert "no samples of the training" in printed(experiment).replace("\n", " ")


def test_detections_and_average_precision_stay(run, open_run):
    before, key = read_detections(open_run(run)), DETECTIONS.key(open_run(run))
    mean = open_run(run).run.read()["stages"]["evaluation"]["mAP"]
    remade(run, open_run, *FEW)
    after = open_run(run, *FEW)
    assert DETECTIONS.key(after) == key
    assert [one.scores.tobytes() for one in detect(after)] == [one.scores.tobytes() for one in before]
    assert all(one.probabilities is None for one in detect(after))
    assert "detections: done before" in printed(after)
    # What shows thresholds is made again.
    for stage in (DRAWINGS, EVALUATION):
        stage.make(after)
        assert f"{stage.name}: done before" not in printed(after)
    assert after.run.read()["stages"]["evaluation"]["mAP"] == mean


def test_it_ends_with_what_it_was_made_for(run, open_run):
    REGRESSORS.make(open_run(run, "--regression.ridge=10"))
    detector = Detector.load(run / "detector")
    assert detector.calibration is None
    assert "calibration" not in detector.notes
    experiment = open_run(run, "--regression.ridge=10")
    assert CALIBRATION.kept(experiment) is None
    CALIBRATION.make(experiment)
    assert CALIBRATION.kept(experiment) == CALIBRATION.key(experiment)


def test_it_needs_the_detector(run, open_run, tmp_path):
    with pytest.raises(ValueError, match="there are none"):
        CALIBRATION.make(open_run(tmp_path / "empty"))
    with pytest.raises(ValueError, match="of other settings"):
        CALIBRATION.make(open_run(run, "--svm.C=1"))


def test_further_positives_are_held_out_too(open_run, tmp_path):
    options = ("--svm.mirrored_positives=true", "--svm.jittered_positives=2", *FEW)
    experiment = open_run(tmp_path / "run", *options)
    SVMS.make(experiment)
    (tmp_path / "run/calibration/folds.safetensors").unlink()
    CALIBRATION.make(experiment)
    assert run_calibration(experiment).trained.any()


def test_mirrored_images_that_detection_looks_at_have_their_maps(run, open_run):
    calibration = remade(run, open_run, *FEW, "--postprocess.mirrored=true")
    source, images = open_run(run).source, open_run(run).train_images
    assert all(source.cache(mirrored=True).has(one.image_id, source.image_keys[one.image_id]) for one in images)
    assert calibration.trained.all()
    assert calibration.slopes.tolist() != remade(run, open_run, *FEW, "--postprocess.mirrored=false").slopes.tolist()


def test_counts_and_table():
    found = Judged(np.float32([2, 1, 0, -1]), np.array([0, 0, 0, 1]), np.array([1, 0, 1, 0], bool), np.array([3, 2]))
    calibration = dataclasses.replace(
        Calibration.fixed(2), thresholds=np.array([0.5, 0.0]), trained=np.array([True, False])
    )
    counts = held_out_counts(found, calibration)
    assert counts.tolist() == [[3, 1, 1], [2, 0, 0]]
    lines = held_out_table(counts, calibration, ["a cat", "dog"]).splitlines()
    assert lines[1].split() == ["a", "cat", "95%", "3", "1", "1"]
    assert lines[2].split() == ["dog", "73%", "2", "0", "0", "uncalibrated"]
