"""The command that measures presets side by side."""

import json

import numpy as np
import pytest
from PIL import Image

from detection.data.dataset import read_dataset

SMALL = "--proposals.preset=single --proposals.max_windows=60 --features.short_sides=[96] --regression.min_examples=3"
# The second keeps next to nothing of what it finds.
PRESETS = [f"balanced {SMALL}", f"fast {SMALL} --postprocess.max_per_class=1 --svm.C=1e-6"]


@pytest.fixture
def tool(benchmark, load_tool, monkeypatch):
    """In this process, since others take seconds; counts the calls."""
    from benchmarks import presets

    presets.calls = []

    def run_python(call):
        name = call[0].rpartition("/")[2].removesuffix(".py")
        presets.calls.append(name)
        assert load_tool(name).main(list(call[1:])) == 0

    monkeypatch.setattr(presets, "run_python", run_python)
    return presets


def test_a_row_each_on_photos_that_were_held_out(tool, measure, shapes, tmp_path):
    folder = tmp_path / "presets"
    options = [f"--data={shapes}", f"--runs={folder}", "--workers=1", "--photos=2", "--repeats=1", "--share=0.4"]
    (rows,) = measure("presets", f"--presets={json.dumps(PRESETS)}", *options)
    assert [row["preset"] for row in rows] == PRESETS
    assert all(row["photo_s"] > 0 and row["minutes"] > 0 for row in rows)
    assert rows[0]["mAP_50"] > rows[1]["mAP_50"]
    assert rows[1]["gain_mAP_50"].startswith("-")
    assert "gain_mAP_50" not in rows[0]
    trained, measured = (
        {one.image_id for one in read_dataset(folder / "data", split).images} for split in ("trainval", "test")
    )
    assert trained | measured == {f"train{number}" for number in range(8)}
    assert len(measured) == 3
    assert not trained & measured
    drawn = Image.open(folder / "presets.png")
    assert len(np.unique(np.asarray(drawn).reshape(-1, 3), axis=0)) > 3
    # Given again nothing is divided or trained anew, and the figures are the same.
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("svms.safetensors")}
    (again,) = measure("presets", f"--presets={json.dumps(PRESETS)}", *options)
    assert tool.calls == ["dataset", "run_pipeline", "run_pipeline", "run_pipeline", "run_pipeline"]
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("svms.safetensors")} == before
    assert len(before) == 2
    assert [row["mAP_50_95"] for row in again] == [row["mAP_50_95"] for row in rows]


def test_a_line_a_preset_from_one_figure_to_the_other(tool, monkeypatch):
    seen = []
    monkeypatch.setattr(tool, "line_chart", lambda *arguments: seen.extend(arguments))
    tool.chart([
        {"preset": "a", "photo_s": 0.4, "mAP_50": 0.6, "mAP_50_95": 0.3},
        {"preset": "b", "photo_s": 1.4, "mAP_50": 0.7, "mAP_50_95": 0.4},
    ])  # fmt: skip
    _, x, y, lines = seen
    assert [(one.name, *one.x, *one.y) for one in lines] == [("a", 0.4, 0.4, 0.3, 0.6), ("b", 1.4, 1.4, 0.4, 0.7)]
    assert x.ticks == [0.5, 1, 2]
    assert x.low < 0.4 < 1.4 < x.high
    assert (y.low, y.high) == (0, 1)


def test_a_time_that_is_lost_is_none(tool):
    assert tool.taken({"svms": {"seconds": 90.0}, "report": {}}) == 1.5
    assert tool.taken({"svms": {"seconds": 90.0}, "regressors": {"key": "x"}}) == ""


def test_left_out_without_data(benchmark, tmp_path, capsys):
    assert benchmark.main(["presets", f"--out={tmp_path}"]) == 0
    assert "presets: left out without --data FOLDER" in capsys.readouterr().out
