"""Tuning, calibrating, changing classes and measuring the solver, as a user calls them."""

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


def test_classes_one_at_a_time(load_tool, run, shapes, write_set, tmp_path, capsys):
    photos = write_set(tmp_path / "new" / "VOCdevkit", {"trainval": {"n1": [("star", (10, 10, 60, 60))]}})
    call = [f"--run={run}", "--workers=1"]
    assert load_tool("train_svm").main([*call, "--add=star", f"--photos={photos}"]) == 0
    output = capsys.readouterr().out
    assert "added star: 1 positives in 1 photos" in output
    assert "fewer than 10 positives: star 1" in output
    assert load_tool("train_svm").main([*call, "--rename", "star", "sun"]) == 0
    assert Detector.load(run / "detector").classes == ("box", "disc", "sun")
    assert load_tool("train_svm").main([*call, "--drop=sun"]) == 0
    assert Detector.load(run / "detector").classes == ("box", "disc")
    capsys.readouterr()
    for wrong, message in (
        (["--add=star"], "--add CLASS and --photos FOLDER belong together"),
        (["--drop=box", "--rename", "box", "b"], "expected one of --add, --drop and --rename at a time"),
        (["--drop=lion"], "--drop lion: expected one of box, disc"),
    ):
        assert load_tool("train_svm").main([*call, *wrong]) == 2
        assert message in capsys.readouterr().err
