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
