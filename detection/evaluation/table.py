"""An evaluation, the difference of two, and a diagnosis on screen."""

from collections.abc import Iterable, Sequence

import numpy as np
from rich.console import Group
from rich.table import Table
from rich.text import Text

from detection.evaluation.at_thresholds import AtThresholds
from detection.evaluation.coco_figures import CocoFigures
from detection.evaluation.diagnosis import Diagnosis
from detection.evaluation.errors import COUNTED_KINDS
from detection.evaluation.intervals import Difference, Interval, Intervals
from detection.evaluation.misses import CAUSES
from detection.evaluation.results import ClassEvaluation, Evaluation
from detection.evaluation.settings import IntervalSettings
from detection.talking import percent

_DIFFICULT = {"ignore": "ignored", "count": "counted", "drop": "dropped"}
_COLUMNS = ("recall", "objects", "difficult", "found", "unmatched", "repeated", "ignored")
_CONFUSED = 5
_VERDICTS = {
    "better": "the second detector is better",
    "worse": "the second detector is worse",
    "undecided": "no difference shown: 0 is inside the interval",
}
# What a cause of misses calls for.
_REMEDIES = {
    "no proposal": "work on proposals",
    "moved away": "work on box regression",
    "scored low": "work on features and training",
    "suppressed": "work on suppression (nms_iou), or on scores that favour whole objects",
}


def header(evaluation: Evaluation, bounds: Intervals | None = None) -> str:
    """One line that states every setting and what was evaluated."""
    settings = evaluation.settings
    counted = "counts at " if evaluation.metric.thresholds else ""
    return (
        f"{evaluation.metric.title}, {counted}IoU {settings.comparison} {settings.iou_threshold:g}, "
        f"difficult objects {_DIFFICULT[settings.difficult]}, {evaluation.images} images, "
        f"{evaluation.detections} detections{'' if bounds is None else f', {_method(bounds.settings)}'}"
    )


def table(evaluation: Evaluation, bounds: Intervals | None = None) -> Group:
    """The header line, a row a class and their mean, and the warnings, as something rich can print.

    AP and recall are fractions; a dash stands for a class without objects. All detections are counted, those of the
    lowest scores too; "repeated" is the part of "unmatched" that lies on objects already found. bounds: intervals of
    the AP, a column of their own.
    """
    columns, ranges = ["AP", *_COLUMNS], [()] * (len(evaluation.per_class) + 1)
    if bounds is not None:
        columns.insert(1, _percent(bounds.settings))
        ranges = [(_range(one),) for one in (*bounds.per_class, bounds.mean_ap)]
    rows = [
        (one.name, fraction(one.ap), *between, fraction(one.greatest_recall), *_counts(one))
        for one, between in zip(evaluation.per_class, ranges, strict=False)
    ]
    known = sum(one.ap is not None for one in evaluation.per_class)
    rows.append((f"mean of {known}", fraction(evaluation.mean_ap), *ranges[-1], fraction(evaluation.mean_recall)))
    coco = [] if evaluation.coco is None else [Text(coco_line(evaluation.coco))]
    return Group(
        Text(header(evaluation, bounds)), plain_table(("class", *columns), rows), *coco, *_warnings(evaluation)
    )


def shown_table(shown: AtThresholds, evaluation: Evaluation, bounds: Intervals | None = None) -> Group:
    """What is found, missed and false at the thresholds, with AP beside: a line, and a row a class and of all.

    "from": the probability at the threshold, with ~ where the class is not calibrated.
    """
    columns = ["class", "from", "objects", "found", "missed", "false", "AP"]
    columns += [] if bounds is None else [_percent(bounds.settings)]
    aps = [*(one.ap for one in evaluation.per_class), evaluation.mean_ap]
    ranges = [None] * len(aps) if bounds is None else [*bounds.per_class, bounds.mean_ap]
    signs = ["" if one else "~" for one in shown.calibrated]
    names = [
        *zip(shown.classes, (f"{a}{percent(b)}" for a, b in zip(signs, shown.probabilities, strict=True)), strict=True)
    ]
    counts = np.stack([shown.objects, shown.found, shown.missed, shown.false], axis=1)
    rows = [
        (*name, *map(str, row), fraction(ap), *([] if bounds is None else [_range(between)]))
        for name, row, ap, between in zip(
            [*names, ("all", "")], [*counts.tolist(), counts.sum(axis=0).tolist()], aps, ranges, strict=True
        )
    ]
    confused = ", ".join(f"{count} {is_one} as {other}" for count, is_one, other in shown.confused[:_CONFUSED])
    lines = [Text(f"Found as another class: {confused}")] if confused else []
    mean = "" if bounds is None else f" ({_range(bounds.mean_ap)})"
    head = f"At each class's threshold: {shown.line()}; mAP {fraction(evaluation.mean_ap)}{mean}"
    return Group(
        Text(head), plain_table(columns, rows), *lines, Text(header(evaluation, bounds)), *_warnings(evaluation)
    )


def coco_line(figures: CocoFigures) -> str:
    """COCO's figures in a few lines."""
    ap = {"AP": "ap", "AP50": "ap50", "AP75": "ap75", "small": "ap_small", "medium": "ap_medium", "large": "ap_large"}
    recall = {"AR at 1": "recall_1", "10": "recall_10", "100": "recall_100"}
    recall |= {"small": "recall_small", "medium": "recall_medium", "large": "recall_large"}
    lines = ([f"{name} {fraction(getattr(figures, field))}" for name, field in row.items()] for row in (ap, recall))
    return "\n".join(map(", ".join, lines))


