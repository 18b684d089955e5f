from pathlib import Path

import numpy as np
import pytest

from detection.evaluation import at_thresholds, evaluate
from detection.learning import Calibration
from detection.types import AnnotatedImage, Detections

CLASSES = ("cat", "dog")
# Far from each other.
PLACES = np.float32([[0, 0, 10, 10], [40, 0, 50, 10], [80, 0, 90, 10], [0, 40, 10, 50]])


def calibration(*thresholds):
    count = len(thresholds)
    return Calibration(np.ones(count), np.zeros(count), np.ones(count, bool), np.array(thresholds, np.float64))


def image(places, labels, image_id="a", difficult=()):
    flags = np.isin(np.arange(len(labels)), difficult)
    return AnnotatedImage(image_id, Path(image_id), (100, 100), PLACES[places], np.array(labels), flags)


def detections(places, scores, labels, image_id="a"):
    return Detections(image_id, PLACES[places], np.float32(scores), np.array(labels))


def shown(found, images, *thresholds, **settings):
    return at_thresholds(evaluate(found, images, CLASSES, **settings), calibration(*thresholds))


def test_found_missed_false_and_what_is_taken_for_what():
    images = [image([0, 1, 2], [0, 0, 1]), image([0], [1], "b")]
    # A cat found, its repetition; a cat found as dog; a dog below the threshold; a dog on nothing.
    found = [detections([0, 0, 1, 3, 2], [3, 2, 1.5, 1, 0.1], [0, 0, 1, 1, 1]), detections([0], [0.9], [1], "b")]
    result = shown(found, images, 0.5, 0.5)
    assert result.objects.tolist() == [2, 2]
    assert result.found.tolist() == [1, 1]
    assert result.missed.tolist() == [1, 1]
    assert result.false.tolist() == [1, 2]
    assert result.confusion.tolist() == [[1, 1, 0], [0, 1, 1], [1, 1, 0]]
    assert result.confused == [(1, "cat", "dog")]
    assert result.false_per_image == 1.5
    assert result.f1.tolist() == pytest.approx([2 / (2 + 2), 2 / (2 + 3)])
    assert result.line() == "found 2 of 4 objects, missed 2, 3 false boxes (1.50 an image)"


def test_what_is_confused_most_comes_first():
    images = [image([0, 1, 2], [0, 1, 1])]
    found = [detections([0, 1, 2], [3, 2, 1], [1, 0, 0])]
    assert shown(found, images, 0, 0).confused == [(2, "dog", "cat"), (1, "cat", "dog")]


def test_every_object_and_every_shown_box_is_counted_once():
    rng = np.random.default_rng(0)
    images, found = [], []
    for number in range(30):
        places = rng.permutation(4)[: rng.integers(0, 5)]
        images.append(image(places, rng.integers(0, 2, len(places)), str(number), difficult=[0]))
        count = rng.integers(0, 9)
        scores = -np.sort(-rng.normal(0, 1, count))
        found.append(detections(rng.integers(0, 4, count), scores, rng.integers(0, 2, count), str(number)))
    result = shown(found, images, -0.2, 0.3)
    assert result.confusion[:-1].sum(axis=1).tolist() == result.objects.tolist()
    assert result.confusion[:, :-1].sum(axis=0).tolist() == (result.found + result.false).tolist()
    assert result.confusion[-1, -1] == 0
    assert np.diag(result.confusion)[:-1].tolist() == result.found.tolist()
    assert len(result.confused) == 2


def test_thresholds_decide_and_those_of_low_scores_are_not_false():
    images, found = [image([0], [0])], [detections([0, 1, 2], [1, -2, -3], [0, 0, 0])]
    assert shown(found, images, 0, 0).false.tolist() == [0, 0]
    assert shown(found, images, -2, 0).false.tolist() == [1, 0]
    assert shown(found, images, 1.5, 0).missed.tolist() == [1, 0]


def test_difficult_objects_are_in_no_figure():
    images = [image([0, 1], [0, 1], difficult=[0, 1])]
    result = shown([detections([0, 1], [1, 0.5], [0, 0])], images, 0, 0)
    assert result.objects.tolist() == [0, 0]
    assert result.false.tolist() == [1, 0]
    assert result.confusion.tolist() == [[0, 0, 0], [0, 0, 0], [1, 0, 0]]
    assert shown([detections([0], [1], [0])], images, 0, 0, difficult="count").found.tolist() == [1, 0]


def test_json():
    found = shown([detections([0], [1], [0])], [image([0, 1], [0, 1])], 0.25, 0).to_json()
    assert (found["found"], found["missed"], found["false"], found["false_per_image"]) == (1, 1, 0, 0)
    assert found["per_class"]["cat"] == {
        "threshold": 0.25, "probability": pytest.approx(1 / (1 + np.exp(-0.25))), "calibrated": True,
        "objects": 1, "found": 1, "missed": 0, "false": 0,
    }  # fmt: skip
    assert found["confusion"] == {"classes": ["cat", "dog", "nothing"], "found_as": [[1, 0, 0], [0, 0, 1], [0, 0, 0]]}


def test_other_classes():
    with pytest.raises(ValueError, match="expected one a class, 2, got 3"):
        shown([], [image([0], [0])], 0, 0, 0)
