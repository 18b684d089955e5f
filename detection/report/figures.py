"""The tables of a report that say how good a detector is and where it fails."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from detection.evaluation import ASPECTS, CAUSES, ERROR_TYPES, KINDS, SIZES, Interval, MissTable
from detection.report.records import Comparison, ReportRun
from detection.report.tables import Column, Table

# What the names of the diagnosis mean, in the words of the page.
KIND_HINTS = {
    "correct": "found an object",
    "localisation": "on an object of its class: IoU too small, or found before",
    "similar": "on an object of a class that looks alike",
    "other": "on an object of another class",
    "background": "on no object",
}
CAUSE_HINTS = {
    "no proposal": "no proposal overlaps it enough: work on the proposals",
    "moved away": "a proposal does, box regression moved it away: work on the regressors",
    "scored low": "a proposal does, but its score is below the top-ranked: work on features or training",
    "suppressed": "a proposal does and scores enough, but a surer box was kept instead: work on NMS",
}
_SHOWN_KINDS = tuple(kind for kind in KINDS if kind != "ignored")
_BIN_NAMES = {
    "XS": "extra small",
    "S": "small",
    "M": "medium",
    "L": "large",
    "XL": "extra large",
    "XT": "extra tall",
    "T": "tall",
    "W": "wide",
    "XW": "extra wide",
}


def class_id(label: int) -> str:
    """Id of a class's part of the page."""
    return f"class-{label}"


def interval(one: Interval | None) -> tuple[float, float] | None:
    """The bounds of an interval as a table's value."""
    return None if one is None else (one.low, one.high)


def _confidence(run: ReportRun) -> str:
    return "" if run.intervals is None else f"{100 * run.intervals.settings.confidence:g} %"


def class_table(run: ReportRun) -> Table:
    """A row a class: AP with its interval, recall, counts; their mean or sum at the foot."""
    evaluation = run.evaluation
    columns = (
        Column("class"),
        Column("AP", "share", "average precision by the metric above", bar=True),
        Column("AP interval", "share", f"{_confidence(run)} bootstrap interval over images"),
        Column("recall", "share", "share of the objects found at any score"),
        Column("objects", "integer", "objects that count"),
        Column("difficult", "integer", "objects marked difficult"),
        Column("found", "integer", "detections that found an object"),
        Column("false", "integer", "detections that found none, or one found before"),
        Column("repeated", "integer", "those of them on an object found before"),
        Column("ignored", "integer", "detections on difficult objects"),
    )
    bounds = run.intervals.per_class if run.intervals else [None] * len(run.classes)
    rows = [
        (one.name, one.ap, interval(bound), one.greatest_recall, *_counts(one))
        for one, bound in zip(evaluation.per_class, bounds, strict=True)
    ]
    known = sum(one.ap is not None for one in evaluation.per_class)
    mean_bound = interval(run.intervals.mean_ap) if run.intervals else None
    sums = [sum(column) for column in zip(*map(_counts, evaluation.per_class), strict=True)] or [0] * 6
    rows.append((f"mean of {known}, sums", evaluation.mean_ap, mean_bound, evaluation.mean_recall, *sums))
    links = (*(class_id(i) for i in range(len(run.classes))), "")
    caption = "Average precision and counts of each class. A dash: the class has no object that counts."
    return Table("classes", caption, _without_empty(columns, run), _cut(rows, run), links, sortable=True, foot=1)


def _counts(one: Any) -> tuple[int, ...]:
    return one.objects, one.difficult, one.true_positives, one.false_positives, one.duplicates, one.ignored


def _without_empty(columns: tuple[Column, ...], run: ReportRun) -> tuple[Column, ...]:
    return columns if run.intervals else columns[:2] + columns[3:]


def _cut(rows: list[tuple[Any, ...]], run: ReportRun) -> tuple[tuple[Any, ...], ...]:
    return tuple(rows if run.intervals else [row[:2] + row[3:] for row in rows])


def comparison_table(run: ReportRun, comparison: Comparison) -> Table:
    """A row a class: AP of both runs, the difference, its interval, and what it says."""
    other, change = comparison.other, comparison.difference
    columns = [Column("class"), Column(f"AP, {run.name}", "share", bar=True)]
    columns += [Column(f"AP, {other.name}", "share", bar=True), Column("difference", "signed", "second minus first")]
    if change is not None:
        columns += [
            Column("interval", "signed", f"{100 * change.settings.confidence:g} % bootstrap interval over images"),
            Column("verdict", hint="of the second; undecided where the interval holds 0"),
        ]
    columns.append(Column("objects", "integer"))
    rows = []
    for i, (one, two) in enumerate(zip(run.evaluation.per_class, other.evaluation.per_class, strict=True)):
        bound = change.per_class[i] if change else None
        rows.append(_compared(one.name, one.ap, two.ap, bound, one.objects, change is not None))
    means = run.evaluation.mean_ap, other.evaluation.mean_ap
    objects = sum(one.objects for one in run.evaluation.per_class)
    rows.append(_compared("mean", *means, change.mean_ap if change else None, objects, change is not None))
    links = (*(class_id(i) for i in range(len(run.classes))), "")
    caption = f"Average precision of {run.name} and {other.name} on the same images, and the difference."
    return Table("comparison", caption, tuple(columns), tuple(rows), links, sortable=True, foot=1)


