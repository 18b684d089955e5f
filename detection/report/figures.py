"""The tables of a report that say how good a detector is and where it fails."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from detection.evaluation import CAUSES, ERROR_TYPES, KINDS, ClassEvaluation, Interval, MissTable
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
    "suppressed": "a proposal does and scores enough, but a higher-scoring box was kept instead: work on NMS",
}
SHOWN_KINDS = tuple(kind for kind in KINDS if kind != "ignored")
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


def _links(run: ReportRun) -> tuple[str, ...]:
    return tuple(class_id(label) for label in range(len(run.classes)))


def _pair(one: Interval | None) -> tuple[float, float] | None:
    return None if one is None else (one.low, one.high)


def class_table(run: ReportRun) -> Table:
    """A row a class: AP with its interval, recall, counts; their mean or sum at the foot."""
    evaluation, bounds = run.evaluation, run.intervals
    columns = [
        Column("class"),
        Column("AP", "share", "average precision by the metric above", bar=True),
        Column("recall", "share", "share of the objects found at any score"),
        Column("objects", "integer", "objects that count"),
        Column("difficult", "integer", "objects marked difficult"),
        Column("found", "integer", "detections that found an object"),
        Column("false", "integer", "detections that found none, or one found before"),
        Column("repeated", "integer", "those of them on an object found before"),
        Column("ignored", "integer", "detections on difficult objects"),
    ]
    rows = [[one.name, one.ap, one.greatest_recall, *_counts(one)] for one in evaluation.per_class]
    known = sum(one.ap is not None for one in evaluation.per_class)
    sums = [sum(column) for column in zip(*map(_counts, evaluation.per_class), strict=True)] or [0] * 6
    rows.append([f"mean of {known}, sums", evaluation.mean_ap, evaluation.mean_recall, *sums])
    if bounds:
        hint = f"{100 * bounds.settings.confidence:g} % bootstrap interval over images"
        columns.insert(2, Column("AP interval", "share", hint))
        for row, bound in zip(rows, (*bounds.per_class, bounds.mean_ap), strict=True):
            row.insert(2, _pair(bound))
    caption = "Average precision and counts of each class. A dash: the class has no object that counts."
    return Table("classes", caption, tuple(columns), tuple(map(tuple, rows)), (*_links(run), ""), sortable=True, foot=1)


def _counts(one: ClassEvaluation) -> list[int]:
    return [count for name, count in one.counts().items() if name != "detections"]


def comparison_table(run: ReportRun, comparison: Comparison) -> Table:
    """A row a class: AP of both runs, the difference, its interval, and what it says."""
    other, change = comparison.other, comparison.difference
    columns = [Column("class"), Column(f"AP, {run.name}", "share", bar=True)]
    columns += [Column(f"AP, {other.name}", "share", bar=True), Column("difference", "signed", "second minus first")]
    rows = [
        [one.name, one.ap, two.ap]
        for one, two in zip(run.evaluation.per_class, other.evaluation.per_class, strict=True)
    ]
    rows.append(["mean", run.evaluation.mean_ap, other.evaluation.mean_ap])
    for row in rows:
        row.append(None if row[1] is None or row[2] is None else row[2] - row[1])
    if change is not None:
        columns += [
            Column("interval", "signed", f"{100 * change.settings.confidence:g} % bootstrap interval over images"),
            Column("verdict", hint="of the second; undecided where the interval holds 0"),
        ]
        for row, bound in zip(rows, (*change.per_class, change.mean_ap), strict=True):
            row += [_pair(bound), bound and bound.verdict]
    columns.append(Column("objects", "integer"))
    objects = [one.objects for one in run.evaluation.per_class]
    filled = tuple((*row, count) for row, count in zip(rows, (*objects, sum(objects)), strict=True))
    caption = f"Average precision of {run.name} and {other.name} on the same images, and the difference."
    return Table("comparison", caption, tuple(columns), filled, (*_links(run), ""), sortable=True, foot=1)


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
    for kind in SHOWN_KINDS:
        repaired = diagnosis.repaired[kind] if diagnosis.repaired and kind in ERROR_TYPES else None
        gain = None if repaired is None or diagnosis.mean_ap is None else repaired - diagnosis.mean_ap
        rows.append((kind, diagnosis.shares[kind], repaired, gain, KIND_HINTS[kind]))
    caption = (
        "Of each class, as many of the highest-scoring detections as it has objects: what they are, and the mAP if "
        "one type of error were out of the way."
    )
    return Table("errors", caption, columns, tuple(rows))


def class_kind_table(run: ReportRun) -> Table:
    """A row a class: shares of the kinds among its top-ranked."""
    columns = (
        Column("class"),
        Column("top-ranked", "integer", "as many as there are objects that count"),
        *(Column(kind, "percent", KIND_HINTS[kind]) for kind in SHOWN_KINDS),
    )
    rows = tuple(
        (one.name, one.top, *((one.shares[kind] if one.top else None) for kind in SHOWN_KINDS))
        for one in run.diagnosis.per_class
    )
    return Table("errors_by_class", "The same for each class.", columns, rows, _links(run), sortable=True)


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
    tables = {"size": diagnosis.by_size, "aspect": diagnosis.by_aspect, "truncation": diagnosis.by_truncation}
    rows = [row for by, table in tables.items() if table for row in _bins(by, table)]
    caption = (
        "Objects that no top-ranked detection found, by size and aspect among those of their class (a tenth, "
        "a fifth, two fifths, a fifth and a tenth of them) and by truncation."
    )
    return Table("misses", caption, columns, tuple(rows))


def _bins(by: str, table: MissTable) -> Iterator[tuple[Any, ...]]:
    for name, objects in table.objects.items():
        missed = table.missed[name]
        yield by, _BIN_NAMES.get(name, name), objects, missed, missed / objects if objects else None


def cause_table(run: ReportRun) -> Table | None:
    """A row a cause of misses; None where proposals were not looked at."""
    causes = run.diagnosis.causes
    if causes is None:
        return None
    total = sum(causes.values())
    rows = tuple((one, causes[one], causes[one] / total if total else None, CAUSE_HINTS[one]) for one in CAUSES)
    columns = (
        Column("cause"),
        Column("missed objects", "integer"),
        Column("share", "percent", bar=True),
        Column("meaning", "words"),
    )
    return Table("causes", "Why objects were missed: proposals, box regression, scores or suppression.", columns, rows)
