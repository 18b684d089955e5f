import dataclasses

import numpy as np
import pytest

from detection.features import FeatureExtractor
from detection.inspection.explanation import draw_explanation, explanation_json, explanation_lines
from detection.learning import PostprocessSettings


def test_the_words(explain):
    lines = explanation_lines(explain((8, 8, 50, 60), 0))
    assert lines[0] == "window 8,8,50,60 of image a: one of its proposals"
    assert "(chosen)" in lines[1]
    assert lines[1].endswith("the area nearest to 224^2 decides")
    assert [line.split(":")[0] for line in lines[2:]] == [
        "stride 16", "stride 32", "scores", "score of cat", "nearest object", "box after regression", "NMS",
    ]  # fmt: skip
    assert "cow" not in lines[4], "a class that was not trained has no score"
    assert "none of its proposals" in explanation_lines(explain((8, 8, 50, 61), 0))[0]
    assert "cat 10,10,50,60, IoU" in lines[6]


def test_the_words_where_the_mirrored_image_counts_and_others_vote(explain, small_detector):
    settings = PostprocessSettings(mirrored=True, voting_iou=0.3)
    found = explain((8, 8, 50, 60), 0, dataclasses.replace(small_detector, postprocess_settings=settings))
    lines, data = explanation_lines(found), explanation_json(found, 3)
    assert lines[6] == f"mean with its score in the mirrored image, which counts: {found.mean_score:.3f}"
    assert data["mean_score"] == found.mean_score
    if found.nms.outcome == "suppressed":
        assert data["nms"]["voted"] is None
        found = explain((10, 10, 50, 58), 0, dataclasses.replace(small_detector, postprocess_settings=settings))
        lines, data = explanation_lines(found), explanation_json(found, 3)
    assert lines[-1] == "box after voting: " + ",".join(f"{one:.4g}" for one in data["nms"]["voted"])


def test_the_words_under_the_released_rule(explain):
    found = explain((8, 8, 50, 60), 0)
    released = dataclasses.replace(found, settings=dataclasses.replace(found.settings, scale_rule="side"))
    assert "short side nearest to the one that gives the window 224^2" in explanation_lines(released)[1]


def test_the_data(explain):
    data = explanation_json(explain((8, 8, 50, 60), 0), 3)
    assert data["scores"]["cow"] is None
    assert data["constant"] + sum(stage["adds"] for stage in data["stages"]) == pytest.approx(data["scores"]["cat"])
    assert len(data["filters"]) == 3
    for one in data["filters"]:
        assert len(one["bins"]) == 5
        assert sum(each["adds"] for each in one["bins"]) == pytest.approx(one["adds"])


def test_of_means_no_cell_is_the_winner(explain, small_detector, noise):
    extractor = small_detector.extractor
    means = FeatureExtractor(dataclasses.replace(extractor.settings, pooling="mean"), extractor.backbone)
    found = explain((8, 8, 50, 60), 0, dataclasses.replace(small_detector, extractor=means))
    data = explanation_json(found, 2)
    assert [list(one["bins"][0]) for one in data["filters"]] == [["value", "adds"]] * 2
    assert data["constant"] + sum(stage["adds"] for stage in data["stages"]) == pytest.approx(data["scores"]["cat"])
    assert [stage["stage"] for stage in data["stages"]] == ["stride 16", "stride 32"]
    assert draw_explanation(noise, found, 2).shape == draw_explanation(noise, explain((8, 8, 50, 60), 0), 2).shape


def test_the_figure(explain, noise):
    found = explain((8, 8, 50, 60), 0)
    small, large = (draw_explanation(noise, found, count) for count in (1, 4))
    assert small.dtype == np.uint8
    assert small.shape[1] == large.shape[1]
    assert small.shape[0] < large.shape[0]
    other = draw_explanation(noise, explain((62, 20, 110, 80), 0), 1)
    assert small.shape != other.shape or (small != other).any()
