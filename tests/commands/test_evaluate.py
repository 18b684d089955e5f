"""Evaluation as a user calls it: in a run, and of files alone."""

import json
import shutil

import pytest


@pytest.fixture(autouse=True)
def _wide_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def tool(load_tool):
    return load_tool("evaluate")


@pytest.fixture
def alone(tool, finished, shapes):
    """The tool on the detections of a run as files, without the run."""
    arguments = [f"--detections={finished / 'detections/test.json'}", f"--annotations={shapes}", "--split=test"]
    return lambda *more: tool.main([*arguments, *more])


def mean_ap(folder):
    return json.loads((folder / "evaluation/test.json").read_text())["mAP"]


def test_in_a_run(tool, run, capsys):
    before = mean_ap(run)
    assert tool.main([f"--run={run}", "--workers=1", "--json", str(run / "out.json")]) == 0
    output = capsys.readouterr().out
    assert "VOC 2007 AP (11 points), IoU >= 0.5, difficult objects ignored, 5 images" in output
    assert "95% intervals by 1000 resamples of the images (seed 0)" in output
    content = json.loads((run / "out.json").read_text())
    assert content["mAP"] == before == mean_ap(run)
    assert {"metric", "mAP", "per_class", "settings", "intervals", "warnings"} <= set(content)
    shown = content["at_thresholds"]
    assert f"found {shown['found']} of {shown['found'] + shown['missed']} objects" in output
    assert [sum(row) for row in shown["confusion"]["found_as"][:-1]] == [
        one["objects"] for one in shown["per_class"].values()
    ]
    assert content == json.loads((run / "evaluation/test.json").read_text())


@pytest.mark.parametrize("quiet", [[], ["--quiet"]])
def test_the_output_is_the_result_alone(tool, run, capsys, tmp_path, quiet):
    log = tmp_path / "log.txt"
    assert tool.main([f"--run={run}", "--workers=1", f"--log-file={log}", *quiet]) == 0
    told = capsys.readouterr()
    lines = told.out.splitlines()
    assert lines[0].startswith("At each class's threshold: found")
    assert any(line.startswith("VOC 2007 AP (11 points)") for line in lines)
    assert any(line.startswith("all ") for line in lines)
    assert not any("found = " in line or line.startswith(("evaluation: ", "warning: ")) for line in lines)
    # The sum of what was read and the time of the stage are no result.
    assert ("evaluation: " in told.err) == (not quiet)
    assert quiet == [] or told.err == ""
    logged = [line.split(" ", 3)[3] for line in log.read_text().splitlines()]
    assert [line.rstrip() for line in lines] == [line.rstrip() for line in logged if line in lines]
    assert any(line.startswith("evaluation: ") for line in logged)


def test_a_look_leaves_the_run_as_it_is(tool, run, capsys):
    files = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert tool.main([f"--run={run}", "--workers=1", "--metric=voc10", "--iou=0.8", "--diagnose"]) == 0
    output = capsys.readouterr().out
    assert "VOC 2010 AP (area), IoU >= 0.8" in output
    assert "cause of misses" in output
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == files


def test_diagnosis_in_a_run(tool, run, capsys):
    arguments = [f"--run={run}", "--workers=1", "--diagnose", "--evaluation.iou_threshold=0.8"]
    assert tool.main([*arguments, f"--json={run / 'out.json'}"]) == 0
    output = capsys.readouterr().out
    assert "if all errors of a type were repaired" in output
    assert "cause of misses" in output
    content = json.loads((run / "out.json").read_text())["diagnosis"]
    assert sum(content["missed"]["causes"].values()) == content["missed"]["count"] > 0
    assert (run / "evaluation/test.misses.json").is_file()


def test_files_alone(alone, finished, tmp_path, capsys):
    assert alone("--json", str(tmp_path / "out.json"), "--diagnose") == 0
    assert "COCO results, 1 file" in capsys.readouterr().err
    content = json.loads((tmp_path / "out.json").read_text())
    assert content["mAP"] == mean_ap(finished)
    assert content["diagnosis"]["missed"]["causes"] is None


@pytest.mark.parametrize("metric", ["voc07", "voc10", "coco"])
def test_metrics(alone, tmp_path, metric, capsys):
    assert alone(f"--metric={metric}", f"--json={tmp_path / 'out.json'}", "--intervals.resamples=20") == 0
    content = json.loads((tmp_path / "out.json").read_text())
    assert content["metric"] == content["settings"]["metric"] == metric
    assert ("coco" in content) == (metric == "coco")
    assert ("AP50" in capsys.readouterr().out) == (metric == "coco")


def test_other_detections_in_a_run(tool, run, tmp_path, capsys):
    """The devkit's files of the same run give the same figure."""
    folder = tmp_path / "comp4"
    folder.mkdir()
    for path in (run / "detections").glob("comp4*"):
        shutil.copy(path, folder)
    assert tool.main([f"--run={run}", "--workers=1", f"--detections={folder}", f"--json={tmp_path / 'out.json'}"]) == 0
    assert json.loads((tmp_path / "out.json").read_text())["mAP"] == mean_ap(run)


def test_comparison(alone, finished, tmp_path, capsys):
    """Against itself nothing differs; a detector that finds nothing is worse."""
    assert alone(f"--compare={finished}") == 0
    assert "no difference shown" in capsys.readouterr().out
    nothing = tmp_path / "nothing.json"
    nothing.write_text("[]")
    assert alone(f"--compare={nothing}", f"--json={tmp_path / 'out.json'}") == 0
    output = capsys.readouterr().out
    assert "the second detector is worse" in output
    assert "Second: Warning: there is no detection" in output
    content = json.loads((tmp_path / "out.json").read_text())["compare"]
    assert content["mAP"] == 0
    assert content["difference"]["verdict"] == "worse"
    assert content["difference"]["mAP"]["high"] < 0


def test_comparison_in_a_run(tool, run, finished, capsys):
    assert tool.main([f"--run={run}", "--workers=1", f"--compare={finished}"]) == 0
    assert "no difference shown" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("--detections=absent", "error: absent: expected detections, found nothing there"),
        ("--annotations=absent", "error: absent: expected a data set, found nothing there"),
        ("--split=val", "val"),
        ("--iou=0", "evaluation iou_threshold: expected a number in (0, 1], got 0"),
    ],
)
def test_what_cannot_be_used(alone, capsys, change, message):
    assert alone(change) == 2
    errors = capsys.readouterr().err
    assert message in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("option", ["--detections", "--annotations"])
def test_half_of_what_is_needed(tool, capsys, option):
    assert tool.main([option, "x"]) == 2
    assert (
        f"error: {option}: expected --detections and --annotations, or one of them and --run" in capsys.readouterr().err
    )


def test_class_file(alone, tmp_path, capsys):
    names = tmp_path / "names.txt"
    names.write_text("disc\nbox\n")
    assert alone(f"--classes={names}", f"--json={tmp_path / 'swapped.json'}") == 0
    names.write_text("box\ndisc\n")
    assert alone(f"--classes={names}", f"--json={tmp_path / 'right.json'}") == 0
    swapped, right = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("swapped", "right"))
    assert list(swapped["per_class"]) == ["disc", "box"]
    assert swapped["mAP"] < right["mAP"]
