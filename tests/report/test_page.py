import re
from dataclasses import replace

from detection.report import ReportSettings, write_report
from detection.report.page import GENERATOR, build, page


def test_one_page_that_needs_nothing_beside_it(written):
    text = re.sub(r"data:image/jpeg;base64,[A-Za-z0-9+/=]+", "data:", written[1][0].read_text(encoding="utf-8"))
    assert GENERATOR in text
    assert len(text) < 200_000
    assert re.findall(r"(?:src|href|action|srcset|data)=\"(?!data:|#)[^\"]*\"", text) == []
    assert re.findall(r"url\(|@import|https?:|//[a-z]", text) == []
    assert "default-src 'none'" in text


def test_page_shows_the_same_figures(written):
    run, paths = written
    text = paths[0].read_text(encoding="utf-8")
    bound = run.intervals.mean_ap
    assert f"{run.evaluation.mean_ap:.3f}" in text
    assert f"95% interval {bound.low:.3f} to {bound.high:.3f}" in text
    assert "one note" in text
    assert "VOC 2007 AP (11 points), IoU &gt;= 0.5" in text


def test_a_page_of_two_runs_has_the_tables_of_both(two):
    content = build(*two, ReportSettings())
    names = [table.name for table in content.tables()]
    assert len(set(names)) == len(names)
    assert {"classes", "classes_2", "errors", "errors_2", "comparison", "confusion_2", "thresholds", "settings"} <= set(
        names
    )
    text = page(*two, content, ReportSettings(pictures=0))
    assert all(f'id="table-{name}"' in text for name in names)
    assert "run0" in text
    assert "run1" in text


def test_a_long_mining_log_is_cut_on_the_page_alone(make_run):
    run = make_run(["cat"], detected=False)
    log = (run.mining[0], *[("a", str(i), "0.5", "True") for i in range(500)])
    content = build(replace(run, mining=log), None, ReportSettings())
    text = page(run, None, content, ReportSettings())
    assert len(content.runs[0][2]["mining"].rows) == 500
    assert "The first 400 of 500 rows; the CSV file has all." in text


def test_size_is_bounded(make_run, tmp_path):
    run = make_run([f"class {i}" for i in range(40)])
    ample = write_report(tmp_path / "ample.html", run, settings=ReportSettings(pictures=50))[0].stat().st_size
    assert ample > 1_000_000
    small = write_report(tmp_path / "small.html", run, settings=ReportSettings(pictures=50, max_megabytes=1))[0]
    assert small.stat().st_size <= 1_000_000
    assert "<img" in small.read_text(encoding="utf-8")
