"""An evaluation on screen."""

from __future__ import annotations

from rich.console import Group
from rich.table import Table
from rich.text import Text

from detection.evaluation.results import ClassEvaluation, Evaluation

_METRICS = {"voc07": "VOC 2007 AP (11 points)", "voc10": "VOC 2010 AP (area)"}
_DIFFICULT = {"ignore": "ignored", "count": "counted", "drop": "dropped"}
_COLUMNS = ("AP", "recall", "objects", "difficult", "found", "false", "repeated", "ignored")


def header(evaluation: Evaluation) -> str:
    """One line that states every setting and what was evaluated."""
    settings = evaluation.settings
    return (
        f"{_METRICS[settings.metric]}, IoU {settings.comparison} {settings.iou_threshold:g}, "
        f"difficult objects {_DIFFICULT[settings.difficult]}, {evaluation.images} images, "
        f"{evaluation.detections} detections"
    )


def table(evaluation: Evaluation) -> Group:
    """The header line, a row a class and their mean, and the warnings, as something rich can print.

    AP and recall are fractions; a dash stands for a class without objects. "repeated" is the part of
    "false" that lies on objects already found.
    """
    # No lines between columns, so that the names of VOC's classes fit a terminal 80 columns wide.
    result = Table(box=None, padding=(0, 1, 0, 0))
    result.add_column("class", overflow="fold")
    for name in _COLUMNS:
        result.add_column(name, justify="right")
    for one in evaluation.per_class:
        result.add_row(*map(Text, _cells(one)))
    known = sum(one.ap is not None for one in evaluation.per_class)
    result.add_row(Text(f"mean of {known}", style="bold"), Text(_fraction(evaluation.mean_ap), style="bold"))
    warnings = [Text(f"Warning: {one}", style="yellow") for one in evaluation.warnings]
    return Group(Text(header(evaluation)), result, *warnings)


def _fraction(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _cells(one: ClassEvaluation) -> list[str]:
    recall = one.true_positives / one.objects if one.objects else None
    counts = (one.objects, one.difficult, one.true_positives, one.false_positives, one.duplicates, one.ignored)
    return [one.name, _fraction(one.ap), _fraction(recall), *map(str, counts)]