def comparison_table(first: Evaluation, second: Evaluation, change: Difference | None) -> Group:
    """Two detectors on the same images: AP of both, the difference, its interval, and what may be said of it."""
    head, columns = "second minus first", ["class", "first", "second", "difference"]
    rows = [[one.name, one.ap, other.ap] for one, other in zip(first.per_class, second.per_class, strict=True)]
    rows.append(["mean", first.mean_ap, second.mean_ap])
    cells = [[name, fraction(one), fraction(other), _signed(one, other)] for name, one, other in rows]
    if change is not None:
        head += f", {_method(change.settings)}, the same for both"
        columns.append(_percent(change.settings))
        for row, between in zip(cells, (*change.per_class, change.mean_ap), strict=True):
            row.append("-" if between is None else f"{between.low:+.3f} to {between.high:+.3f}")
    warnings = [Text(f"Second: {one.plain}", style=one.style) for one in _warnings(second)]
    return Group(Text(head), plain_table(columns, cells), Text(verdict(change)), *warnings)


def verdict(change: Difference | None) -> str:
    """Whether the second detector is better, in a sentence; nothing where there is no interval."""
    if change is None or change.mean_ap is None:
        return ""
    return f"{_VERDICTS[change.verdict]}; its mAP is higher in {percent(change.better, 1)} of the resamples"


def diagnosis_table(diagnosis: Diagnosis) -> Group:
    """Shares of the error types among the top-ranked, mAP if each were repaired, and the missed objects by kind."""
    figure = "VOC 2010 mAP" if diagnosis.evaluation.metric.thresholds else "mAP"
    repaired = diagnosis.repaired and ", ".join(f"{kind} {fraction(ap)}" for kind, ap in diagnosis.repaired.items())
    return Group(
        Text(
            "Top-ranked detections of a class (as many as it has objects); and its objects that none of them finds; "
            f"near an object from IoU {diagnosis.settings.near_iou:g}"
        ),
        _shares(diagnosis),
        Text(),
        Text(f"{figure} {fraction(diagnosis.mean_ap)}, if all errors of a type were repaired: {repaired or '-'}"),
        Text(),
        *_misses(diagnosis),
    )


def _shares(diagnosis: Diagnosis) -> Table:
    rows = []
    objects = [one.objects for one in diagnosis.evaluation.per_class]
    for label, one in enumerate(diagnosis.per_class):
        shares = [percent(one.shares[kind]) if one.top else "-" for kind in COUNTED_KINDS]
        rows.append([one.name, *shares, str(len(diagnosis.missed_of(label))), str(objects[label])])
    shares = [percent(diagnosis.shares[kind]) for kind in COUNTED_KINDS]
    rows.append(["mean, sum", *shares, str(len(diagnosis.missed)), str(sum(objects))])
    return plain_table(("class", *COUNTED_KINDS, "missed", "objects"), rows)


def _misses(diagnosis: Diagnosis) -> list[Table | Text]:
    tables = {"size": diagnosis.by_size, "width / height": diagnosis.by_aspect, "truncation": diagnosis.by_truncation}
    lines: list[Table | Text] = []
    for name, one in tables.items():
        bins = [f"{bin} {one.missed[bin]} of {count}" for bin, count in one.objects.items() if count] if one else []
        # One bin alone is compared with nothing.
        if len(bins) > 1:
            lines.append(Text(f"Missed by {name}: {', '.join(bins)}"))
    if diagnosis.causes is None or not diagnosis.missed:
        return lines
    counts = [(cause, diagnosis.causes[cause]) for cause in CAUSES]
    rows = [(cause, str(n), percent(n / len(diagnosis.missed)), _REMEDIES[cause]) for cause, n in counts]
    table = plain_table(("cause of misses", "objects", "share", ""), rows, last_bold=False)
    table.columns[-1].justify, table.columns[-1].no_wrap = "left", False
    return [*lines, Text(), table]


def fraction(value: float | None) -> str:
    """A fraction with three digits, a dash for None."""
    return "-" if value is None else f"{value:.3f}"


def plain_table(columns: Sequence[str], rows: Iterable[Sequence[str]], last_bold: bool = True) -> Table:
    """A table without lines, so that the names of VOC's classes fit a terminal 80 columns wide. last_bold: last row."""
    result = Table(box=None, padding=(0, 1, 0, 0))
    for place, name in enumerate(columns):
        result.add_column(name, **({"justify": "right", "no_wrap": True} if place else {"overflow": "fold"}))
    rows = list(rows)
    for place, row in enumerate(rows):
        style = "bold" if last_bold and place == len(rows) - 1 else ""
        result.add_row(*(Text(cell, style) for cell in row))
    return result


def _warnings(evaluation: Evaluation) -> list[Text]:
    return [Text(f"Warning: {one}", style="yellow") for one in evaluation.warnings]


def _method(settings: IntervalSettings) -> str:
    return f"{_percent(settings)} intervals by {settings.resamples} resamples of the images (seed {settings.seed})"


def _percent(settings: IntervalSettings) -> str:
    return f"{100 * settings.confidence:g}%"


def _range(one: Interval | None) -> str:
    return "-" if one is None else "-".join(f"{value:.2f}".removeprefix("0") for value in (one.low, one.high))


def _signed(first: float | None, second: float | None) -> str:
    return "-" if first is None or second is None else f"{second - first:+.3f}"


def _counts(one: ClassEvaluation) -> list[str]:
    return [str(count) for name, count in one.counts().items() if name != "detections"]
