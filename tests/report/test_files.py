import csv

import pytest
from PIL import Image

from detection.report import write_report


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_files_beside_the_page(written):
    _, paths = written
    folder = paths[0].with_suffix("")
    assert {path.parent for path in paths[1:]} == {folder}
    assert set(folder.iterdir()) == set(paths[1:])
    names = {path.name for path in paths[1:]}
    tables = (
        "classes",
        "errors",
        "errors_by_class",
        "misses",
        "causes",
        "confusion",
        "thresholds",
        "reliability",
        "times",
        "mining",
        "settings",
    )
    assert {f"{name}.{kind}" for name in tables for kind in ("csv", "png")} <= names
    assert {"precision_recall.csv", "precision_recall.png", "thresholds_curve.png"} <= names
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
    per_class = zip(run.evaluation.per_class, run.intervals.per_class, run.shown.found, strict=True)
    for row, (one, bound, count) in zip(found, per_class, strict=False):
        assert float(row["AP"]) == one.ap
        assert (float(row["AP interval, low"]), float(row["AP interval, high"])) == (bound.low, bound.high)
        assert int(row["found"]) == count
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


def test_files_of_both(two, tmp_path):
    paths = write_report(tmp_path / "two.html", *two)
    names = {path.name for path in paths}
    assert {"comparison.csv", "classes.csv", "classes_2.csv", "errors_2.csv", "precision_recall_2.csv"} <= names
    text = paths[0].read_text(encoding="utf-8")
    assert "Detection report: run0 and run1" in text
    assert "<h3>run1</h3>" in text
    assert "mAP differs by" in text
