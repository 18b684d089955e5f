"""Average precision: detections and annotations in, numbers out."""

from detection.evaluation.average_precision import ELEVEN_POINTS, area_ap, eleven_point_ap, precision_recall
from detection.evaluation.evaluate import evaluate
from detection.evaluation.matching import DUPLICATE, FALSE_POSITIVE, IGNORED, TRUE_POSITIVE, Matches
from detection.evaluation.results import ClassEvaluation, Evaluation
from detection.evaluation.settings import EvaluationSettings
from detection.evaluation.table import header, table

__all__ = [
    "DUPLICATE",
    "ELEVEN_POINTS",
    "FALSE_POSITIVE",
    "IGNORED",
    "TRUE_POSITIVE",
    "ClassEvaluation",
    "Evaluation",
    "EvaluationSettings",
    "Matches",
    "area_ap",
    "eleven_point_ap",
    "evaluate",
    "header",
    "precision_recall",
    "table",
]
