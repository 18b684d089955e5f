"""The tables of a report that say what was run, on what, and how long it took."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from detection.report.records import ReportRun
from detection.report.tables import Column, Table


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
    rows = [
        (
            name,
            float(facts["seconds"]),
            facts["seconds"] / total if total else None,
            facts.get("peak_memory_mib"),
            str(facts.get("finished", ""))[:16].replace("T", " "),
        )
        for name, facts in stages.items()
    ]
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
        try:
            numbers = [_number(text) for text in texts]
        except ValueError:
            numbers = None
        columns.append(Column(title.replace("_", " "), "text" if numbers is None else "number"))
        values.append(texts if numbers is None else numbers)
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
        columns = (Column("setting"), Column("value"))
        return Table("settings", "Every setting that decides the result.", columns, tuple(first.items()))
    second = {key: _plain(value) for key, value in flat(other.settings)}
    rows = [(key, first.get(key, ""), second.get(key, "")) for key in dict.fromkeys([*first, *second])]
    rows = [(key, one, two, "differs" if one != two else "") for key, one, two in rows]
    rows.sort(key=lambda row: row[3] == "")
    columns = (Column("setting"), Column(run.name), Column(other.name), Column("same?"))
    return Table("settings", "Every setting of both runs, those that differ first.", columns, tuple(rows))


def _plain(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_plain(one)}" for key, one in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(
            f"({_plain(one)})" if isinstance(one, (Mapping, list, tuple)) else _plain(one) for one in value
        )
    return str(value)


def version_table(run: ReportRun) -> Table | None:
    """Packages and their versions; None where none are known."""
    columns = (Column("package"), Column("version"))
    rows = tuple(run.versions.items())
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
