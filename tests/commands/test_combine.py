import json
import shutil

import pytest

from detection.pipeline.runner import run_all
from detection.storage import read_json


def test_combine(load_tool, open_run, finished, run, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    # The best stands second.
    run_all(open_run(run, "--svm.C=0.0001"))
    tool, out = load_tool("combine"), tmp_path / "both"
    assert tool.main([str(run), str(finished), "--out", str(out), "--workers", "1"]) == 0
    printed = capsys.readouterr().out
    assert "together" in printed
    content = read_json(out / "evaluation.json")
    singles = [read_json(one / "evaluation/test.json")["mAP"] for one in (run, finished)]
    assert singles[0] < singles[1]
    assert content["mAP_of_runs"] == singles
    assert content["best_run"] == str(finished)
    gain = content["gain_over_best_run"]["mAP"]
    assert gain["value"] == pytest.approx(content["mAP"] - max(singles))
    assert f"{gain['low']:+.3f} to {gain['high']:+.3f}" in printed
    assert {"test.json", "evaluation.json", "comp4_det_test_box.txt"} <= {path.name for path in out.iterdir()}
    assert tool.main([str(run), "--out", str(out)]) == 2
    assert "expected two runs or more, got 1" in capsys.readouterr().err
    shutil.rmtree(run / "detector")
    assert tool.main([str(finished), str(run), "--out", str(out), "--workers", "1"]) == 2
    assert "expected a trained detector, found none" in capsys.readouterr().err


def test_runs_of_one_data_set_in_two_formats(load_tool, open_run, shapes, tmp_path, capsys):
    """Each has an order of its own of images, and of classes if told: `evaluate --compare` accepts them as well."""
    runs = []
    (tmp_path / "names.txt").write_text("disc\nbox\n")
    for to, options in (("yolo", ()), ("coco", (f"--dataset.classes={tmp_path / 'names.txt'}",))):
        root = tmp_path / to
        assert load_tool("dataset").main(["convert", str(shapes), "--to", to, "--out", str(root)]) == 0
        if to == "coco":
            for path in root.rglob("*.json"):
                content = json.loads(path.read_text())
                content["images"].reverse()
                path.write_text(json.dumps(content))
        runs.append(tmp_path / f"run-{to}")
        run_all(open_run(runs[-1], f"--dataset.root={root}", *options))
    capsys.readouterr()
    out = tmp_path / "both"
    assert load_tool("combine").main([*map(str, runs), "--out", str(out), "--workers", "1"]) == 0
    content = read_json(out / "evaluation.json")
    assert content["mAP_of_runs"] == [
        pytest.approx(read_json(one / "evaluation/test.json")["mAP"], abs=1e-6) for one in runs
    ]
    assert load_tool("evaluate").main([f"--run={runs[0]}", f"--compare={runs[1]}"]) == 0
    # The order of the runs is of no matter to what is found.
    assert load_tool("combine").main([*map(str, runs[::-1]), "--out", str(tmp_path / "back"), "--workers", "1"]) == 0
    again = read_json(tmp_path / "back" / "evaluation.json")
    assert again["mAP"] == pytest.approx(content["mAP"], abs=1e-6)
    assert again["per_class"] == pytest.approx(content["per_class"], abs=1e-6)
