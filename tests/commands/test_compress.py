"""Thin layers in a trained detector, and in a head file that a run then uses, as a user makes them."""

import json

import numpy as np
import pytest

from detection import Detector
from detection.storage import read_arrays, write_arrays

WIDTHS = (24, 12)


@pytest.fixture(scope="module")
def head_file(tmp_path_factory, finished):
    """fc6, fc7 and fc8 for the pooled vectors of `finished`."""
    length = Detector.load(finished / "detector").extractor.length("pool5")
    rng, sides = np.random.default_rng(0), (length, *WIDTHS, 3)
    head = {}
    for name, inputs, outputs in zip(("fc6", "fc7", "fc8"), sides[:-1], sides[1:], strict=True):
        head[f"{name}.weight"] = (rng.standard_normal((outputs, inputs)) * np.sqrt(2 / inputs)).astype(np.float32)
        head[f"{name}.bias"] = np.full(outputs, 0.1, np.float32)
    path = tmp_path_factory.mktemp("head") / "head.safetensors"
    write_arrays(path, head, {})
    return path


def test_a_head_file_and_a_detector(load_tool, run, shape_options, head_file, tmp_path, capsys):
    compress, thin = load_tool("compress"), tmp_path / "thin.safetensors"
    ranks = ["--fc6_rank=5", "--fc7_rank=4"]
    assert compress.main([f"--head={head_file}", f"--out={thin}", *ranks]) == 0
    output = capsys.readouterr().out
    assert "times fewer multiplications a proposal" in output
    arrays, metadata = read_arrays(thin)
    assert metadata["format_version"] == "1"
    assert (arrays["fc6.down.weight"].shape[0], arrays["fc7.up.weight"].shape) == (5, (12, 4))
    assert "fc8.weight" not in arrays

    # A run whose vectors the low-rank layers make.
    call = [f"--run={run}", *shape_options, "--features.layer=fc7", "--svm.C=0.1"]
    assert load_tool("train_svm").main([*call, f"--features.head={head_file}"]) == 0
    whole = Detector.load(run / "detector")
    assert compress.main([f"--model={run / 'detector'}", f"--out={tmp_path / 'thin'}", *ranks]) == 0
    assert load_tool("train_svm").main([*call, f"--features.head={thin}"]) == 0
    trained = Detector.load(run / "detector")
    assert trained.svms.weights.tobytes() != whole.svms.weights.tobytes()

    # A detector with the same layers and the SVMs of the whole ones.
    kept = Detector.load(tmp_path / "thin")
    assert kept.svms.weights.tobytes() == whole.svms.weights.tobytes()
    assert kept.notes["compressed"] == {"fc6": 5, "fc7": 4}
    assert "svms" not in kept.notes
    states = [one.extractor.pooled_head.state() for one in (kept, trained)]
    assert all(np.array_equal(states[0][name], states[1][name]) for name in arrays)
    assert states[0]["fc6.down.weight"].tobytes() == arrays["fc6.down.weight"].tobytes()


def test_detect_with_a_compressed_detector(load_tool, run, shapes, shape_options, head_file, tmp_path, capsys):
    call = [f"--run={run}", *shape_options, "--features.layer=fc6", f"--features.head={head_file}", "--svm.C=0.1"]
    assert load_tool("train_svm").main(call) == 0
    out, compress = tmp_path / "thin", load_tool("compress")
    assert compress.main([f"--model={run / 'detector'}", f"--out={out}", "--energy=0.3", "--fc7_rank=0"]) == 0
    assert list(Detector.load(out).notes["compressed"]) == ["fc6"]
    photo = next(shapes.rglob("test1.jpg"))
    assert load_tool("detect").main([f"--model={out}", str(photo), f"--out={tmp_path / 'found'}", "--workers=1"]) == 0
    assert json.loads((tmp_path / "found" / "detections.json").read_text())
    capsys.readouterr()
    head = tmp_path / "again.safetensors"
    for wrong, message in (
        ([f"--model={run / 'detector'}", f"--out={out}", "--fc6_rank=3"], "thin: expected a path where nothing is"),
        ([f"--model={out}", f"--out={head}", "--fc6_rank=3"], "fc6: expected a layer that is not compressed, got one"),
        ([f"--model={run / 'detector'}", f"--out={head}"], "expected a layer to compress, got no rank given"),
        ([f"--model={run / 'detector'}", f"--out={head}", "--energy=1"], "no rank that keeps 1 of a layer has fewer"),
        ([f"--head={head_file}", f"--out={tmp_path / 'folder'}", "--fc6_rank=3"], "expected a file name ending in"),
        ([f"--head={head_file}", f"--out={head}", "--fc6_rank=99"], "head.safetensors: fc6: expected a rank from 1 to"),
        ([f"--head={head}", f"--out={tmp_path / 'b.safetensors'}", "--fc6_rank=3"], "again.safetensors'"),
    ):
        assert compress.main(wrong) == 2
        assert message in capsys.readouterr().err
    assert not head.exists()


def test_a_detector_of_pooled_vectors_has_no_layers(load_tool, run, tmp_path, capsys):
    call = [f"--model={run / 'detector'}", f"--out={tmp_path / 'thin'}", "--fc6_rank=3"]
    assert load_tool("compress").main(call) == 2
    assert "expected a detector of layer fc6 or fc7, got one of pool5" in capsys.readouterr().err
