"""A diagnosis on screen."""

from __future__ import annotations

from rich.console import Group
from rich.table import Table
from rich.text import Text

from detection.evaluation.diagnosis import Diagnosis
from detection.evaluation.errors import ERROR_TYPES
from detection.evaluation.misses import CAUSES, MissTable
from detection.evaluation.table import fraction, plain_table

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
    figure = "VOC 2010 mAP" if diagnosis.evaluation.metric.thresholds else "mAP"
    repaired = diagnosis.repaired and ", ".join(f"{kind} {fraction(ap)}" for kind, ap in diagnosis.repaired.items())
    return Group(
        Text(
            "Top-ranked detections of a class (as many as it has objects), %; and its objects that none of them finds; "
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
    for label, one in enumerate(diagnosis.per_class):
        shares = [f"{100 * one.shares[kind]:.0f}" if one.top else "-" for kind in _KINDS]
        objects = diagnosis.evaluation.per_class[label].objects
        rows.append([one.name, *shares, str(len(diagnosis.missed_of(label))), str(objects)])
    objects = sum(one.objects for one in diagnosis.evaluation.per_class)
    shares = [f"{100 * diagnosis.shares[kind]:.0f}" for kind in _KINDS]
    rows.append(["mean, sum", *shares, str(len(diagnosis.missed)), str(objects)])
    return plain_table(("class", *_KINDS, "missed", "objects"), rows)


def _misses(diagnosis: Diagnosis) -> list[Table | Text]:
    tables = {"size": diagnosis.by_size, "width / height": diagnosis.by_aspect, "truncation": diagnosis.by_truncation}
    bins = {name: _bins(one) for name, one in tables.items() if one is not None}
    # One bin alone is compared with nothing.
    lines: list[Table | Text] = [
        Text(f"Missed by {name}: {', '.join(found)}") for name, found in bins.items() if len(found) > 1
    ]
    if diagnosis.causes is None or not diagnosis.missed:
        return lines
    shares = {cause: f"{100 * diagnosis.causes[cause] / len(diagnosis.missed):.0f}" for cause in CAUSES}
    rows = [(cause, str(diagnosis.causes[cause]), shares[cause], _REMEDIES[cause]) for cause in CAUSES]
    table = plain_table(("cause of misses", "objects", "%", ""), rows, last_bold=False)
    table.columns[-1].justify, table.columns[-1].no_wrap = "left", False
    return [*lines, Text(), table]


def _bins(one: MissTable) -> list[str]:
    return [f"{name} {one.missed[name]} of {count}" for name, count in one.objects.items() if count]
