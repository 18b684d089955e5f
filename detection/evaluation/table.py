"""An evaluation, and the difference of two, on screen."""

from __future__ import annotations

from rich.console import Group
from rich.table import Table
from rich.text import Text

from detection.evaluation.intervals import Difference, Interval, Intervals
from detection.evaluation.metrics.coco import CocoFigures
from detection.evaluation.results import ClassEvaluation, Evaluation
from detection.evaluation.settings import IntervalSettings

_METRICS = {
    "voc07": "VOC 2007 AP (11 points)",
    "voc10": "VOC 2010 AP (area)",
    "coco": "COCO AP (IoU 0.5:0.95, 101 points, best 100 an image and class)",
}
_DIFFICULT = {"ignore": "ignored", "count": "counted", "drop": "dropped"}
_COLUMNS = ("recall", "objects", "difficult", "found", "false", "repeated", "ignored")
_VERDICTS = {
    "better": "the second detector is better",
    "worse": "the second detector is worse",
    "undecided": "no difference shown: 0 is inside the interval",
}


def header(evaluation: Evaluation, bounds: Intervals | None = None) -> str:
    """One line that states every setting and what was evaluated."""
    settings = evaluation.settings
    counted = "counts at " if settings.metric == "coco" else ""
    return (
        f"{_METRICS[settings.metric]}, {counted}IoU {settings.comparison} {settings.iou_threshold:g}, "
        f"difficult objects {_DIFFICULT[settings.difficult]}, {evaluation.images} images, "
        f"{evaluation.detections} detections{'' if bounds is None else f', {_method(bounds.settings)}'}"
    )


def table(evaluation: Evaluation, bounds: Intervals | None = None) -> Group:
    """The header line, a row a class and their mean, and the warnings, as something rich can print.

    AP and recall are fractions; a dash stands for a class without objects. "repeated" is the part of
    "false" that lies on objects already found. bounds: intervals of the AP, a column of their own.
    """
    result = _plain_table("AP", *(() if bounds is None else (_percent(bounds.settings),)), *_COLUMNS)
    for label, one in enumerate(evaluation.per_class):
        between = () if bounds is None else (_range(bounds.per_class[label]),)
        result.add_row(*map(Text, (one.name, fraction(one.ap), *between, *_counts(one))))
    known = sum(one.ap is not None for one in evaluation.per_class)
    between = () if bounds is None else (_range(bounds.mean_ap),)
    mean = (f"mean of {known}", fraction(evaluation.mean_ap), *between, fraction(evaluation.mean_recall))
    result.add_row(*(Text(cell, style="bold") for cell in mean))
    coco = [] if evaluation.coco is None else [Text(coco_line(evaluation.coco))]
    return Group(Text(header(evaluation, bounds)), result, *coco, *_warnings(evaluation))


def coco_line(figures: CocoFigures) -> str:
    """COCO's figures in a few lines."""
    ap = {"AP": "ap", "AP50": "ap50", "AP75": "ap75", "small": "ap_small", "medium": "ap_medium", "large": "ap_large"}
    recall = {"AR at 1": "recall_1", "10": "recall_10", "100": "recall_100"}
    recall |= {"small": "recall_small", "medium": "recall_medium", "large": "recall_large"}
    return "\n".join(
        ", ".join(f"{name} {fraction(getattr(figures, field))}" for name, field in names.items())
        for names in (ap, recall)
    )


def comparison_table(first: Evaluation, second: Evaluation, change: Difference | None) -> Group:
    """Two detectors on the same images: AP of both, the difference, its interval, and what may be said of it."""
    columns = ("first", "second", "difference", *(() if change is None else (_percent(change.settings),)))
    result = _plain_table(*columns)
    rows = [(one.name, one.ap, other.ap) for one, other in zip(first.per_class, second.per_class, strict=True)]
    ranges = [None] * len(rows) if change is None else change.per_class
    for (name, one, other), between in zip(rows, ranges, strict=True):
        cells = (name, fraction(one), fraction(other), _signed(one, other))
        result.add_row(*map(Text, (*cells, *(() if change is None else (_signed_range(between),)))))
    cells = ("mean", fraction(first.mean_ap), fraction(second.mean_ap), _signed(first.mean_ap, second.mean_ap))
    cells = (*cells, *(() if change is None else (_signed_range(change.mean_ap),)))
    result.add_row(*(Text(cell, style="bold") for cell in cells))
    warnings = [Text(f"Second: {one.plain}", style=one.style) for one in _warnings(second)]
    return Group(Text(comparison_header(change)), result, Text(verdict(change)), *warnings)


def comparison_header(change: Difference | None) -> str:
    """What the columns of a comparison are."""
    return "second minus first" + ("" if change is None else f", {_method(change.settings)}, the same for both")


def verdict(change: Difference | None) -> str:
    """Whether the second detector is better, in a sentence; nothing where there is no interval."""
    if change is None or change.mean_ap is None:
        return ""
    return f"{_VERDICTS[change.verdict]}; its mAP is higher in {change.better:.1%} of the resamples"


def fraction(value: float | None) -> str:
    """A fraction with three digits, a dash for None."""
    return "-" if value is None else f"{value:.3f}"


def _plain_table(*columns: str) -> Table:
    # No lines between columns, so that the names of VOC's classes fit a terminal 80 columns wide.
    result = Table(box=None, padding=(0, 1, 0, 0))
    result.add_column("class", overflow="fold")
    for name in columns:
        result.add_column(name, justify="right", no_wrap=True)
    return result


def _warnings(evaluation: Evaluation) -> list[Text]:
    return [Text(f"Warning: {one}", style="yellow") for one in evaluation.warnings]


def _method(settings: IntervalSettings) -> str:
    return f"{_percent(settings)} intervals by {settings.resamples} resamples of the images (seed {settings.seed})"


def _percent(settings: IntervalSettings) -> str:
    return f"{100 * settings.confidence:g}%"


def _range(one: Interval | None) -> str:
    return "-" if one is None else "-".join(f"{value:.2f}".removeprefix("0") for value in (one.low, one.high))


def _signed_range(one: Interval | None) -> str:
    return "-" if one is None else f"{one.low:+.3f} to {one.high:+.3f}"


def _signed(first: float | None, second: float | None) -> str:
    return "-" if first is None or second is None else f"{second - first:+.3f}"


def _counts(one: ClassEvaluation) -> list[str]:
    counts = (one.objects, one.difficult, one.true_positives, one.false_positives, one.duplicates, one.ignored)
    return [fraction(one.greatest_recall), *map(str, counts)]
