"""The command that measures presets side by side."""

import json
from pathlib import Path

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
        name = Path(call[0]).stem
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
    low, high = map(float, rows[0]["mAP_50_interval"].split(" to "))
    assert low <= rows[0]["mAP_50"] <= high
    # The shapes are of 32 to 96 px.
    assert rows[0]["medium"] > rows[1]["medium"]
    assert "gain_mAP_50" not in rows[0]
    (data,) = folder.glob("*/data")
    trained, measured = ({one.image_id for one in read_dataset(data, split).images} for split in ("trainval", "test"))
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
    assert x.ticks == [0.2, 0.5, 1, 2]
    assert x.low < 0.4 < 1.4 < x.high
    assert (y.low, y.high) == (0, 1)


def test_minutes_of_a_run_that_was_made_in_one_go(tool, tmp_path, monkeypatch):
    monkeypatch.setattr(tool, "run_python", lambda call: (tmp_path / "new").mkdir(exist_ok=True))
    assert (
        tool.trained("fast", tmp_path, tmp_path / "new", 1) == tool.trained("fast", tmp_path, tmp_path / "new", 1) > 0
    )
    (tmp_path / "interrupted").mkdir()
    assert tool.trained("fast", tmp_path, tmp_path / "interrupted", 1) is None


def test_other_data_and_another_share_have_runs_of_their_own(tool, tmp_path, monkeypatch):
    monkeypatch.setattr(tool, "divided", lambda data, share, folder: folder)
    seen = []

    def trained(_, root, run, workers):
        assert root.parent == run.parent
        seen.append(run)
        raise ZeroDivisionError

    monkeypatch.setattr(tool, "trained", trained)
    for data, share in (("a", 0.3), ("b", 0.3), ("a", 0.2), ("a", 0.3)):
        with pytest.raises(ZeroDivisionError):
            next(tool.benchmark(data=data, share=share, runs=str(tmp_path)))
    assert seen[0] == seen[3]
    assert len(set(seen)) == 3


def test_left_out_without_data(benchmark, tmp_path, capsys):
    assert benchmark.main(["presets", f"--out={tmp_path}"]) == 0
    assert "presets: left out without --data FOLDER" in capsys.readouterr().out
    assert benchmark.main(["presets", f"--data={tmp_path}", "--presets=[]", f"--out={tmp_path}"]) == 2
