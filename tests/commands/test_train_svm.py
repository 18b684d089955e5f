"""Changing classes, as a user calls it."""

import pytest

from detection import Detector


@pytest.fixture(autouse=True)
def _wide_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")


def test_classes_one_at_a_time(load_tool, run, shapes, write_set, tmp_path, capsys):
    photos = write_set(tmp_path / "new" / "VOCdevkit", {"trainval": {"n1": [("star", (10, 10, 60, 60))]}})
    call = [f"--run={run}", "--workers=1"]
    assert load_tool("train_svm").main([*call, "--add=star", f"--photos={photos}"]) == 0
    output = capsys.readouterr().err
    assert "added star: 1 positives in 1 of the 1 photos of the split trainval" in output
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
