"""The tables of a report: how good a detector is and where it fails; what was run, on what, and how long it took."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from detection.evaluation import CAUSES, ERROR_TYPES, Interval, IntervalSettings
from detection.evaluation.at_thresholds import NOTHING
from detection.evaluation.errors import COUNTED_KINDS
from detection.report.records import Comparison, ReportRun
from detection.report.tables import Column, Kind, Table, plain_columns

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
    "moved away": "a proposal does, box regression or voting moved it away: work on the regressors",
    "scored low": "a proposal does, but its score is below the top-ranked: work on features or training",
    "suppressed": "a proposal does and scores enough, but a higher-scoring box was kept instead: work on NMS",
}
_BOOTSTRAP = "by resampling the images"
_UNCALIBRATED = "uncalibrated: too few examples; threshold and probabilities are rough (~ before them)"
# Of more classes the confusion matrix is not readable.
_MATRIX_CLASSES = 30
_SIZE_NAMES = {"XS": "extra small", "S": "small", "M": "medium", "L": "large", "XL": "extra large"}
_BIN_NAMES = {**_SIZE_NAMES, "XT": "extra tall", "T": "tall", "W": "wide", "XW": "extra wide"}


def class_id(label: int) -> str:
    """Id of a class's part of the page."""
    return f"class-{label}"


def _links(run: ReportRun) -> tuple[str, ...]:
    return tuple(class_id(label) for label in range(len(run.classes)))


def _pair(one: Interval | None) -> tuple[float, float] | None:
    return None if one is None else (one.low, one.high)


def class_table(run: ReportRun) -> Table:
    """A row a class: what is found, missed and false at its threshold, AP with its interval, the threshold itself."""
    shown, evaluation, bounds = run.shown, run.evaluation, run.intervals
    parts: list[tuple[Column, list[Any]]] = [
        (Column("class"), [*run.classes, "all"]),
        (Column("objects", "integer", "objects that count"), _summed(shown.objects)),
        (Column("found", "integer", "objects with a box of their class that is shown"), _summed(shown.found)),
        (Column("missed", "integer", "objects without"), _summed(shown.missed)),
        (Column("false", "integer", "shown boxes on no object, or on one found before"), _summed(shown.false)),
        (
            Column("AP", "share", "average precision, over all thresholds; at the foot the mean", bar=True),
            [*(one.ap for one in evaluation.per_class), evaluation.mean_ap],
        ),
    ]
    if bounds:
        ranges = [_pair(one) for one in (*bounds.per_class, bounds.mean_ap)]
        parts.append((Column("AP interval", "share", f"{interval_name(bounds.settings)}, {_BOOTSTRAP}"), ranges))
    hint = "the class's threshold: boxes of this probability and more are shown"
    parts.append((Column("shown from", "percent", hint), [*shown.probabilities.tolist(), None]))
    hint = "the same threshold as an SVM margin"
    parts.append((Column("margin", "signed", hint), [*shown.thresholds.tolist(), None]))
    if not shown.calibrated.all():
        words = ["" if known else "uncalibrated" for known in shown.calibrated]
        parts.append((Column("calibration", hint=_UNCALIBRATED), [*words, ""]))
    columns, values = zip(*parts, strict=True)
    rows = tuple(zip(*values, strict=True))
    caption = "Found, missed and false at each class's threshold, and average precision. A dash: there is none."
    return Table("classes", caption, columns, rows, (*_links(run), ""), sortable=True, foot=1)


def _summed(counts: np.ndarray) -> list[int]:
    return [*counts.tolist(), int(counts.sum())]


def interval_name(settings: IntervalSettings) -> str:
    """What an interval is called: "95% interval"."""
    return f"{100 * settings.confidence:g}% interval"


