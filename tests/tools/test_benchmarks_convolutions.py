"""The benchmark of convolutions on a small image: all paths are there, and agree."""

import json
from importlib.util import find_spec


def test_paths_agree(benchmark, tmp_path, capsys):
    small, with_engines = "timm/mobilenetv3_small_050:16,32", "alexnet"
    common = ["--repeats=1", "--short_sides=[64]"]
    # An export to ONNX takes longer than the rest of this file.
    for name, options in ((small, ["--engines=[]"]), (with_engines, ["--engines=[openvino]"])):
        out = tmp_path / name[:4]
        assert (
            benchmark.main(["convolutions", f"--backbones=[{json.dumps(name)}]", *common, *options, f"--out={out}"])
            == 0
        )
        (rows,) = json.loads((out / "benchmark.json").read_text())["commands"]["convolutions"]["tables"].values()
        by_path = {row["path"]: row for row in rows}
        own = {"eager NCHW, stages in use", "eager NCHW, our malloc options", "eager channels_last", "this package"}
        engines = {one for one in ("openvino",) if find_spec(one)} if name == with_engines else set()
        whole = {"eager NCHW, all stages"} if name == small else set()
        assert by_path.keys() == own | engines | whole
        assert all(float(by_path[path]["error"]) <= 1e-4 for path in own | engines)
        assert all(by_path[path]["made_in_s"] > 0 for path in engines)
    assert "of sgemm" in capsys.readouterr().out


def test_wrong_options(benchmark, capsys):
    assert benchmark.main(["convolutions", "--repeats=0"]) == 2
    assert benchmark.main(["convolutions", "--engines=[tensorrt]"]) == 2
    assert "expected some of openvino, onnxruntime, got tensorrt" in capsys.readouterr().err
