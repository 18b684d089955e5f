"""The metrics: each one a `Metric` in a file of its own, and the list of them."""

from detection.evaluation.metrics.coco import COCO
from detection.evaluation.metrics.metric import Metric
from detection.evaluation.metrics.voc import VOC07, VOC10

# By name; a metric that is added here is known to settings, tables and intervals.
METRICS: dict[str, Metric] = {one.name: one for one in (VOC07, VOC10, COCO)}


def at_one_threshold(metric: Metric) -> Metric:
    """The metric, or VOC 2010's in place of one over several IoU thresholds: for what is computed at one of them."""
    return VOC10 if metric.thresholds else metric
