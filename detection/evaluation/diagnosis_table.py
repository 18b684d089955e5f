"""A diagnosis on screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from detection.evaluation.diagnosis import Diagnosis
from detection.evaluation.errors import ERROR_TYPES
from detection.evaluation.misses import CAUSES, MissTable
from detection.evaluation.table import fraction

_KINDS = ("correct", *ERROR_TYPES)
# What a cause of misses calls for.
_REMEDIES = {
    "no proposal": "work on proposals",
    "moved away": "work on box regression",
    "scored low": "work on features and training",
    "suppressed": "work on suppression (nms_iou), or on scores that favour whole objects",
}


def diagnosis_table(diagnosis: Diagnosis) -> Group:
    """Shares of the error types among the top-ranked, mAP if each were repaired, and the missed objects by kind."""
    return Group(
        Text(
            "Top-ranked detections of a class (as many as it has objects), %; and its objects that none of them finds; "
            f"near an object from IoU {diagnosis.settings.near_iou:g}"
        ),
        _shares(diagnosis),
        Text(),
        Text(f"{_figure(diagnosis)}, if all errors of a type were repaired: {_repaired(diagnosis)}"),
        Text(),
        *_misses(diagnosis),
    )


def _shares(diagnosis: Diagnosis) -> Table:
    table = _table("class", (*_KINDS, "missed", "objects"))
    for label, one in enumerate(diagnosis.per_class):
        missed = sum(miss.label == label for miss in diagnosis.missed)
        shares = [f"{100 * one.shares[kind]:.0f}" if one.top else "-" for kind in _KINDS]
        table.add_row(*map(Text, (one.name, *shares, str(missed), str(diagnosis.evaluation.per_class[label].objects))))
    objects = sum(one.objects for one in diagnosis.evaluation.per_class)
    shares = [f"{100 * diagnosis.shares[kind]:.0f}" for kind in _KINDS]
    cells = ("mean, sum", *shares, str(len(diagnosis.missed)), str(objects))
    table.add_row(*(Text(cell, style="bold") for cell in cells))
    return table


def _figure(diagnosis: Diagnosis) -> str:
    name = "VOC 2010 mAP" if diagnosis.evaluation.settings.metric == "coco" else "mAP"
    return f"{name} {fraction(diagnosis.mean_ap)}"


def _repaired(diagnosis: Diagnosis) -> str:
    if diagnosis.repaired is None:
        return "-"
    return ", ".join(f"{kind} {fraction(diagnosis.repaired[kind])}" for kind in ERROR_TYPES)


def _misses(diagnosis: Diagnosis) -> list[Table | Text]:
    tables = {"size": diagnosis.by_size, "width / height": diagnosis.by_aspect, "truncation": diagnosis.by_truncation}
    lines: list[Table | Text] = [
        Text(f"Missed by {name}: {_bins(one)}") for name, one in tables.items() if one is not None and _differs(one)
    ]
    if diagnosis.causes is None or not diagnosis.missed:
        return lines
    table = _table("cause of misses", ("objects", "%", ""))
    for cause in CAUSES:
        count = diagnosis.causes[cause]
        share = f"{100 * count / len(diagnosis.missed):.0f}"
        table.add_row(*map(Text, (cause, str(count), share, _REMEDIES[cause])))
    table.columns[-1].justify = "left"
    return [*lines, Text(), table]


def _bins(one: MissTable) -> str:
    return ", ".join(f"{name} {one.missed[name]} of {count}" for name, count in _filled(one.objects).items())


def _differs(one: MissTable) -> bool:
    """Whether there is more than one bin to compare."""
    return len(_filled(one.objects)) > 1


def _filled(objects: Mapping[str, int]) -> dict[str, int]:
    return {name: count for name, count in objects.items() if count}


def _table(first: str, others: Sequence[str]) -> Table:
    result = Table(box=None, padding=(0, 1, 0, 0))
    result.add_column(first, overflow="fold")
    for name in others:
        result.add_column(name, justify="right")
    return result
