"""What is found in training images by SVMs that were not trained on them."""

from pathlib import Path

import numpy as np

from detection import Detector
from detection.learning import image_folds
from detection.pipeline.held_out import HeldOut, judged
from detection.types import AnnotatedImage, Detections


def divided(experiment, folds):
    images = experiment.train_images
    return HeldOut(experiment, images, image_folds([one.image_id for one in images], folds, 0))


def test_training_leaves_the_svms_of_folds(run, open_run):
    experiment = open_run(run)
    kept = divided(experiment, 5).svms()
    assert (run / "calibration/folds.safetensors").is_file()
    (run / "calibration/folds.safetensors").unlink()
    for one, other in zip(kept, divided(open_run(run), 5).svms(), strict=True):
        np.testing.assert_allclose(one.weights, other.weights, atol=0.1 * np.abs(one.weights).max())
    other = divided(open_run(run, "--calibration.folds=4"), 4).svms()
    assert len(other) == 4
    (run / "detector/samples.csv").unlink()
    assert divided(open_run(run), 5).svms() is None


def test_each_image_is_searched_by_the_svms_of_its_fold(run, open_run):
    experiment = open_run(run, "--calibration.folds=4")
    held_out, detector = divided(experiment, 4), Detector.load(run / "detector")
    svms = held_out.svms()
    assert len(svms) == 4
    assert all(one.weights.shape == detector.svms.weights.shape for one in svms)
    found = list(held_out.detections(detector, svms, held_out.images))
    assert [one.image_id for one in found] == [one.image_id for one in held_out.images]
    for one, image in zip(found, held_out.images, strict=True):
        proposals, pyramid = experiment.source.proposals(image), experiment.source.pyramid(image)
        own = svms[held_out.fold_of[image.image_id]]
        features = detector.extractor.pool(pyramid, proposals.boxes)
        assert set(one.scores.tolist()) <= set(own.score(features).ravel().tolist())


def test_their_margins_are_like_those_of_the_detector(run, open_run):
    """What the detector itself finds in its training images has higher margins on objects, by not much."""
    held_out, detector = divided(open_run(run, "--calibration.folds=4"), 4), Detector.load(run / "detector")
    found = list(held_out.detections(detector, held_out.svms(), held_out.images))
    own = list(held_out.detections(detector, [detector.svms] * 4, held_out.images))
    classes = held_out.experiment.classes
    right = [
        (result.right & (result.scores > -1))
        for result in (judged(one, held_out.images, classes) for one in (found, own))
    ]
    assert 0 < right[0].sum() <= right[1].sum()


def test_what_counts_is_judged():
    boxes = np.float32([[0, 0, 10, 10], [40, 0, 50, 10], [80, 0, 90, 10]])
    labels, difficult = np.array([0, 1, 0]), np.array([False, False, True])
    image = AnnotatedImage("a", Path("a"), (100, 100), boxes, labels, difficult)
    found = Detections("a", boxes, np.float32([0.5, -1, -1.5]), np.zeros(3, np.int64))
    result = judged([found], [image], ["cat", "dog"])
    assert result.scores.tolist() == [0.5, -1]
    assert result.labels.tolist() == [0, 0]
    assert result.right.tolist() == [True, False]
    assert result.objects.tolist() == [1, 1]
