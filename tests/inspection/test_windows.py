import dataclasses

import numpy as np
import pytest

from detection.learning import PostprocessSettings
from detection.types import Proposals


@pytest.mark.parametrize("box", [(8, 8, 50, 60), (30, 12, 44, 40)])
def test_contributions_and_constant_are_the_score(explain, small_detector, box):
    found = explain(box, 1)
    added = sum(stage.contributions.sum() for stage in found.pooled.stages)
    assert added + found.constant == pytest.approx(found.score)
    assert found.constant == pytest.approx(-0.5, abs=1e-4), "with SVMs on pooled vectors nothing but the bias"
    assert found.score == found.scores[1] < np.inf
    assert found.is_proposal == (box == (8, 8, 50, 60))
    assert found.classes == small_detector.classes


def test_the_best_class_and_the_nearest_object(explain):
    found = explain((62, 20, 110, 80))
    assert found.label == found.scores.argmax() != 2
    assert found.nearest == 1
    assert found.overlap == pytest.approx(48 * 60 / (50 * 60))
    nothing = explain((0, 0, 9, 9))
    assert (nothing.nearest, nothing.overlap) == (-1, 0.0)


def test_the_whole_image_and_one_px_of_it_can_be_explained(explain):
    assert explain((0, 0, 120, 90)).is_proposal
    assert not explain((119, 89, 120, 90)).is_proposal


@pytest.mark.parametrize("first", [False, True])
def test_what_nms_did(explain, small_detector, first):
    """Of the two boxes that overlap most one suppresses the other."""
    settings = PostprocessSettings(nms_before_regression=first)
    detector = dataclasses.replace(small_detector, postprocess_settings=settings)
    one, other = (explain(box, 0, detector) for box in ((8, 8, 50, 60), (10, 10, 50, 58)))
    better, worse = (one, other) if one.score > other.score else (other, one)
    assert worse.nms.outcome == "suppressed"
    assert worse.rival_score >= worse.score
    assert worse.rival.shape == (4,)
    assert better.nms.outcome in ("kept", "suppressed")
    if better.nms.outcome == "kept":
        assert better.rival is None
        assert np.isnan(better.rival_score)


BOXES = ((8, 8, 50, 60), (0, 0, 120, 90), (62, 20, 110, 80), (10, 10, 50, 58))


@pytest.mark.parametrize(
    "more",
    [
        {"voting_iou": 0.2},
        {"rounds": 2, "voting_iou": 0.2},
        {"mirrored": True},
        {"mirrored": True, "rounds": 2, "nms_before_regression": True},
    ],
)
def test_what_is_kept_is_what_is_detected(explain, small_detector, noise, more):
    """The kept proposals are the detections, with their scores and boxes; a further round's are of no proposal."""
    detector = dataclasses.replace(small_detector, postprocess_settings=PostprocessSettings(**more))
    pyramid = detector.extractor.pyramid("a", noise, mirrored=True)
    found = detector.detect_proposals(Proposals("a", (90, 120), np.array(BOXES, np.float32), "test"), pyramid)
    kept = 0
    for box in BOXES:
        one = explain(box, 0, detector)
        score = one.score if one.mean_score is None else one.mean_score
        assert (one.mean_score is None) == ("mirrored" not in more)
        if one.nms.outcome == "kept":
            kept += 1
            detection = found.boxes[(found.labels == 0) & (found.scores == np.float32(score))].tolist()
            assert (one.refined if one.nms.voted is None else np.float32(one.nms.voted)).tolist() in detection
            assert (one.nms.voted is None) == ("voting_iou" not in more)
    assert kept >= 1 or "rounds" in more
    assert "rounds" in more or kept == (found.labels == 0).sum()


@pytest.mark.parametrize(
    ("box", "label", "message"),
    [
        ((5, 5, 5, 9), 0, "expected x1 < x2"),
        ((5, 5, 9, 5), 0, "expected x1 < x2"),
        ((9, 5, 5, 9), 0, "expected x1 < x2"),
        ((0, 0, 120.5, 50), 0, "window: expected .* inside"),
        ((0, 0, 50, 90.5), 0, "window: expected .* inside"),
        ((-0.5, 0, 50, 50), 0, "window: expected .* inside"),
        ((0, -0.5, 50, 50), 0, "window: expected .* inside"),
        ((0, 0, 50), 0, "expected x1"),
        ((0, 0, 50, 50), 2, "class cow: expected one that was trained"),
    ],
)
def test_what_cannot_be_explained(explain, box, label, message):
    with pytest.raises(ValueError, match=message):
        explain(box, label)
