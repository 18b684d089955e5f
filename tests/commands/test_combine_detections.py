import numpy as np
import pytest

from detection.commands.combine import combine_detections, united
from detection.geometry import nms
from detection.learning import PostprocessSettings, postprocess
from detection.pipeline.stages.detections import read_detections
from detection.types import RegionScores


def record(seed, proposals=30, classes=2, image_id="a"):
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 60, (proposals, 1, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(10, 40, (proposals, 1, 2))], axis=2).astype(np.float32)
    return RegionScores(image_id, np.repeat(boxes, classes, axis=1), rng.normal(size=(proposals, classes)).astype("f4"))


def test_nms_on_the_union():
    parts = [record(0), record(1, proposals=20)]
    both = united(parts)
    assert both.scores.shape == (50, 2)
    found = postprocess(both, (200, 200), PostprocessSettings())
    for label in (0, 1):
        boxes = np.concatenate([one.boxes[:, label] for one in parts])
        scores = np.concatenate([one.scores[:, label] for one in parts])
        kept = nms(boxes, scores, 0.3)
        assert sorted(found.scores[found.labels == label]) == sorted(scores[kept])


def test_other_images_or_classes_are_refused():
    for other in (record(1, image_id="b"), record(1, classes=3)):
        with pytest.raises(ValueError, match="combine: expected scores of one image"):
            united([record(0), other])
    with pytest.raises(ValueError, match="combine"):
        united([])


def test_a_detector_with_itself_finds_the_same(open_run, run):
    experiment = open_run(run)
    twice = combine_detections([experiment, experiment], experiment.settings.postprocess, experiment.work)
    once = read_detections(experiment)
    assert [one.scores.tolist() for one in twice] == [one.scores.tolist() for one in once]
    assert [one.labels.tolist() for one in twice] == [one.labels.tolist() for one in once]
