import json

from detection.data import image_size
from detection.pipeline.reliability import chart_path, measure_reliability
from detection.pipeline.stages.detections import read_detections


def test_measured_on_the_test_images(run, open_run):
    experiment = open_run(run, "--calibration.min_margin=-0.9")
    measured = measure_reliability(experiment, bins=5)
    kept = json.loads((run / "evaluation/test-reliability.json").read_text())
    assert kept["detections"] == measured.counts.sum()
    assert 0 < kept["detections"] <= sum((one.scores >= -0.9).sum() for one in read_detections(experiment))
    assert kept["expected_calibration_error"] == measured.error
    assert len(kept["counts"]) == 5
    assert f"expected calibration error {measured.error:.3f}" in experiment.work.console.file.getvalue()
    assert min(image_size(chart_path(experiment))) > 100
