"""The benchmark of fc6 and fc7 on tiny layers: different proposals give the same bits, low-rank layers are measured."""

import numpy as np
import pytest

from detection import Detector
from detection.features import FeatureSettings
from detection.storage import write_arrays


@pytest.fixture
def fc(benchmark, monkeypatch):
    from benchmarks import fc

    monkeypatch.setattr(fc, "VECTORS", {"small": FeatureSettings(short_sides=(96,), levels=(1,))})
    return fc


def test_different_proposals_give_the_same_bits(fc, measure):
    (rows,) = measure("fc", "--widths=[32,16]", "--ranks=[[9,3]]", "--repeats=1")
    assert [row["method"] for row in rows] == [
        f"{layers}, {part}" for layers in ("float32", "ranks 9 3") for part in ("all", "different")
    ]
    assert all(row["equal_bits"] for row in rows[1::2])
    assert all(row["widths"] == [432, 32, 16] for row in rows)
    assert rows[1]["proposals"] == rows[3]["proposals"] < rows[0]["proposals"] == 2000
    assert all(row["times_faster"] > 0 for row in rows)


def test_bits_that_differ_are_seen(fc, measure, monkeypatch):
    called = fc.Head.__call__
    # As if a row depended on how many there are.
    monkeypatch.setattr(fc.Head, "__call__", lambda head, values, layer: called(head, values, layer) + len(values))
    (rows,) = measure("fc", "--widths=[32,16]", "--ranks=[]", "--repeats=1")
    assert [row.get("equal_bits") for row in rows] == [None, False]


def test_low_rank_layers_have_the_shapes_of_compressed_ones(fc):
    state = fc.random_state(50, (20, 10), (4, 2))
    assert {name: value.shape for name, value in state.items() if "weight" in name} == {
        "fc6.down.weight": (4, 50),
        "fc6.up.weight": (20, 4),
        "fc7.down.weight": (2, 20),
        "fc7.up.weight": (10, 2),
    }


def test_what_low_rank_layers_cost(fc, measure, load_tool, run, shape_options, tmp_path):
    length = Detector.load(run / "detector").extractor.length("pool5")
    rng = np.random.default_rng(0)
    shapes = {"fc6.weight": (24, length), "fc6.bias": (24,), "fc7.weight": (16, 24), "fc7.bias": (16,)}
    head = {name: rng.normal(0, 0.05, shape).astype(np.float32) for name, shape in shapes.items()}
    write_arrays(tmp_path / "head.safetensors", head, {})
    features = ["--features.layer=fc7", f"--features.head={tmp_path / 'head.safetensors'}", "--svm.C=0.1"]
    assert load_tool("train_svm").main([f"--run={run}", *shape_options, *features]) == 0
    small = tmp_path / "small"
    compressed = [f"--model={run / 'detector'}", f"--out={small}", "--fc6_rank=2", "--fc7_rank=1"]
    assert load_tool("compress").main(compressed) == 0
    models = f"--models=[{run / 'detector'},{small}]"
    _, cost = measure("fc", f"--run={run}", models, "--images=3", "--widths=[8,8]", "--ranks=[]", "--repeats=1")
    own, same, low_rank = cost
    assert same["mAP"] == own["mAP"] != low_rank["mAP"]
    assert same["change"].startswith("+0.000")
    assert float(low_rank["change"].split()[0]) == pytest.approx(low_rank["mAP"] - own["mAP"], abs=6e-4)
