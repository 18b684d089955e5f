import dataclasses
import json

import numpy as np
import pytest

from detection.evaluation import MissCause, explain_misses, score_cuts
from detection.pipeline.stages import misses
from detection.pipeline.stages.detections import DETECTIONS, read_detections
from detection.pipeline.stages.evaluation import evaluation
from detection.pipeline.stages.misses import diagnosis, read_causes, write_causes
from detection.storage import read_sealed_json

NONE = MissCause("no proposal", None, 0.0, None, 0.0, None)
LOW = MissCause("scored low", (0.0, 0.0, 9.0, 9.0), 0.8, (0.0, 0.0, 9.0, 10.0), 0.9, -1.5)


def test_causes_on_file(tmp_path):
    path = tmp_path / "x.json"
    causes = {("a b", 1): LOW, ("sub/c", 0): NONE}
    assert read_causes(path, "key") is None
    write_causes(path, "key", causes)
    assert read_causes(path, "key") == causes
    assert read_causes(path, "other") is None
    path.write_text(json.dumps({**json.loads(path.read_text()), "format_version": 0}))
    assert read_causes(path, "key") is None


@pytest.fixture
def experiment(run, open_run):
    # A stricter match than the detector was made for, so that some objects are missed.
    return open_run(run, "--evaluation.iou_threshold=0.8")


MORE = ("--postprocess.voting_iou=0.3", "--postprocess.rounds=2", "--postprocess.mirrored=true")


@pytest.mark.parametrize("more", [(), MORE])
def test_every_miss_has_its_cause(run, open_run, more):
    experiment = open_run(run, "--evaluation.iou_threshold=0.8", *more)
    DETECTIONS.make(experiment)
    result = evaluation(experiment)
    found = diagnosis(experiment)
    assert found.missed
    assert all(one.cause is not None for one in found.missed)
    assert sum(found.causes.values()) == len(found.missed)
    detector = misses.shared_detector(experiment.run.detector, misses.MISSES.key(experiment), "cpu")
    images = {one.image_id: one for one in experiment.test_images}
    records = {one.image_id: one for one in read_detections(experiment)}
    for miss in found.missed:
        truth = images[miss.image_id]
        proposals, pyramid = experiment.source.inputs(truth, detector.postprocess_settings)
        regions = detector.scored(proposals, pyramid)
        assert (len(regions.boxes) > len(proposals.boxes)) == bool(more)
        expected = explain_misses(
            truth, [miss.row], dataclasses.replace(proposals, boxes=regions.boxes), regions.refined(),
            records[miss.image_id], score_cuts(result), detector.postprocess_settings.max_per_class, result.settings,
            voting=bool(more),
        )  # fmt: skip
        assert [miss.cause] == expected


def test_scores_before_suppression_give_the_detections(experiment):
    """`score_proposals` is what `detect_proposals` suppresses."""
    detector = misses.shared_detector(experiment.run.detector, "x", "cpu")
    truth = experiment.test_images[1]
    scored = detector.score_proposals(experiment.source.proposals(truth), experiment.source.pyramid(truth))
    found = detector.detect_proposals(experiment.source.proposals(truth), experiment.source.pyramid(truth))
    for score, label in zip(found.scores, found.labels, strict=True):
        assert (scored.scores[:, label] == score).any()
    assert scored.scores.shape[1] == 2
    assert np.isfinite(scored.scores).all()


def test_kept_on_file_and_not_computed_again(experiment, run, open_run, monkeypatch):
    first = diagnosis(experiment)
    path = run / "evaluation/test.misses.json"
    assert path.is_file()
    kept = run / "evaluation/test.diagnosis.json"
    on_file = read_sealed_json(kept, "none")
    assert on_file == json.loads(json.dumps(first.to_json()))
    whole = kept.read_text()
    # One digit of a figure; one of an earlier version, which has no fingerprint; cut off; absent.
    changed = whole.replace('"near_iou": 0.1', '"near_iou": 0.2')
    for text, is_whole in ((whole, True), (json.dumps(on_file), True), (changed, False), (whole[:99], False)):
        kept.write_text(text)
        assert misses.has_diagnosis(experiment) is is_whole
    kept.unlink()
    assert not misses.has_diagnosis(experiment)

    def fail(*_, **__):
        raise AssertionError("computed again")

    monkeypatch.setattr(misses, "explain_misses", fail)
    again = diagnosis(open_run(run, "--evaluation.iou_threshold=0.8"))
    assert again.missed == first.missed
    with pytest.raises(AssertionError, match="computed again"):
        diagnosis(open_run(run, "--evaluation.iou_threshold=0.85"))


def test_image_that_is_gone_has_no_proposal(run, open_run):
    experiment = open_run(run, "--evaluation.iou_threshold=0.99")
    image = next(one for one in experiment.test_images if len(one.labels))
    experiment.source.proposals(image)
    for folder in ("proposals", "features"):
        for path in (run / folder).rglob("*"):
            if path.is_file() and path.name.startswith(image.image_id.replace("/", "%2F").replace(" ", "%20")):
                path.unlink()
    object.__setattr__(image, "path", run / "absent.jpg")
    found = diagnosis(experiment)
    gone = [one for one in found.missed if one.image_id == image.image_id]
    assert gone
    assert all(one.cause == NONE for one in gone)
    assert any("absent.jpg" in one.file for one in experiment.work.problems)


def test_what_the_least_score_drops_was_scored_low(run, open_run):
    """No detection is left, so each object was missed; a box good enough was found for some, and scored too low."""
    experiment = open_run(run, "--postprocess.min_score=50")
    DETECTIONS.make(experiment)
    found = diagnosis(experiment)
    causes = [one.cause.cause for one in found.missed]
    assert len(causes) == sum(len(one.labels) for one in experiment.test_images)
    assert "scored low" in causes
    assert set(causes) <= {"scored low", "moved away", "no proposal"}
