from dataclasses import replace

import numpy as np
import pytest

from detection.report.figures import (
    cause_table,
    class_table,
    comparison_table,
    confusion_table,
    kind_table,
    mining_table,
    miss_table,
    settings_table,
    stage_table,
)


def test_comparison(two):
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


def test_settings_that_differ_come_first(make_run):
    first = make_run(["cat"], detected=False)
    changed = {**first.settings, "svm": {"C": 0.1}, "extra": None}
    table = settings_table(first, replace(first, settings=changed))
    assert table.rows[:2] == (("svm.C", "0.01", "0.1", "differs"), ("extra", "", "none", "differs"))
    assert all(row[3] == "" for row in table.rows[2:])


def test_classes_lead_with_what_is_shown_at_their_thresholds(make_run):
    run = make_run(["cat", "dog"])
    table, shown = class_table(run), run.shown
    assert [column.title for column in table.columns[:6]] == ["class", "objects", "found", "missed", "false", "AP"]
    assert [column.title for column in table.columns[-2:]] == ["shown from", "margin"]
    for row, one, *counts in zip(
        table.rows, run.evaluation.per_class, shown.objects, shown.found, shown.missed, shown.false, strict=False
    ):
        assert row[:6] == (one.name, *counts, one.ap)
        assert row[-2:] == (pytest.approx(1 / (1 + np.exp(0.75))), -0.75)
    sums = [int(one.sum()) for one in (shown.objects, shown.found, shown.missed, shown.false)]
    assert table.rows[-1][:6] == ("all", *sums, run.evaluation.mean_ap)
    # A low-scored box is not false.
    assert sums[3] < sum(one.false_positives for one in run.evaluation.per_class)


def test_classes_that_are_not_calibrated_say_so(make_run):
    run = make_run(["cat", "dog"])
    half = replace(run.calibration, trained=np.array([True, False]))
    table = class_table(replace(run, calibration=half))
    assert [row[-1] for row in table.rows] == ["", "uncalibrated", ""]
    assert "calibration" not in [column.title for column in class_table(run).columns]


def test_confusion_has_every_object_and_false_box(make_run):
    run = make_run(["cat", "dog"])
    table = confusion_table(run)
    assert [column.title for column in table.columns] == ["object", "cat", "dog", "nothing"]
    counts = np.array([row[1:] for row in table.rows])
    assert counts[:-1].sum(axis=1).tolist() == run.shown.objects.tolist()
    assert np.diag(counts)[:-1].tolist() == run.shown.found.tolist()
    assert sum(counts[-1]) + counts[0, 1] + counts[1, 0] == run.shown.false.sum()
    assert [sum(row) for row in table.shades] == pytest.approx(list(map(float, counts.any(axis=1))))


def test_of_many_classes_only_what_was_confused(make_run):
    run = make_run([f"c{i}" for i in range(31)])
    table = confusion_table(run)
    assert table.rows == tuple((a, b, count) for count, a, b in run.shown.confused)
    assert table.rows


def test_errors_and_misses_are_the_diagnosis(make_run):
    run = make_run(["cat", "dog"])
    kinds = {row[0]: row for row in kind_table(run).rows}
    assert kinds["similar"][1] == run.diagnosis.shares["similar"]
    assert kinds["similar"][3] == pytest.approx(run.diagnosis.repaired["similar"] - run.diagnosis.mean_ap)
    assert kinds["correct"][2] is None
    sizes = [row for row in miss_table(run).rows if row[0] == "size"]
    assert sum(row[3] for row in sizes) == len(run.diagnosis.missed)
    words = {by: [row[1] for row in miss_table(run).rows if row[0] == by] for by in ("size", "aspect")}
    assert words == {
        "size": ["extra small", "small", "medium", "large", "extra large"],
        "aspect": ["extra tall", "tall", "medium", "wide", "extra wide"],
    }
    causes = cause_table(run).rows
    assert {row[0]: row[1] for row in causes} == run.diagnosis.causes


def test_times_and_their_sum(make_run):
    table = stage_table(make_run(["cat"], detected=False))
    assert [row[:2] for row in table.rows] == [("svms", 12.5), ("detections", 4.0), ("all", 16.5)]
    assert table.rows[0][2] == pytest.approx(12.5 / 16.5)


def test_columns_of_the_mining_log_are_numbers_where_all_are(make_run):
    run = make_run(["cat"], detected=False)
    table = mining_table(run)
    assert [column.kind for column in table.columns] == ["text", "number", "number", "text"]
    assert table.rows == (("a", 10, 1.5e-06, "True"), ("b", 9, None, "False"))
    assert mining_table(replace(run, mining=())) is None