def confusion_table(run: ReportRun) -> Table:
    """A row a class and one for nothing: as what its objects were found; of many classes the pairs alone.

    The last column has missed objects that nothing found, the last row false boxes on no object.
    """
    shown = run.shown
    if len(run.classes) > _MATRIX_CLASSES:
        columns = Column("class"), Column("found as"), Column("objects", "integer")
        caption = "Missed objects that a shown box of another class lies on, the most frequent pairs first."
        pairs = tuple((is_one, other, count) for count, is_one, other in shown.confused)
        return Table("confusion", caption, columns, pairs)
    names, counts = [*run.classes, NOTHING], shown.confusion
    columns = Column("object"), *plain_columns("integer", *names)
    rows = tuple((name, *row) for name, row in zip(names, counts.tolist(), strict=True))
    shades = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    caption = (
        "What objects (rows) were found as (columns) at the thresholds. Last column: found as nothing. Last row: "
        "boxes on no object, or on one found before."
    )
    return Table("confusion", caption, columns, rows, (*_links(run), ""), shades=tuple(map(tuple, shades.tolist())))


def comparison_table(run: ReportRun, comparison: Comparison) -> Table:
    """A row a class: AP of both runs, the difference, its interval, and what it says."""
    other, change = comparison.other, comparison.difference
    columns = [Column("class"), Column(f"AP, {run.name}", "share", bar=True)]
    columns += [Column(f"AP, {other.name}", "share", bar=True), Column("difference", "signed", "second minus first")]
    pairs = zip(run.evaluation.per_class, other.evaluation.per_class, strict=True)
    rows = [[one.name, one.ap, two.ap] for one, two in pairs]
    rows.append(["mean", run.evaluation.mean_ap, other.evaluation.mean_ap])
    for row in rows:
        row.append(None if row[1] is None or row[2] is None else row[2] - row[1])
    if change is not None:
        columns += [
            Column("interval", "signed", f"{interval_name(change.settings)}, {_BOOTSTRAP}"),
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
    for kind in COUNTED_KINDS:
        repaired = diagnosis.repaired[kind] if diagnosis.repaired and kind in ERROR_TYPES else None
        gain = None if repaired is None or diagnosis.mean_ap is None else repaired - diagnosis.mean_ap
        rows.append((kind, diagnosis.shares[kind], repaired, gain, KIND_HINTS[kind]))
    caption = "What they are, and the mAP if one type of error were out of the way."
    return Table("errors", caption, columns, tuple(rows))


def class_kind_table(run: ReportRun) -> Table:
    """A row a class: shares of the kinds among its top-ranked."""
    columns = (
        Column("class"),
        Column("top-ranked", "integer", "as many as there are objects that count"),
        *(Column(kind, "percent", KIND_HINTS[kind]) for kind in COUNTED_KINDS),
    )
    rows = tuple(
        (one.name, one.top, *((one.shares[kind] if one.top else None) for kind in COUNTED_KINDS))
        for one in run.diagnosis.per_class
    )
    return Table("errors_by_class", "The same for each class.", columns, rows, _links(run), sortable=True)


def miss_table(run: ReportRun) -> Table:
    """A row a bin of size, aspect and truncation: objects, and the share missed."""
    diagnosis = run.diagnosis
    columns = [*plain_columns("text", "by", "bin"), *plain_columns("integer", "objects", "missed")]
    columns.append(Column("share missed", "percent", bar=True))
    tables = {"size": diagnosis.by_size, "aspect": diagnosis.by_aspect, "truncation": diagnosis.by_truncation}
    rows = [
        (by, _BIN_NAMES.get(name, name), count, table.missed[name], table.missed[name] / count if count else None)
        for by, table in tables.items()
        if table
        for name, count in table.objects.items()
    ]
    caption = (
        "Objects that no top-ranked detection found, by size and aspect among those of their class (a tenth, "
        "a fifth, two fifths, a fifth and a tenth of them) and by truncation."
    )
    return Table("misses", caption, tuple(columns), tuple(rows))


def cause_table(run: ReportRun) -> Table | None:
    """A row a cause of misses; None where proposals were not looked at."""
    causes = run.diagnosis.causes
    if causes is None:
        return None
    total = sum(causes.values())
    rows = tuple((one, causes[one], causes[one] / total if total else None, CAUSE_HINTS[one]) for one in CAUSES)
    columns = Column("cause"), Column("missed objects", "integer"), Column("share", "percent", bar=True)
    caption = "Why objects were missed: proposals, box regression, scores or suppression."
    return Table("causes", caption, (*columns, Column("meaning", "words")), rows)


def stage_table(run: ReportRun) -> Table:
    """A row a stage: wall time and memory of the call that made its result."""
    stages = {name: facts for name, facts in run.stages.items() if "seconds" in facts}
    total = sum(facts["seconds"] for facts in stages.values())
    columns = (
        Column("stage"),
        Column("time", "seconds"),
        Column("share", "percent", bar=True),
        Column("peak memory, MiB", "integer", "of the process and its workers"),
        Column("finished"),
    )
    rows = []
    for name, facts in stages.items():
        seconds, finished = facts["seconds"], str(facts.get("finished", ""))[:16].replace("T", " ")
        share = seconds / total if total else None
        rows.append((name, float(seconds), share, facts.get("peak_memory_mib"), finished))
    rows.append(("all", float(total), None, None, ""))
    caption = "Wall time of each stage. Proposals and maps that were there before are not made again, and take no time."
    return Table("times", caption, columns, tuple(rows), foot=1)


def mining_table(run: ReportRun) -> Table | None:
    """The mining log; None where there is none."""
    if len(run.mining) < 2:
        return None
    header, *lines = run.mining
    columns, values = [], []
    for title, texts in zip(header, zip(*lines, strict=True), strict=True):
        kind: Kind = "number"
        try:
            texts = [_number(text) for text in texts]
        except ValueError:
            kind = "text"
        columns.append(Column(title.replace("_", " "), kind))
        values.append(texts)
    caption = "How each SVM was trained: negatives added and evicted in every pass over the images, and convergence."
    return Table("mining", caption, tuple(columns), tuple(zip(*values, strict=True)), sortable=True)


def _number(text: str) -> int | float | None:
    if not text:
        return None
    return float(text) if any(mark in text for mark in ".en") else int(text)


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of nested settings."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def settings_table(run: ReportRun, other: ReportRun | None = None) -> Table:
    """All settings; of two runs those that differ come first."""
    first = {key: _plain(value) for key, value in flat(run.settings)}
    if other is None:
        columns = tuple(plain_columns("text", "setting", "value"))
        return Table("settings", "Every setting that decides the result.", columns, tuple(first.items()))
    second = {key: _plain(value) for key, value in flat(other.settings)}
    rows = [(key, first.get(key, ""), second.get(key, "")) for key in dict.fromkeys([*first, *second])]
    rows = [(key, one, two, "differs" if one != two else "") for key, one, two in rows]
    rows.sort(key=lambda row: row[3] == "")
    columns = plain_columns("text", "setting", run.name, other.name, "same?")
    return Table("settings", "Every setting of both runs, those that differ first.", tuple(columns), tuple(rows))


def _plain(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_plain(one)}" for key, one in value.items())
    if isinstance(value, (list, tuple)):
        nested = [isinstance(one, (Mapping, list, tuple)) for one in value]
        return ", ".join(f"({_plain(one)})" if deep else _plain(one) for one, deep in zip(value, nested, strict=True))
    return str(value)


def version_table(run: ReportRun) -> Table | None:
    """Packages and their versions; None where none are known."""
    columns, rows = tuple(plain_columns("text", "package", "version")), tuple(run.versions.items())
    return Table("versions", "What it was computed with.", columns, rows) if rows else None


def data_table(run: ReportRun) -> Table:
    """What the figures were measured on."""
    evaluation = run.evaluation
    rows = (
        ("evaluated images", evaluation.images),
        ("of them without a detection", evaluation.images_without_detections),
        ("classes", len(run.classes)),
        ("objects that count", sum(one.objects for one in evaluation.per_class)),
        ("objects marked difficult", sum(one.difficult for one in evaluation.per_class)),
        ("detections", evaluation.detections),
    )
    return Table("data", "What was evaluated.", (Column("what"), Column("count", "integer")), rows)
