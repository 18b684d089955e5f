import json
import shutil

import pytest

from detection.pipeline.runner import run_all


@pytest.fixture
def tool(load_tool):
    return load_tool("report")


def options(shape_options, folder, *more):
    return [*shape_options, f"--run={folder}", *more]


def test_the_pipeline_left_a_report(finished):
    text = (finished / "report.html").read_text(encoding="utf-8")
    mean = json.loads((finished / "evaluation" / "test.json").read_text())["mAP"]
    assert "Detection report: run" in text
    assert f"{mean:.3f}" in text
    assert "shapes" in text
    assert (finished / "report" / "classes.csv").is_file()
    for part in ("mining", "times", "causes", "confusion", "thresholds"):
        assert f'id="table-{part}"' in text
    assert "the image has none" not in text


def test_a_report_of_its_own_name(tool, run, shape_options, tmp_path, capsys):
    out = tmp_path / "elsewhere" / "mine.html"
    before = (run / "report.html").read_bytes()
    assert tool.main(options(shape_options, run, f"--out={out}", "--report.pictures=1")) == 0
    assert str(out) in capsys.readouterr().out
    assert out.read_text(encoding="utf-8").count("<img") < before.decode().count("<img")
    assert (out.parent / "mine" / "classes.png").is_file()
    assert (run / "report.html").read_bytes() == before


def test_two_runs(tool, run, open_run, shape_options, tmp_path, capsys):
    other = shutil.copytree(run, tmp_path / "other")
    run_all(open_run(other, "--postprocess.max_per_class=1", "--evaluation.metric=voc10"))
    assert tool.main(options(shape_options, run, f"--compare={other}")) == 0
    page = run / "report-other.html"
    assert str(page) in capsys.readouterr().out
    text = page.read_text(encoding="utf-8")
    assert "Detection report: run and other" in text
    # The second is measured as the first is.
    assert "VOC 2010" not in text
    assert "postprocess.max_per_class" in text
    assert (run / "report-other" / "comparison.csv").is_file()
    assert json.loads((other / "evaluation" / "test.json").read_text())["metric"] == "voc10"


def test_what_is_no_run(tool, run, shape_options, tmp_path, capfd):
    assert tool.main(options(shape_options, run, f"--compare={tmp_path / 'nowhere'}")) == 2
    assert f"{tmp_path / 'nowhere'}: expected the folder of a run, found none" in capfd.readouterr().err
    assert tool.main(options(shape_options, run, f"--out={tmp_path / 'a.txt'}")) == 2
    assert "expected a file name that ends in .html" in capfd.readouterr().err


def test_a_file_of_the_users_is_left_alone(tool, run, shape_options, tmp_path, capfd):
    mine = tmp_path / "mine.html"
    mine.write_text("mine")
    assert tool.main(options(shape_options, run, f"--out={mine}")) == 2
    assert "found another file; it is left as it is" in capfd.readouterr().err
    assert mine.read_text() == "mine"
