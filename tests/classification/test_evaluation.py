from pathlib import Path

import numpy as np
import pytest

from detection.classification.evaluation import accuracy, evaluate_classification
from detection.evaluation import IntervalSettings, area_ap, difference, eleven_point_ap, intervals, precision_recall
from detection.types import ClassificationImage

CLASSES = ("cat", "dog")


def images_of(presence):
    return [ClassificationImage(f"image {n}", Path("x.jpg"), np.array(row, np.int8)) for n, row in enumerate(presence)]


def by_the_devkit(scores, presence, metric):
    """VOCevalcls.m: rank by confidence, pass over 0, one true positive for each 1."""
    order = np.argsort(-scores, kind="stable")
    truth = presence[order]
    curve = precision_recall(truth[truth != 0] == 1, int((presence == 1).sum()))
    return {"voc07": eleven_point_ap, "voc10": area_ap}[metric](*curve)


def test_by_hand():
    images = images_of([(1, -1), (-1, 1), (0, -1), (1, -1)])
    # cat: ranked 2 (ignored), 1 (no), 0 (yes), 3 (yes): precision 1/2 at recall 1/2, 2/3 at 1.
    found = evaluate_classification([[0.5, 0], [0.8, 1], [0.9, 0], [0.1, 0]], images, CLASSES, "voc10")
    assert found.per_class[0].ap == pytest.approx(2 / 3)
    assert found.per_class[1].ap == 1
    assert (found.per_class[0].objects, found.per_class[0].ignored) == (2, 1)


@pytest.mark.parametrize("metric", ["voc07", "voc10"])
@pytest.mark.parametrize("seed", range(5))
def test_equals_the_devkits_rule(metric, seed):
    rng = np.random.default_rng(seed)
    presence = rng.integers(-1, 2, (40, 2))
    presence[0] = 1
    scores = rng.permutation(80).reshape(40, 2).astype(np.float32)
    found = evaluate_classification(scores, images_of(presence), CLASSES, metric)
    for label in (0, 1):
        expected = by_the_devkit(scores[:, label], presence[:, label], metric)
        assert found.per_class[label].ap == pytest.approx(expected, abs=1e-12)


def test_bootstrap_takes_the_result():
    rng = np.random.default_rng(0)
    presence = rng.choice([-1, 1], (60, 2))
    good, bad = presence + rng.normal(0, 1, (60, 2)), rng.normal(0, 1, (60, 2))
    first, second = (evaluate_classification(one, images_of(presence), CLASSES) for one in (bad, good))
    settings = IntervalSettings(resamples=100)
    bound = intervals(second, settings).mean_ap
    assert bound.low <= second.mean_ap <= bound.high
    assert difference(first, second, settings).verdict == "better"


def test_accuracy():
    images = images_of([(1, -1), (-1, 1), (1, 1), (-1, -1), (0, 1), (-1, 1)])
    scores = np.array([[2, 1], [2, 1], [1, 2], [2, 1], [2, 1], [1, 2]])
    # Counted: 0 right, 1 wrong, 2 right, 5 right; 3 shows nothing, 4's best is difficult alone.
    assert accuracy(scores, images) == 0.75
    assert np.isnan(accuracy(np.zeros((0, 2)), []))


def test_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match=r"expected scores \(1, 2\), got \(1, 3\)"):
        evaluate_classification(np.zeros((1, 3)), images_of([(1, -1)]), CLASSES)
    with pytest.raises(ValueError, match="expected -1, 0 or 1"):
        ClassificationImage("x", Path("x"), np.array([2], np.int8))