def _compared(
    name: str, first: float | None, second: float | None, bound: Interval | None, objects: int, intervals: bool
) -> tuple[Any, ...]:
    difference = None if first is None or second is None else second - first
    judged = (interval(bound), verdict(bound)) if intervals else ()
    return (name, first, second, difference, *judged, objects)


def verdict(bound: Interval | None) -> str | None:
    """What the interval of a difference says of the second run."""
    if bound is None:
        return None
    return "better" if bound.low > 0 else "worse" if bound.high < 0 else "undecided"


def kind_table(run: ReportRun) -> Table:
    """A row an error type: its share of the top-ranked, and mAP if it were repaired."""
    diagnosis = run.diagnosis
    columns = (
        Column("what the top-ranked are"),
        Column("share", "percent", "mean over the classes", bar=True),
        Column("mAP if repaired", "share"),
        Column("gain", "signed", "over the mAP measured"),
        Column("meaning", "words"),
    )
    rows = []
    for kind in _SHOWN_KINDS:
        repaired = diagnosis.repaired[kind] if diagnosis.repaired and kind in ERROR_TYPES else None
        gain = None if repaired is None or diagnosis.mean_ap is None else repaired - diagnosis.mean_ap
        rows.append((kind, diagnosis.shares.get(kind, 0.0), repaired, gain, KIND_HINTS[kind]))
    caption = (
        "Of each class, as many of the highest-scoring detections as it has objects: what they are, and the mAP "
        "if one type of "
        "error were out of the way."
    )
    return Table("errors", caption, columns, tuple(rows))


def class_kind_table(run: ReportRun) -> Table:
    """A row a class: shares of the kinds among its top-ranked."""
    columns = (
        Column("class"),
        Column("top-ranked", "integer", "as many as there are objects that count"),
        *(Column(kind, "percent", KIND_HINTS[kind]) for kind in _SHOWN_KINDS),
    )
    rows = tuple(
        (one.name, one.top, *((one.shares.get(kind, 0.0) if one.top else None) for kind in _SHOWN_KINDS))
        for one in run.diagnosis.per_class
    )
    links = tuple(class_id(i) for i in range(len(rows)))
    return Table("errors_by_class", "The same for each class.", columns, rows, links, sortable=True)


def miss_table(run: ReportRun) -> Table:
    """A row a bin of size, aspect and truncation: objects, and the share missed."""
    diagnosis = run.diagnosis
    columns = (
        Column("by"),
        Column("bin"),
        Column("objects", "integer"),
        Column("missed", "integer"),
        Column("share missed", "percent", bar=True),
    )
    rows = [
        *_bins("size", diagnosis.by_size, SIZES),
        *_bins("aspect", diagnosis.by_aspect, ASPECTS),
        *(_bins("truncation", diagnosis.by_truncation, None) if diagnosis.by_truncation else ()),
    ]
    caption = (
        "Objects that no top-ranked detection found, by size and aspect among those of their class (a tenth, "
        "a fifth, two fifths, a fifth and a tenth of them) and by truncation."
    )
    return Table("misses", caption, columns, tuple(rows))


def _bins(what: str, table: MissTable, names: Sequence[str] | None) -> Iterator[tuple[Any, ...]]:
    for name in names or table.objects:
        objects, missed = table.objects.get(name, 0), table.missed.get(name, 0)
        yield what, _BIN_NAMES.get(name, name), objects, missed, missed / objects if objects else None


def cause_table(run: ReportRun) -> Table | None:
    """A row a cause of misses; None where proposals were not looked at."""
    causes = run.diagnosis.causes
    if causes is None:
        return None
    total = sum(causes.values())
    rows = tuple(
        (cause, causes.get(cause, 0), causes.get(cause, 0) / total if total else None, CAUSE_HINTS[cause])
        for cause in CAUSES
    )
    columns = (
        Column("cause"),
        Column("missed objects", "integer"),
        Column("share", "percent", bar=True),
        Column("meaning", "words"),
    )
    return Table("causes", "Why objects were missed: proposals, box regression, scores or suppression.", columns, rows)
