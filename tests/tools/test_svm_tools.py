"""Tuning, calibrating, changing classes and measuring the solver, as a user calls them."""

import json

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


def test_benchmark(benchmark, run, tmp_path, capsys):
    options = ["--run", str(run), "--positives", "12", "--negatives", "60", "--C", "[0.01]", "--repeats", "1"]
    many = ["--many_classes", "3", "--many_negatives", "600", "--many_length", "24", "--out", str(tmp_path)]
    assert benchmark.main(["svm", *options, *many]) == 0
    tables = json.loads((tmp_path / "benchmark.json").read_text())["commands"]["svm"]["tables"]
    compared, together = tables.values()
    assert [row["solver"] for row in compared[:2]] == ["LinearSVC", "this package"]
    assert {row["loss"] for row in compared} == {"hinge", "squared_hinge"}
    assert all(float(row["above_optimum"]) < 1e-4 for row in compared if row["solver"] == "this package")
    assert [row["problem"] for row in together][-1] == "3 classes, solve_svms"
    assert "above optimum" in capsys.readouterr().out
    assert benchmark.main(["svm", "--repeats", "0"]) == 2
