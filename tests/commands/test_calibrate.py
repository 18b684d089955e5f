"""Tuning and calibrating, as a user calls them."""

import pytest

from detection import Detector
from detection.storage import read_json


@pytest.fixture(autouse=True)
def _wide_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")


def test_tune_and_calibrate(load_tool, run, capsys):
    options = [f"--run={run}", "--workers=1", "--folds=2"]
    assert load_tool("tune").main([*options, "--C=[0.003,0.01]", "--positive_weight=[2]"]) == 0
    output = capsys.readouterr().out
    kept = read_json(run / "tuning.json")
    means = {one["C"]: one["mean_ap"] for one in kept["trials"]}
    assert set(means) == {0.003, 0.01}
    assert kept["best"] == {"C": max(means, key=means.get), "positive_weight": 2}
    (line,) = [one for one in output.splitlines() if one.endswith("  best")]
    assert line.split()[:3] == [f"{kept['best']['C']:g}", "2", f"{max(means.values()):.3f}"]
    assert load_tool("calibrate").main([*options, "--min_margin=-2"]) == 0
    output = capsys.readouterr().out
    assert "expected calibration error" in output
    assert f"chart: {run / 'evaluation/test-reliability.png'}" in output
    assert Detector.load(run / "detector").calibration is not None
    # What was drawn without probabilities is drawn again with them, once.
    again = []
    for _ in range(2):
        assert load_tool("detect").main(options[:2]) == 0
        output = capsys.readouterr().err
        assert "detections: done before" in output
        again.append("drawings: done before" not in output)
    assert again == [True, False]
