import shutil

import pytest

from detection.data import read_coco_results
from detection.detector import Detector
from detection.pipeline.stages import detections
from detection.pipeline.stages.detections import DETECTIONS, detect_images, read_detections
from detection.storage import read_arrays


@pytest.fixture
def experiment(run, open_run):
    return open_run(run)


def content(found):
    return [(one.image_id, one.boxes.tobytes(), one.scores.tobytes(), one.labels.tobytes()) for one in found]


def test_parts_are_used_again(experiment, tmp_path, monkeypatch):
    arguments = (experiment.run.detector, tmp_path / "parts", "key", experiment.work)
    found = detect_images(experiment.source, experiment.test_images, *arguments)
    assert content(found) == content(read_detections(experiment))
    arrays, metadata = read_arrays(tmp_path / "parts" / "sub%20dir%2Ftest%200.safetensors")
    assert set(arrays) == {"boxes", "scores", "labels"}
    assert metadata["image_id"] == "sub dir/test 0"

    def fail(*_):
        raise AssertionError("detected again")

    monkeypatch.setattr(detections, "shared_detector", fail)
    assert content(detect_images(experiment.source, experiment.test_images, *arguments)) == content(found)
    with pytest.raises(AssertionError, match="detected again"):
        detect_images(
            experiment.source, experiment.test_images, experiment.run.detector, tmp_path / "parts", "other",
            experiment.work,
        )  # fmt: skip


def test_made_again_and_cut_short(experiment, open_run, monkeypatch):
    """The record of what was there before must not vouch for half of it."""
    folder = experiment.run.detections
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    shutil.rmtree(folder)

    def stopped(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(detections, "write_columns", stopped)
        with pytest.raises(KeyboardInterrupt):
            DETECTIONS.make(experiment)
    assert sorted(one.name for one in folder.iterdir()) == ["parts", "test.json"]
    DETECTIONS.make(open_run(experiment.run.path))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_turned_back_before_there_were_any(experiment, open_run, monkeypatch):
    """The detector in the folder still does what the run's detections and settings say."""
    run, before = experiment.run.path, (experiment.run.detector / "detector.yaml").read_bytes()

    def stopped(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(detections, "write_coco_results", stopped)
        other = open_run(run, "--postprocess.voting_iou=0.3")
        with pytest.raises(KeyboardInterrupt):
            DETECTIONS.make(other)
    assert (experiment.run.detector / "detector.yaml").read_bytes() == before
    DETECTIONS.make(other)
    assert Detector.load(run / "detector").postprocess_settings.voting_iou == 0.3
    detector = Detector.load(run / "detector")
    expected = [
        detector.detect_proposals(*other.source.inputs(one, detector.postprocess_settings)) for one in other.test_images
    ]
    assert content(read_detections(other)) == content(expected)


def test_a_damaged_part_is_made_again(experiment, tmp_path):
    arguments = (experiment.run.detector, tmp_path / "parts", "key", experiment.work)
    found = detect_images(experiment.source, experiment.test_images, *arguments)
    (tmp_path / "parts" / "test1.safetensors").write_bytes(b"x")
    assert content(detect_images(experiment.source, experiment.test_images, *arguments)) == content(found)


def test_columns_are_read_and_without_them_the_json(run, open_run, monkeypatch, caplog):
    columns = run / "detections" / "test.safetensors"
    of_json = content(read_coco_results(run / "detections" / "test.json", ids_of(open_run(run))))
    with monkeypatch.context() as patch:
        patch.setattr(detections, "read_coco_results", None)
        assert content(read_detections(open_run(run))) == of_json
    columns.write_bytes(columns.read_bytes()[:-1])
    assert content(read_detections(open_run(run))) == of_json
    assert f"{columns}: expected a whole safetensors file" in caplog.text
    columns.unlink()
    assert content(read_detections(open_run(run))) == of_json


def ids_of(experiment):
    return [one.image_id for one in experiment.test_images]


def test_an_unreadable_image_is_listed(experiment, tmp_path):
    experiment.source.cache().path("test1").unlink()
    image = experiment.test_images[1]
    broken = type(image)(image.image_id, tmp_path / "x", image.size, image.boxes, image.labels, image.difficult)
    found = detect_images(
        experiment.source, [experiment.test_images[0], broken], experiment.run.detector, tmp_path / "parts", "key",
        experiment.work,
    )  # fmt: skip
    assert [one.image_id for one in found] == ["sub dir/test 0"]
    assert [one.file for one in experiment.work.problems] == [str(tmp_path / "x")]


@pytest.mark.parametrize(
    ("option", "holds"),
    [
        ("--postprocess.max_per_class=1", lambda one: len(one.labels) == len(set(one.labels.tolist()))),
        ("--postprocess.min_score=-0.5", lambda one: (one.scores >= -0.5).all()),
    ],
)
def test_detections_are_of_the_settings_in_force(run, open_run, option, holds):
    before = read_detections(open_run(run))
    experiment = open_run(run, option)
    DETECTIONS.make(experiment)
    found = read_detections(experiment)
    assert sum(len(one.scores) for one in found) > 0
    assert all(map(holds, found))
    assert not all(map(holds, before))
