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
    assert "0.003" in output
    assert "best" in output
    assert len(read_json(run / "tuning.json")["trials"]) == 2
    assert load_tool("calibrate").main([*options, "--min_margin=-2"]) == 0
    output = capsys.readouterr().out
    assert "expected calibration error" in output
    assert f"chart: {run / 'evaluation/test-reliability.png'}" in output
    assert Detector.load(run / "detector").calibration is not None
    # What was drawn without probabilities is drawn again with them, once.
    again = []
    for _ in range(2):
        assert load_tool("detect").main(options[:2]) == 0
        output = capsys.readouterr().out
        assert "detections: done before" in output
        again.append("drawings: done before" not in output)
    assert again == [True, False]
