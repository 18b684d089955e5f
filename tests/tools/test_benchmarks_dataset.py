import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SMALL = [
    "--proposals.preset=single",
    "--proposals.max_windows=60",
    "--features.short_sides=[96]",
    "--regression.min_examples=3",
]


def test_two_versions_take_turns(benchmark, measure, shapes, load_tool, monkeypatch):
    """Both are this one, in this process, since others take seconds; of the first that counts one detection is lost."""
    from benchmarks import dataset

    limits = []

    def run_python(call, checkout):
        script, *arguments = call
        assert script == str(checkout / "tools" / "run_pipeline.py")
        assert load_tool("run_pipeline").main(arguments) == 0
        limits.append(next(one for one in arguments if one.startswith("--limit")))
        if len(limits) == 3:
            path = Path(arguments[-1].removeprefix("--run=")) / "detections" / "test.json"
            path.write_text(json.dumps(json.loads(path.read_text())[1:]))

    monkeypatch.setattr(dataset, "run_python", run_python)
    options = [f"--voc={shapes}", "--limit=4", "--workers=1", f"--before={ROOT}"]
    (rows,) = measure("dataset", *options, f"--options={json.dumps(SMALL)}")
    assert limits == ["--limit=2"] * 2 + ["--limit=4"] * 2
    assert [row["version"] for row in rows] == ["before", "this version", "times faster"]
    assert [row.get("same_detections") for row in rows] == [False, True, None]
    for row in rows[:2]:
        stages = [key for key in row if key.endswith("_s")]
        assert stages[0] == "start_s"
        assert stages[-3:] == ["photos_to_mAP_s", "whole_command_s", "cpu_s"]
        assert sum(row[key] for key in stages[:-3]) == pytest.approx(row["photos_to_mAP_s"])
        assert row["photos_to_mAP_s"] <= row["whole_command_s"]
        assert row["peak_MiB"] > 100
    ratio = rows[0]["whole_command_s"] / rows[1]["whole_command_s"]
    assert rows[2]["whole_command_s"] == pytest.approx(ratio)


def test_a_version_that_fails_is_named(benchmark, tmp_path, capsys):
    from benchmarks import dataset

    assert benchmark.main(["dataset", f"--before={tmp_path}"]) == 2
    assert "expected a checkout of this package" in capsys.readouterr().err
    assert benchmark.main(["dataset", "--limit=0"]) == 2
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "run_pipeline.py").write_text("import sys; sys.exit('no ' + sys.argv[1])")
    with pytest.raises(ValueError, match=rf"{tmp_path}: a Python process failed:\n+no --photos"):
        dataset.turn(tmp_path, ["--photos"], tmp_path / "run")
