"""Settings of what is made of scores, and of a run as a whole: each changes detections, figures or pages."""

import dataclasses
import re

import numpy as np
import pytest
from wires import Wire

from detection.data import DataError
from detection.pipeline.detector_parts import run_calibration
from detection.pipeline.stages.calibration import CALIBRATION
from detection.pipeline.stages.detections import DETECTIONS, read_detections
from detection.pipeline.stages.evaluation import EVALUATION, evaluation
from detection.pipeline.stages.images import prepare
from detection.pipeline.stages.misses import diagnosis
from detection.pipeline.stages.report import REPORT, page
from detection.storage import read_json
from detection.types import Detections


def detections(experiment):
    """What is found in the test images."""
    DETECTIONS.make(experiment)
    return [(one.image_id, one.boxes.tolist(), one.scores.tolist()) for one in read_detections(experiment)]


def calibrated(experiment):
    """What margins of the detector mean, and from which one on classes are shown."""
    CALIBRATION.make(experiment)
    return [one.tolist() for one in run_calibration(experiment).to_arrays()[0].values()]


def figures(experiment):
    """The evaluation on file, without the settings it tells."""
    DETECTIONS.make(experiment)
    EVALUATION.make(experiment)
    found = read_json(experiment.run.evaluation / "test.json")
    intervals = {name: one for name, one in found.get("intervals", {}).items() if name in ("mAP", "per_class")}
    return found["mAP"], found["per_class"], found.get("counts"), intervals


def _detect_objects(experiment, label_of):
    found = [
        Detections(one.image_id, one.boxes, np.ones(len(one.labels), np.float32), label_of(one.labels))
        for one in experiment.test_images
    ]
    experiment.once("detections", DETECTIONS.key(experiment), lambda: found)


def exact(experiment):
    """The evaluation of the objects themselves as detections: every IoU is 1."""
    _detect_objects(experiment, lambda labels: labels)
    return evaluation(experiment).mean_ap


def confused(experiment):
    """The kinds of errors where each object is taken for one of the other class."""
    _detect_objects(experiment, lambda labels: 1 - labels)
    return diagnosis(experiment, keep=False).shares


def failures(experiment):
    """What the diagnosis says of the detections."""
    found = diagnosis(experiment)
    return found.shares, found.repaired, [dataclasses.astuple(one)[:6] for one in found.missed]


def shown(experiment):
    """The report but for its settings, times and what it holds of both."""
    REPORT.make(experiment)
    text = page(experiment).read_text(encoding="utf-8")
    return text[: text.index('id="h-run"')]


def reliable(experiment):
    """`shown`, of a detector that is calibrated anew."""
    CALIBRATION.make(experiment)
    return shown(experiment)


def begun_with(experiment):
    """How boxes are chosen, and what the run says of its preset."""
    return experiment.settings.postprocess, experiment.preset_overrides


def classes(experiment):
    """The class list, or why there is none."""
    try:
        return experiment.classes
    except ValueError as error:
        return str(error)


def maps(experiment):
    """The photos whose maps are on disk."""
    prepare(experiment)
    return sorted(path.name for path in experiment.run.features.rglob("*.safetensors"))


def images(experiment):
    """The images of both sets."""
    return [[one.image_id for one in part] for part in (experiment.train_images, experiment.test_images)]


def outcome(experiment):
    """What becomes of a set with a fault."""
    try:
        return images(experiment), len(experiment.work.problems)
    except DataError as error:
        return str(error)


def written(experiment):
    """Where the class list is."""
    assert experiment.classes
    return experiment.run.classes_file


# Matches that lie close to the threshold, and objects that are missed.
FEW = ("--calibration.folds=2", "--calibration.min_found=2")
STRICT, DIFFICULT = "--evaluation.iou_threshold=0.75", '--dataset.test=[{"split": "test", "root": "{difficult}"}]'
WIRES = {
    "postprocess.nms_iou": Wire(0.9, detections),
    "postprocess.max_per_class": Wire(1, detections),
    "postprocess.min_score": Wire(-0.5, detections),
    "postprocess.nms_before_regression": Wire("true", detections),
    "postprocess.voting_iou": Wire(0.5, detections),
    "postprocess.rounds": Wire(2, detections),
    "postprocess.mirrored": Wire("true", detections),
    "calibration.images": Wire(4, calibrated, FEW),
    "calibration.folds": Wire(4, calibrated, FEW),
    "calibration.min_margin": Wire(0.2, calibrated, FEW),
    "calibration.precision": Wire(0.2, calibrated, FEW),
    "calibration.min_found": Wire(1000, calibrated, FEW),
    "calibration.seed": Wire(2, calibrated, FEW),
    "evaluation.metric": Wire("coco", figures),
    "evaluation.iou_threshold": Wire(0.85, figures),
    "evaluation.difficult": Wire("count", figures, (DIFFICULT,)),
    "evaluation.comparison": Wire(">", exact, ("--evaluation.iou_threshold=1",)),
    "intervals.resamples": Wire(0, figures, (STRICT,)),
    "intervals.confidence": Wire(0.3, figures, (STRICT,)),
    "intervals.seed": Wire(1, figures, (STRICT, "--intervals.resamples=3")),
    "diagnosis.near_iou": Wire(0.9, failures, (STRICT,)),
    "diagnosis.similar": Wire('[["box","disc"]]', confused, (STRICT,)),
    "report.photos": Wire(1, shown),
    "report.photo_side": Wire(100, shown),
    "report.pictures": Wire(1, shown),
    "report.max_pictures": Wire(2, shown),
    "report.picture_side": Wire(100, shown),
    "report.max_megabytes": Wire(0.1, shown),
    "report.curves": Wire(1, shown),
    "report.bins": Wire(3, shown),
    "report.least_in_bin": Wire(1, reliable, FEW),
    "preset": Wire("fast", begun_with),
    "run": Wire("{sets}/elsewhere", written, fresh=True),
    "classes_changed": Wire("keep", classes, ('--dataset.class_map={"disc": "moon"}',)),
    "limit": Wire(3, images),
    "keep_maps": Wire("false", maps, fresh=True),
    "strict": Wire("true", outcome, ("--dataset.root={sets}/faulty",), fresh=True),
}


@pytest.mark.parametrize("name", WIRES)
def test_the_setting_counts(name, before_and_after):
    before, after = before_and_after(name, WIRES[name])
    assert before != after


def test_pictures_are_what_the_settings_of_the_report_are_about(finished):
    """What `shown` compares has pictures in it, and no settings."""
    text = (finished / "report.html").read_text(encoding="utf-8")
    assert re.search(r"data:image/jpeg;base64", text[: text.index('id="h-run"')])
    assert "picture_side" not in text[: text.index('id="h-run"')]
