from dataclasses import replace

import pytest

from detection.report.figures import (
    cause_table,
    class_table,
    comparison_table,
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


def test_classes_and_their_sums(make_run):
    run = make_run(["cat", "dog"])
    table = class_table(run)
    objects = [column.title for column in table.columns].index("objects")
    counts = [one.objects for one in run.evaluation.per_class]
    assert [row[objects] for row in table.rows] == [*counts, sum(counts)]
    assert [row[1] for row in table.rows] == [*(one.ap for one in run.evaluation.per_class), run.evaluation.mean_ap]


def test_errors_and_misses_are_the_diagnosis(make_run):
    run = make_run(["cat", "dog"])
    kinds = {row[0]: row for row in kind_table(run).rows}
    assert kinds["similar"][1] == run.diagnosis.shares["similar"]
    assert kinds["similar"][3] == pytest.approx(run.diagnosis.repaired["similar"] - run.diagnosis.mean_ap)
    assert kinds["correct"][2] is None
    sizes = [row for row in miss_table(run).rows if row[0] == "size"]
    assert sum(row[3] for row in sizes) == len(run.diagnosis.missed)
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
