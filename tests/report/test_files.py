import csv
import re
from dataclasses import replace

import pytest
from PIL import Image

from detection.evaluation import IntervalSettings, difference
from detection.report import Comparison, ReportSettings, write_report
from detection.report.facts import settings_table
from detection.report.figures import comparison_table
from detection.report.page import GENERATOR


@pytest.fixture(scope="module")
def written(make_run, tmp_path_factory):
    """(run, all files of its report)."""
    run = make_run(["cat", "dog", "cow"])
    return run, write_report(tmp_path_factory.mktemp("report") / "mine.html", run)


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_one_page_that_needs_nothing_beside_it(written):
    text = re.sub(r"data:image/jpeg;base64,[A-Za-z0-9+/=]+", "data:", written[1][0].read_text(encoding="utf-8"))
    assert GENERATOR in text
    assert len(text) < 200_000
    assert re.findall(r"(?:src|href|action|srcset|data)=\"(?!data:|#)[^\"]*\"", text) == []
    assert re.findall(r"url\(|@import|https?:|//[a-z]", text) == []
    assert "default-src 'none'" in text


def test_files_beside_the_page(written):
    _, paths = written
    folder = paths[0].with_suffix("")
    assert {path.parent for path in paths[1:]} == {folder}
    assert set(folder.iterdir()) == set(paths[1:])
    names = {path.name for path in paths[1:]}
    tables = ("classes", "errors", "errors_by_class", "misses", "causes", "scores", "times", "mining", "settings")
    assert {f"{name}.{kind}" for name in tables for kind in ("csv", "png")} <= names
    assert {"precision_recall.csv", "precision_recall.png", "scores_curve.png"} <= names
    for path in paths[1:]:
        if path.suffix == ".png":
            with Image.open(path) as image:
                assert len(image.convert("RGB").getcolors(1 << 20)) > 2
        else:
            assert len(rows(path)) > 0


def test_figures_in_the_files_are_those_of_the_evaluation(written):
    run, paths = written
    found = rows(paths[0].with_suffix("") / "classes.csv")
    assert [row["class"] for row in found[:-1]] == list(run.classes)
    for row, one, bound in zip(found, run.evaluation.per_class, run.intervals.per_class, strict=False):
        assert float(row["AP"]) == one.ap
        assert (float(row["AP interval, low"]), float(row["AP interval, high"])) == (bound.low, bound.high)
        assert int(row["found"]) == one.true_positives
    assert float(found[-1]["AP"]) == run.evaluation.mean_ap
    errors = rows(paths[0].with_suffix("") / "errors.csv")
    assert sum(float(row["share"]) for row in errors) == pytest.approx(1)
    mining = rows(paths[0].with_suffix("") / "mining.csv")
    assert mining == [
        {"class": "a", "positives": "10", "gap": "1.5e-06", "converged": "True"},
        {"class": "b", "positives": "9", "gap": "", "converged": "False"},
    ]
    times = rows(paths[0].with_suffix("") / "times.csv")
    assert [(row["stage"], float(row["time"])) for row in times] == [("svms", 12.5), ("detections", 4.0), ("all", 16.5)]


def test_page_shows_the_same_figures(written):
    run, paths = written
    text = paths[0].read_text(encoding="utf-8")
    bound = run.intervals.mean_ap
    assert f"{run.evaluation.mean_ap:.3f}" in text
    assert f"95 % interval {bound.low:.3f} to {bound.high:.3f}" in text
    assert "one note" in text
    assert "VOC 2007 AP (11 points), IoU &gt;= 0.5" in text


def test_the_same_run_gives_the_same_bytes(written, tmp_path):
    run, paths = written
    again = write_report(tmp_path / "mine.html", run)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in paths]


def test_an_older_report_is_replaced_and_nothing_else(make_run, tmp_path):
    run, path = make_run(["cat"], detected=False), tmp_path / "a.html"
    write_report(path, run)
    (tmp_path / "a" / "mine.txt").write_text("mine")
    write_report(path, run)
    assert (tmp_path / "a" / "mine.txt").read_text() == "mine"
    other = tmp_path / "b.html"
    other.write_text("<p>my page")
    with pytest.raises(ValueError, match=r"b\.html: expected no file or an older report, found another file"):
        write_report(other, run)
    assert other.read_text() == "<p>my page"
    (tmp_path / "c").write_text("mine")
    with pytest.raises(ValueError, match="expected a folder for the report's tables, found a file"):
        write_report(tmp_path / "c.html", run)
    with pytest.raises(ValueError, match=r"report\.pdf: expected a file name that ends in \.html"):
        write_report(tmp_path / "report.pdf", run)


def test_no_intervals_no_column(make_run, tmp_path):
    paths = write_report(tmp_path / "a.html", make_run(["cat"], resamples=0))
    assert "AP interval" not in paths[0].read_text(encoding="utf-8")
    assert "interval" not in " ".join(rows(tmp_path / "a" / "classes.csv")[0])


def test_size_is_bounded(make_run, tmp_path):
    run = make_run([f"class {i}" for i in range(40)])
    ample = write_report(tmp_path / "ample.html", run, settings=ReportSettings(pictures=50))[0].stat().st_size
    assert ample > 1_000_000
    small = write_report(tmp_path / "small.html", run, settings=ReportSettings(pictures=50, max_megabytes=1))[0]
    assert small.stat().st_size <= 1_000_000
    assert "<img" in small.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def two(make_run):
    """A run, and a second one with what they differ by."""
    first, second = (make_run(["cat", "dog"], seed=i, name=f"run{i}") for i in range(2))
    return first, Comparison(second, difference(first.evaluation, second.evaluation, IntervalSettings(60)))


class TestComparison:
    """Two runs side by side."""

    def test_table(self, two):
        first, comparison = two
        other, change = comparison.other, comparison.difference
        table = comparison_table(*two)
        assert len(table.rows) == 3
        for i, row in enumerate(table.rows[:-1]):
            one, two_ap = first.evaluation.per_class[i].ap, other.evaluation.per_class[i].ap
            bound = change.per_class[i]
            assert row[1:5] == (one, two_ap, two_ap - one, (bound.low, bound.high))
            assert row[5] == bound.verdict
        assert table.rows[-1][3] == pytest.approx(change.mean_ap.value)

    def test_files_of_both(self, two, tmp_path):
        paths = write_report(tmp_path / "two.html", *two)
        names = {path.name for path in paths}
        assert {"comparison.csv", "classes.csv", "classes_2.csv", "errors_2.csv", "precision_recall_2.csv"} <= names
        text = paths[0].read_text(encoding="utf-8")
        assert "Detection report: run0 and run1" in text
        assert "mAP of run1" in text
        assert "mAP differs by" in text


def test_settings_that_differ_come_first(make_run):
    first = make_run(["cat"], detected=False)
    changed = {**first.settings, "svm": {"C": 0.1}, "extra": None}
    table = settings_table(first, replace(first, settings=changed))
    assert table.rows[:2] == (("svm.C", "0.01", "0.1", "differs"), ("extra", "", "none", "differs"))
    assert all(row[3] == "" for row in table.rows[2:])


def test_images_must_be_those_evaluated(make_run):
    run = make_run(["cat"])
    with pytest.raises(ValueError, match="report of run: expected the 12 evaluated images in order, got 11 images"):
        replace(run, images=run.images[1:])
