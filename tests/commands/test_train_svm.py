"""Changing classes, as a user calls it."""

import pytest

from detection import Detector
from detection.detector_files import settle_detector
from detection.storage import read_arrays


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


def test_cut_short_behind_the_change_the_files_come_to_their_places(load_tool, run, monkeypatch, capsys):
    """Asked again the command has nothing left to do, and does what was left undone."""

    def stopped(*_):
        raise KeyboardInterrupt

    call = [f"--run={run}", "--workers=1", "--drop=disc"]
    with monkeypatch.context() as patch:
        patch.setattr("detection.detector_files._settle", stopped)
        assert load_tool("train_svm").main(call) == 130
    assert list((run / "detector").glob(".new-*"))
    expected = Detector.load(run / "detector")
    assert expected.classes == ("box",)
    assert load_tool("train_svm").main(call) == 2
    assert "--drop disc: expected one of box" in capsys.readouterr().err
    assert not list((run / "detector").glob(".*"))
    assert read_arrays(run / "detector" / "svms.safetensors")[0]["weights"].tobytes() == expected.svms.weights.tobytes()


def test_what_is_no_whole_detector_is_left_alone(run):
    folder = run / "detector"
    (folder / ".new-1234-svms.safetensors").write_bytes(b"of one that was never described")
    (folder / "svms.safetensors").write_bytes(b"damaged")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    settle_detector(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    (folder / "detector.yaml").unlink()
    settle_detector(folder)
    assert len(list(folder.iterdir())) == len(before) - 1
    settle_detector(run / "none")
