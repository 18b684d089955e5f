"""Detectors, windows, maps and runs that an earlier version made still serve; make_golden.py tells how it made them."""

import dataclasses
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from detection import Detector, config
from detection.commands import session
from detection.data import read_coco_results
from detection.evaluation import evaluate
from detection.features import MapCache
from detection.pipeline.keys import image_key
from detection.pipeline.runner import run_all
from detection.proposals import ProposalStore

GOLDEN = Path(__file__).parent
EXPECTED = json.loads((GOLDEN / "expected.json").read_text(encoding="utf-8"))
DETECTORS = EXPECTED["detections"]
# In px and as SVM margins. Another order of summation rounds some values of a map to the next float16; these hold with
# one value in twenty moved so.
BOXES, SCORES = 1e-2, 1e-3


@pytest.fixture(autouse=True)
def working_folder(tmp_path, monkeypatch):
    """A copy to be changed; a run's paths are relative to where it was made."""
    for name in ("images", "run", "detector_fc"):
        shutil.copytree(GOLDEN / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def experiment():
    """The run under the settings that its folder keeps."""
    settings = config.read_settings("--run", "run", "--workers=1")
    return session.open_experiment(settings, Console(file=io.StringIO()))


def assert_close(found, expected):
    assert found.labels.tolist() == expected["labels"]
    np.testing.assert_allclose(found.boxes, expected["boxes"], rtol=0, atol=BOXES)
    np.testing.assert_allclose(found.scores, expected["scores"], rtol=0, atol=SCORES)


def proposals_of(experiment, image):
    store = ProposalStore("run/proposals", experiment.settings.proposals)
    assert store.has(image.image_id, image_key(image))
    return store.read(image.image_id, image_key(image))


def detections_in(run, experiment):
    ids = [one.image_id for one in experiment.test_images]
    return read_coco_results(Path(run) / "detections" / "test.json", ids)


@pytest.mark.parametrize("folder", DETECTORS)
def test_detectors_find_the_same(folder):
    detector = Detector.load(folder)
    assert list(detector.classes) == EXPECTED["classes"]
    for image_id, expected in DETECTORS[folder].items():
        path = Path("images/VOCdevkit/VOC2007/JPEGImages") / f"{image_id}.jpg"
        assert_close(detector.detect(path, image_id), expected)


@pytest.mark.parametrize("image_id", DETECTORS["run/detector"])
def test_probabilities(image_id):
    expected = DETECTORS["run/detector"][image_id]
    scores, labels = np.array(expected["scores"], np.float32), np.array(expected["labels"])
    probabilities = Detector.load("run/detector").calibration.probabilities(scores, labels)
    np.testing.assert_allclose(probabilities, expected["probabilities"], rtol=1e-6)


def test_proposals_are_read_under_the_settings_of_the_run(experiment):
    assert ProposalStore("run/proposals", experiment.settings.proposals).key == EXPECTED["windows_key"]
    proposals = {one.image_id: proposals_of(experiment, one).boxes for one in experiment.images}
    assert {name: len(boxes) for name, boxes in proposals.items()} == EXPECTED["windows"]
    for image_id, boxes in EXPECTED["first_windows"].items():
        assert proposals[image_id][: len(boxes)].tolist() == boxes


def test_proposals_and_maps_give_the_detections(experiment):
    """The key is given, not computed: maps of an older key are still read as what they are."""
    (image,) = [one for one in experiment.test_images if one.image_id == EXPECTED["maps_of"]]
    pyramid = MapCache("run/features", EXPECTED["maps_key"]).read(image.image_id, image_key(image))
    found = Detector.load("run/detector").detect_proposals(proposals_of(experiment, image), pyramid)
    assert_close(found, DETECTORS["run/detector"][image.image_id])


def test_detections_on_file_are_evaluated(experiment):
    found, settings = detections_in("run", experiment), dataclasses.asdict(experiment.settings.evaluation)
    result = evaluate(found, experiment.test_images, experiment.classes, **settings).to_json()
    written = json.loads(Path("run/evaluation/test.json").read_text(encoding="utf-8"))
    assert result["mAP"] == pytest.approx(EXPECTED["mean_ap"])
    assert result["per_class"] == pytest.approx(written["per_class"])
    assert (result["counts"], result["settings"]) == (written["counts"], written["settings"])


def test_the_run_goes_on(experiment, caplog):
    """Maps of an older version are made again, and all that follows from them; proposals are those on file."""
    before = {path: path.read_bytes() for path in Path("run/proposals").iterdir()}
    caplog.set_level("INFO", "detection")
    run_all(experiment)
    assert {path: path.read_bytes() for path in Path("run/proposals").iterdir()} == before
    assert "proposals: done before" in caplog.text
    for one, old in zip(detections_in("run", experiment), detections_in(GOLDEN / "run", experiment), strict=True):
        assert_close(one, {"boxes": old.boxes, "scores": old.scores, "labels": old.labels.tolist()})
