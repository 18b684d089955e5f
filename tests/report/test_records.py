from dataclasses import replace

import numpy as np
import pytest

from detection.report import ReportSettings


def test_images_must_be_those_evaluated(make_run):
    run = make_run(["cat"])
    with pytest.raises(ValueError, match="report of run: expected the 12 evaluated images in order, got 11 images"):
        replace(run, images=run.images[1:])


def test_what_is_shown_is_what_reaches_the_threshold(make_run):
    run = make_run(["cat", "dog"])
    for label, one in enumerate(run.evaluation.per_class):
        shown = one.matches.scores >= -0.75
        assert shown[: run.shown_ranks(label)].all()
        assert run.shown_ranks(label) == shown.sum()
        assert run.found_objects(label).sum() == run.shown.found[label] == one.matches.hits[shown].sum()
        assert run.probabilities(label) == pytest.approx(1 / (1 + np.exp(-one.matches.scores.astype(float))))


def test_a_score_is_said_as_a_probability(make_run):
    run = make_run(["cat"])
    assert [run.said(0, score) for score in (1.0, 9.0, -9.0)] == ["73%", ">99%", "<1%"]
    assert replace(run, calibration=replace(run.calibration, trained=np.array([False]))).said(0, 1.0) == "~73%"


@pytest.mark.parametrize(
    ("key", "value"),
    [("photos", -1), ("photo_side", 1), ("pictures", -1), ("picture_side", 10), ("max_megabytes", 0), ("bins", 1)],
)
def test_settings_are_checked(key, value):
    with pytest.raises(ValueError, match=f"report {key}: expected a number >= "):
        ReportSettings(**{key: value})
