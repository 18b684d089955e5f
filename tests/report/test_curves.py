from dataclasses import replace

import numpy as np
import pytest

from detection.report import ReportSettings
from detection.report.curves import (
    curve_points,
    curve_table,
    precision_recall,
    reliability_plot,
    reliability_table,
    score_plots,
    score_table,
)

SETTINGS = ReportSettings(bins=5, least_in_bin=2)


def test_points_are_those_after_each_hit(make_run):
    run = make_run(["cat", "dog"])
    for one in run.evaluation.per_class:
        scores, precision, recall = curve_points(one)
        assert len(scores) == one.true_positives
        assert (np.diff(scores) <= 0).all()
        assert np.allclose(recall, np.arange(1, len(recall) + 1) / one.objects)
        assert ((precision > 0) & (precision <= 1)).all()


def test_table_has_every_point_of_every_class(make_run):
    run = make_run(["cat", "dog"])
    table = curve_table(run)
    assert len(table.rows) == sum(one.true_positives for one in run.evaluation.per_class)
    name, score, precision, recall = table.rows[-1]
    last = run.evaluation.per_class[-1]
    hit = np.flatnonzero(last.matches.outcomes == 1)[-1]
    assert (name, score, precision, recall) == ("dog", last.scores[hit], last.precision[hit], last.recall[hit])


def test_a_plot_a_class_with_objects(make_run):
    run = make_run([f"c{i}" for i in range(60)])
    with_objects = [one.name for one in run.evaluation.per_class if one.objects]
    assert 0 < len(with_objects) < 60
    assert [plot.title for plot in precision_recall(run, None, 200)] == with_objects
    assert precision_recall(run, None, 0) == []


def test_of_more_classes_those_with_the_most_objects_in_the_lists_order(make_run):
    run = make_run([f"c{i}" for i in range(7)])
    assert [one.objects for one in run.evaluation.per_class] == [5, 4, 4, 5, 7, 5, 6]
    titles = [[plot.title for plot in precision_recall(run, None, most)] for most in (1, 2, 3, 4)]
    assert titles == [["c4"], ["c4", "c6"], ["c0", "c4", "c6"], ["c0", "c3", "c4", "c6"]]


def test_a_drawn_curve_goes_through_every_point(make_run):
    run = make_run(["cat"])
    (plot,) = precision_recall(run, None, 1)
    one = run.evaluation.per_class[0]
    _, precision, recall = curve_points(one)
    drawn = set(zip(plot.lines[0].x, plot.lines[0].y, strict=True))
    assert set(zip(recall.tolist(), precision.tolist(), strict=True)) <= drawn
    assert plot.lines[0].x[0] == 0
    assert (np.diff(plot.lines[0].x) >= 0).all()
    assert f"AP {one.ap:.3f}" in plot.alt


def test_no_detection_draws_nothing(make_run):
    run = make_run(["cat"], detected=False)
    (plot,) = precision_recall(run, None, 1)
    assert plot.strokes(0) == []
    assert curve_table(run).rows == ()
    assert score_table(run, SETTINGS) is None
    assert reliability_table(run, 10) is None


def test_every_detection_is_in_one_bin_of_scores(make_run):
    run = make_run(["cat", "dog", "cow"])
    table = score_table(run, SETTINGS)
    assert len(table.rows) == 5
    assert sum(row[2] for row in table.rows) == sum(one.true_positives for one in run.evaluation.per_class)
    assert sum(row[3] for row in table.rows) == sum(one.false_positives for one in run.evaluation.per_class)
    for _, _, found, false, share in table.rows:
        assert share == (found / (found + false) if found + false >= 2 else None)
    histogram, reliability = score_plots(table)
    areas = [sum(line.y[1:-1:2]) for line in histogram.lines]
    assert areas == pytest.approx([1, 1])
    assert len(reliability.lines[0].x) == 5


def test_equal_scores_have_a_histogram(make_run):
    run = make_run(["cat"])
    one = run.evaluation.per_class[0]
    matches = replace(one.matches, scores=np.full_like(one.matches.scores, 0.5))
    flat = replace(run.evaluation, per_class=(replace(one, matches=matches),))
    table = score_table(replace(run, evaluation=flat), SETTINGS)
    assert sum(row[2] + row[3] for row in table.rows) == one.detections


def test_reliability_by_hand(make_run):
    run = make_run(["cat"])
    one = run.evaluation.per_class[0]
    right = one.matches.outcomes == 1
    # Of those said to be 0.15 probable and of those said to be 0.85.
    values = np.where(np.arange(len(right)) % 2 == 0, 0.15, 0.85)
    table = reliability_table(replace(run, probabilities=(values,)), 10)
    rows = {round(row[0], 1): row for row in table.rows}
    assert rows[0.1][2:] == (np.sum(values < 0.5), pytest.approx(0.15), pytest.approx(right[values < 0.5].mean()))
    assert rows[0.8][4] == pytest.approx(right[values > 0.5].mean())
    assert rows[0.5][2:] == (0, None, None)
    gap = np.mean([abs(values[half].mean() - right[half].mean()) for half in (values < 0.5, values > 0.5)])
    assert len(right) % 2 == 0
    assert f"{gap:.4f}" in table.caption
    plot = reliability_plot(table, 1)
    assert list(plot.lines[0].x) == pytest.approx([0.15, 0.85])


def test_probability_one_is_in_the_last_bin(make_run):
    run = make_run(["cat"])
    count = run.evaluation.per_class[0].detections
    table = reliability_table(replace(run, probabilities=(np.ones(count),)), 4)
    assert [row[2] for row in table.rows] == [0, 0, 0, count]


def test_classes_without_probabilities_are_left_out(make_run):
    run = make_run(["cat", "dog"], probable=True)
    table = reliability_table(replace(run, probabilities=(run.probabilities[0], None)), 10)
    assert sum(row[2] for row in table.rows) == run.evaluation.per_class[0].detections
