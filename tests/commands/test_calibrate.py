"""Tuning and calibrating, as a user calls them."""

import pytest

from detection import Detector
from detection.storage import notices, read_json, read_yaml


@pytest.fixture(autouse=True)
def _wide_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")


def test_tune_and_calibrate(load_tool, run, capsys, monkeypatch):
    options = [f"--run={run}", "--workers=1", "--folds=2"]
    assert load_tool("tune").main([*options, "--C=[0.003,0.01]", "--positive_weight=[2]"]) == 0
    output = capsys.readouterr().out
    kept = read_json(run / "tuning.json")
    means = {one["C"]: one["mean_ap"] for one in kept["trials"]}
    assert set(means) == {0.003, 0.01}
    assert kept["best"] == {"C": max(means, key=means.get), "positive_weight": 2}
    (line,) = [one for one in output.splitlines() if one.endswith("  best")]
    assert line.split()[:3] == [f"{kept['best']['C']:g}", "2", f"{max(means.values()):.3f}"]
    # The last version's names work, and say what they are now.
    monkeypatch.setattr(notices, "_said", set())
    assert load_tool("calibrate").main([*options, "--min_margin=-2", "--calibration.min_found=2"]) == 0
    output, said = capsys.readouterr()
    assert "--min_margin is --calibration.min_margin now" in said
    assert "expected calibration error" in output
    assert f"chart: {run / 'evaluation/test-reliability.png'}" in output
    kept = read_yaml(run / "run.yaml")["settings"]["calibration"]
    assert (kept["folds"], kept["min_margin"]) == (2, -2)
    before = Detector.load(run / "detector").calibration
    assert load_tool("calibrate").main([f"--run={run}", "--workers=1", "--precision=0.01"]) == 0
    after = Detector.load(run / "detector").calibration
    assert (after.thresholds <= before.thresholds).all()
    assert after.slopes.tobytes() == before.slopes.tobytes()
    # What is drawn hangs on the thresholds, and is drawn again, once.
    again = []
    for _ in range(2):
        capsys.readouterr()
        assert load_tool("detect").main(options[:2]) == 0
        output = capsys.readouterr().err
        assert "detections: done before" in output
        again.append("drawings: done before" not in output)
    assert again == [True, False]
