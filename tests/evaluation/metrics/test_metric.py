import io
import json
from functools import partial

import numpy as np
import pytest
from rich.console import Console

from detection.evaluation import (
    METRICS,
    EvaluationSettings,
    IntervalSettings,
    Metric,
    diagnose,
    diagnosis_table,
    evaluate,
    intervals,
    precision_recall,
    table,
)
from detection.evaluation.metrics import VOC07, VOC10, at_one_threshold
from detection.evaluation.metrics.metric import interpolated_ap

CLASSES = ("a", "b", "c")
HUNDRED = tuple(i / 100 for i in range(101))


def curve(outcomes, objects):
    return precision_recall(np.array(outcomes, dtype=bool), objects)


def test_precision_and_recall_by_hand():
    precision, recall = curve([1, 0, 1, 1], 4)
    assert precision.tolist() == [1, 1 / 2, 2 / 3, 3 / 4]
    assert recall.tolist() == [1 / 4, 1 / 4, 2 / 4, 3 / 4]


def test_recall_is_not_a_number_without_objects():
    precision, recall = curve([0, 0], 0)
    assert precision.tolist() == [0, 0]
    assert np.isnan(recall).all()


def test_mean_of_the_best_precision_at_points():
    # Best precision to the right: 1 up to recall 1/4, then 3/4 up to recall 3/4, then nothing.
    assert interpolated_ap(*curve([1, 0, 1, 1], 4), (0.2, 0.5, 0.75, 0.8)) == pytest.approx((1 + 3 / 4 + 3 / 4) / 4)


def best_f1(precision, recall):
    return float((2 * precision * recall / np.maximum(precision + recall, 1e-12)).max(initial=0.0))


def shown(what):
    console = Console(width=200, file=io.StringIO())
    console.print(what)
    return console.file.getvalue()


@pytest.fixture
def added(monkeypatch):
    """``added(metric)``: a metric of somebody else's, known as if it stood in the package's list."""
    return lambda metric: monkeypatch.setitem(METRICS, metric.name, metric)


def test_a_metric_from_outside_has_figures_and_a_table(added, random_case, truth, found):
    added(Metric("best_f1", "Best F1", best_f1))
    boxes = [[0, 0, 10, 10], [20, 0, 30, 10], [60, 60, 70, 70]]
    by_hand = evaluate([found("x", [boxes[0], boxes[2]], [0.9, 0.8])], [truth("x", boxes[:2])], ["cat"], "best_f1")
    # Precision 1 at recall 1/2, then 1/2 at 1/2: F1 is 2/3, then 1/2.
    assert by_hand.mean_ap == pytest.approx(2 / 3)
    detections, annotations = random_case(3, images=20)
    result = evaluate(detections, annotations, CLASSES, "best_f1", 0.2)
    for one in result.per_class:
        assert one.ap == best_f1(one.precision, one.recall)
    text = shown(table(result, intervals(result, IntervalSettings(30))))
    assert "Best F1, IoU >= 0.2" in text
    assert f"a {result.per_class[0].ap:.3f}" in " ".join(text.split())
    assert json.loads(json.dumps(result.to_json()))["metric"] == "best_f1"
    bounds = intervals(result, IntervalSettings(100)).mean_ap
    assert 0 <= bounds.low < bounds.high <= 1
    errors = diagnose(result, annotations)
    assert errors.mean_ap == result.mean_ap
    assert f"mAP {result.mean_ap:.3f}, if all errors" in shown(diagnosis_table(errors))


def test_points_and_calls_give_the_same_intervals(added, random_case):
    """What the compiled kernel reads at `points` is what `average` gives, called for every resample."""
    detections, annotations = random_case(5, images=20)
    average = partial(interpolated_ap, points=HUNDRED)
    for name, metric in (("fast", Metric("fast", "AP", average, HUNDRED)), ("slow", Metric("slow", "AP", average))):
        added(metric)
        result = evaluate(detections, annotations, CLASSES, name, 0.2)
        bounds = intervals(result, IntervalSettings(50))
        if name == "fast":
            first = bounds
    assert 0 < first.mean_ap.low < first.mean_ap.high
    for one, other in zip((first.mean_ap, *first.per_class), (bounds.mean_ap, *bounds.per_class), strict=True):
        assert (one.value, one.low, one.high) == pytest.approx((other.value, other.low, other.high), abs=1e-12)


def test_a_metric_over_thresholds_of_its_own(added, random_case):
    """COCO's matching at one IoU threshold and its 101 recalls is its AP50."""
    added(Metric("half", "COCO AP50", METRICS["coco"].average, METRICS["coco"].points, (0.5,)))
    detections, annotations = random_case(2, images=60)
    half, coco = (evaluate(detections, annotations, CLASSES, metric) for metric in ("half", "coco"))
    assert half.coco.ap == half.coco.ap50 == coco.coco.ap50
    assert half.mean_ap > 0
    assert half.mean_ap == pytest.approx(coco.coco.ap50)
    assert half.coco.ap75 is None
    assert "COCO AP50, counts at IoU >= 0.5" in shown(table(half))


def test_what_is_computed_at_one_threshold_is_vocs(added):
    assert at_one_threshold(METRICS["coco"]) is VOC10
    assert at_one_threshold(VOC07) is VOC07


def test_settings_name_the_metrics_that_are_known(added):
    with pytest.raises(ValueError, match="metric: expected one of voc07, voc10, coco, got 'best_f1'"):
        EvaluationSettings(metric="best_f1")
    added(Metric("best_f1", "Best F1", best_f1))
    assert EvaluationSettings(metric="best_f1").metric == "best_f1"
