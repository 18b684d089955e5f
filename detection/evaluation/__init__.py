"""From detections and annotations to figures: average precision, intervals, and where a detector fails.

Functions of values: detections and annotations (to explain misses, proposals and their scores too) in, numbers out.
"""

from detection.evaluation.at_thresholds import NOTHING, AtThresholds, at_thresholds
from detection.evaluation.coco_figures import CocoFigures, coco_figures
from detection.evaluation.diagnosis import Diagnosis, diagnose, missed_rows, score_cuts
from detection.evaluation.errors import ERROR_TYPES, KINDS, ClassErrors, DetectionCase, Kind, NearestObject
from detection.evaluation.evaluate import evaluate
from detection.evaluation.intervals import Difference, Interval, Intervals, difference, intervals
from detection.evaluation.matching import DUPLICATE, FALSE_POSITIVE, IGNORED, TRUE_POSITIVE, ClassObjects, Matches
from detection.evaluation.metrics import METRICS, Metric
from detection.evaluation.metrics.metric import precision_recall
from detection.evaluation.metrics.voc import ELEVEN_POINTS, area_ap, eleven_point_ap
from detection.evaluation.misses import (
    ASPECTS,
    CAUSES,
    SIZES,
    Cause,
    MissCause,
    MissedObject,
    MissTable,
    cause_from_json,
    cause_to_json,
    explain_misses,
)
from detection.evaluation.results import ClassEvaluation, Evaluation
from detection.evaluation.settings import VOC_SIMILAR, DiagnosisSettings, EvaluationSettings, IntervalSettings
from detection.evaluation.table import comparison_table, diagnosis_table, header, shown_table, table, verdict

__all__ = [
    "ASPECTS",
    "CAUSES",
    "DUPLICATE",
    "ELEVEN_POINTS",
    "ERROR_TYPES",
    "FALSE_POSITIVE",
    "IGNORED",
    "KINDS",
    "METRICS",
    "NOTHING",
    "SIZES",
    "TRUE_POSITIVE",
    "VOC_SIMILAR",
    "AtThresholds",
    "Cause",
    "ClassErrors",
    "ClassEvaluation",
    "ClassObjects",
    "CocoFigures",
    "DetectionCase",
    "Diagnosis",
    "DiagnosisSettings",
    "Difference",
    "Evaluation",
    "EvaluationSettings",
    "Interval",
    "IntervalSettings",
    "Intervals",
    "Kind",
    "Matches",
    "Metric",
    "MissCause",
    "MissTable",
    "MissedObject",
    "NearestObject",
    "area_ap",
    "at_thresholds",
    "cause_from_json",
    "cause_to_json",
    "coco_figures",
    "comparison_table",
    "diagnose",
    "diagnosis_table",
    "difference",
    "eleven_point_ap",
    "evaluate",
    "explain_misses",
    "header",
    "intervals",
    "missed_rows",
    "precision_recall",
    "score_cuts",
    "shown_table",
    "table",
    "verdict",
]
