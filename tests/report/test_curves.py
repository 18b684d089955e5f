from dataclasses import replace

import numpy as np
import pytest

from detection.report.curves import (
    curve_points,
    curve_table,
    precision_recall,
    reliability_plot,
    reliability_table,
    threshold_plot,
    threshold_table,
)


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
    name, chance, score, precision, recall = table.rows[-1]
    assert chance == pytest.approx(1 / (1 + np.exp(-score)))
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
    assert threshold_table(run, 20) is None
    assert reliability_table(run, 10) is None


def test_thresholds_by_hand(make_run):
    run = make_run(["cat", "dog"])
    table = threshold_table(run, 4)
    assert [row[0] for row in table.rows] == [0.25, 0.5, 0.75]
    counted = [one.matches.scores[one.matches.counts] for one in run.evaluation.per_class]
    for least, found, missed, false, precision, recall, f1 in table.rows:
        margin = np.log(least / (1 - least))
        hits = [
            int(one.matches.hits[of >= margin].sum()) for one, of in zip(run.evaluation.per_class, counted, strict=True)
        ]
        assert found == sum(hits)
        assert found + missed == run.shown.objects.sum()
        assert found + false == sum((of >= margin).sum() for of in counted)
        assert (precision, recall) == (found / (found + false), found / (found + missed))
        assert f1 == pytest.approx(2 * precision * recall / (precision + recall))
    plot = threshold_plot(table)
    assert [line.name for line in plot.lines] == ["precision", "recall"]
    assert plot.lines[1].y == [row[5] for row in table.rows]


def told(run, values):
    """The run with detections that are said to be so probable: values, a probability for each score."""
    one = run.evaluation.per_class[0]
    margins = np.log(values / (1 - values)).astype(np.float32)
    return replace(
        run, evaluation=replace(run.evaluation, per_class=(replace(one, matches=replace(one.matches, scores=margins)),))
    )


def test_reliability_by_hand(make_run):
    run = make_run(["cat"])
    right = run.evaluation.per_class[0].matches.outcomes == 1
    # Of those said to be 0.15 probable and of those said to be 0.85.
    values = np.where(np.arange(len(right)) % 2 == 0, 0.15, 0.85)
    table = reliability_table(told(run, values), 10)
    rows = {round(row[0], 1): row for row in table.rows}
    assert rows[0.1][2:] == (np.sum(values < 0.5), pytest.approx(0.15), pytest.approx(right[values < 0.5].mean()))
    assert rows[0.8][4] == pytest.approx(right[values > 0.5].mean())
    assert rows[0.5][2:] == (0, None, None)
    gap = np.mean([abs(values[half].mean() - right[half].mean()) for half in (values < 0.5, values > 0.5)])
    assert len(right) % 2 == 0
    assert f"{gap:.4f}" in table.caption
    for least in (1, len(right) // 2):
        plot = reliability_plot(table, least)
        assert list(plot.lines[0].x) == pytest.approx([0.15, 0.85])
    assert "Farthest from it" in plot.alt
    few = reliability_plot(table, len(right) // 2 + 1)
    assert (list(few.lines[0].x), "Farthest from it" in few.alt) == ([], False)


def test_what_is_hardly_probable_is_not_measured(make_run):
    run = make_run(["cat"])
    count = run.evaluation.per_class[0].detections
    values = np.where(np.arange(count) == 0, 0.999999, 0.005)
    assert [row[2] for row in reliability_table(told(run, values), 4).rows] == [0, 0, 0, 1]
    assert reliability_table(told(run, np.full(count, 0.005)), 4) is None


def test_classes_that_are_not_calibrated_are_left_out(make_run):
    run = make_run(["cat", "dog"])
    half = replace(run, calibration=replace(run.calibration, trained=np.array([True, False])))
    table = reliability_table(half, 10)
    assert sum(row[2] for row in table.rows) == (run.probabilities(0) >= 0.01).sum()
    assert reliability_table(make_run(["cat"], calibrated=False), 10) is None
