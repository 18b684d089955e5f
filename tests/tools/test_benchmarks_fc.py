"""The benchmark of fc6 and fc7 on tiny layers: different proposals give the same bits, low-rank layers are measured."""

import json

import numpy as np
import pytest

from detection import Detector
from detection.features import FeatureSettings
from detection.storage import write_arrays


@pytest.fixture
def command(benchmark, monkeypatch):
    from benchmarks import fc

    monkeypatch.setattr(fc, "MADE_UP", {"small": FeatureSettings(short_sides=(96,), levels=(1,))})
    monkeypatch.setattr(fc, "SGEMM_SIDE", 64)
    return benchmark


def tables_of(folder):
    return json.loads((folder / "benchmark.json").read_text())["commands"]["fc"]["tables"]


def test_layers_of_a_run(command, load_tool, run, shape_options, tmp_path, capsys):
    length = Detector.load(run / "detector").extractor.length("pool5")
    rng = np.random.default_rng(0)
    shapes = {"fc6.weight": (24, length), "fc6.bias": (24,), "fc7.weight": (16, 24), "fc7.bias": (16,)}
    head = {name: rng.normal(0, 0.05, shape).astype(np.float32) for name, shape in shapes.items()}
    write_arrays(tmp_path / "head.safetensors", head, {})
    features = ["--features.layer=fc7", f"--features.head={tmp_path / 'head.safetensors'}", "--svm.C=0.1"]
    assert load_tool("train_svm").main([f"--run={run}", *shape_options, *features]) == 0

    options = ["--widths=[32,16]", "--ranks=[[9,3],[5,3],[300,3]]", "--repeats=1", f"--out={tmp_path}", "--images=2"]
    other = f"--others=[{run / 'detector'}]"
    assert command.main(["fc", f"--run={run}", *options, other]) == 0
    made_up, own, cost = tables_of(tmp_path).values()
    for rows, layers in ((made_up, "432-32-16"), (own, f"{length}-24-16")):
        assert {row["layers"] for row in rows} == {layers}
        names = [row["method"] for row in rows]
        assert names[:2] == ["float32, all proposals", "float32, different proposals"]
        assert [name for name in names if name.startswith("ranks")][::2] == [
            "ranks 9 3, all proposals", "ranks 5 3, all proposals"
        ]  # fmt: skip
        assert all(row["equal_bits"] for row in rows if row["method"].endswith("different proposals"))
        assert rows[0]["proposals"] > rows[1]["proposals"]
        assert rows[0]["GFLOP"] > rows[2]["GFLOP"]
    errors = [
        row["relative_error"] for row in own if row["method"].endswith("all proposals") and "relative_error" in row
    ]
    assert 0 < errors[0] < errors[1] < 1
    assert [row["layers"] for row in cost] == ["float32", "ranks 9 3", "ranks 5 3", str(run / "detector")]
    assert cost[3]["mAP"] == cost[0]["mAP"]
    assert cost[3]["change"] == "+0.0000"
    assert "equal bits" in capsys.readouterr().out


def test_without_a_run_of_fc7(command, run, tmp_path, capsys):
    options = ["--widths=[32,16]", "--ranks=[]", "--repeats=1", f"--out={tmp_path}"]
    assert command.main(["fc", f"--run={run}", *options]) == 0
    assert list(tables_of(tmp_path)) == ["fc6 and fc7 of made-up weights, one thread"]
    assert "left out: its SVMs see pool5, not fc7" in capsys.readouterr().out
    assert command.main(["fc", "--repeats=0"]) == 2
