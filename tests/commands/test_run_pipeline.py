"""The tools of the main job, one after the other as a user calls them."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _wide_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def call(load_tool, shape_options):
    def call_it(name, *arguments, command=()):
        return load_tool(name).main([*command, *shape_options, *arguments])

    return call_it


def test_one_after_the_other_and_all_at_once(call, load_tool, finished, tmp_path, capsys):
    run = f"--run={tmp_path / 'run'}"
    assert call("proposals", run, command=["generate"]) == 0
    assert len(list((tmp_path / "run/proposals").iterdir())) == 13
    assert call("extract_features", run) == 0
    for name in ("train_svm", "train_bbox", "calibrate", "detect"):
        # A run folder knows its settings.
        assert load_tool(name).main([run, "--workers=1"]) == 0
    assert len(list((tmp_path / "run/drawings").rglob("*.jpg"))) == 5
    capsys.readouterr()
    assert load_tool("evaluate").main([run, "--workers=1"]) == 0
    assert capsys.readouterr().out.startswith("At each class's threshold: found 6 of 8 objects")
    for file in ("detections/test.json", "evaluation/test.json", "detector/detector.yaml"):
        assert (tmp_path / "run" / file).read_bytes() == (finished / file).read_bytes()
    assert load_tool("run_pipeline").main([run, "--workers=1"]) == 0
    assert capsys.readouterr().err.count("done before") == 9


@pytest.mark.parametrize("name", ["train_bbox", "detect", "evaluate"])
def test_too_early(call, tmp_path, capsys, name):
    run = f"--run={tmp_path / 'run'}"
    assert call(name, run) == 2
    assert "sppnet run --run" in capsys.readouterr().err
    assert call("proposals", run, command=["generate"]) == 0
    capsys.readouterr()
    assert call(name, run) == 2
    assert "run sppnet " in capsys.readouterr().err


def test_wrong_root(call, tmp_path, capsys):
    assert call("run_pipeline", f"--run={tmp_path / 'run'}", "--dataset.root=nowhere") == 2
    errors = capsys.readouterr().err
    assert errors.splitlines()[-1].startswith("error: nowhere: expected a data set")
    assert "Traceback" not in errors
    assert not (tmp_path / "run").exists()


def test_empty_split(call, shapes, tmp_path, capsys):
    root = shutil.copytree(shapes, tmp_path / "VOCdevkit")
    (root / "VOC2007/ImageSets/Main/trainval.txt").write_text("\n\n")
    assert call("run_pipeline", f"--run={tmp_path / 'run'}", f"--dataset.root={root}") == 2
    assert "trainval.txt: expected one image id a line, got an empty split" in capsys.readouterr().err


def test_strict(call, shapes, tmp_path, capsys):
    root = shutil.copytree(shapes, tmp_path / "VOCdevkit")
    path = root / "VOC2007/JPEGImages/train1.jpg"
    path.write_bytes(path.read_bytes()[:-3000])
    run = f"--run={tmp_path / 'run'}"
    assert call("run_pipeline", run, f"--dataset.root={root}", "--strict") == 2
    errors = capsys.readouterr().err
    assert f"error: {path}: unreadable image:" in errors.splitlines()[-1]
    assert call("proposals", run, f"--dataset.root={root}", command=["generate"]) == 0
    output = capsys.readouterr().err
    assert "1 faults in the data:" in output
    assert str(path) in output
    assert str(path) in (tmp_path / "run/problems.txt").read_text()


def test_bad_settings(load_tool, tmp_path, capsys):
    (tmp_path / "bad.yaml").write_text("svm: {C: much}\n")
    assert load_tool("run_pipeline").main(["--config", str(tmp_path / "bad.yaml")]) == 2
    assert "bad.yaml" in capsys.readouterr().err


def test_as_a_process(finished, tmp_path):
    """The exit status is the process's, the table goes to standard output."""
    run = shutil.copytree(finished, tmp_path / "run")
    command = [sys.executable, str(ROOT / "tools" / "evaluate.py"), "--run", str(run), "--workers=1"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0
    assert "error" not in done.stderr
    assert done.stdout.startswith("At each class's threshold: found 6 of 8 objects")
    assert "VOC 2007 AP (11 points)" in done.stdout
    shutil.rmtree(run / "detections")
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert json.loads((run / "evaluation/test.json").read_text())["mAP"] > 0


def test_demo(load_tool, shape_options, shapes, tmp_path, monkeypatch, capsys):
    """On a data set in the digits' place; the digits have their own tests."""
    demo = load_tool("demo")
    made = []
    monkeypatch.setattr(demo, "write_digits", made.append)
    assert demo.main([*shape_options, f"--run={tmp_path / 'run'}"]) == 0
    assert made == [str(shapes)]
    output = capsys.readouterr().out
    mean_ap = json.loads((tmp_path / "run/evaluation/test.json").read_text())["mAP"]
    assert f"mAP on 5 test images: {mean_ap:.3f}" in output
    assert (tmp_path / "run/detections.jpg").is_file()
