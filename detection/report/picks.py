"""What the pictures of a report show: found, false and missed, and what one of two runs found alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal, get_args

from detection.evaluation import ERROR_TYPES, DetectionCase, Diagnosis, MissedObject
from detection.evaluation.errors import Box
from detection.report.records import Comparison, ReportRun
from detection.report.settings import ReportSettings

Group = Literal["found", "false", "missed", "gained", "lost"]
GROUPS: tuple[Group, ...] = get_args(Group)


@dataclass(frozen=True)
class Pick:
    """What one picture is to show. image: position among the images.

    found: the detection or proposal, drawn solid; truth: the object, drawn dashed; one of them may be None. title and
    text: its caption. The labels stand at the boxes.
    """

    label: int
    group: Group
    image: int
    image_id: str
    found: Box | None
    found_label: str
    truth: Box | None
    truth_label: str
    truth_class: int
    title: str
    text: str


def _case_pick(case: DetectionCase, group: Group, classes: Sequence[str]) -> Pick:
    near = case.nearest
    title = f"{classes[case.label]} {case.score:.2f}"
    return Pick(
        label=case.label,
        group=group,
        image=case.image,
        image_id=case.image_id,
        found=case.box,
        found_label=title,
        truth=near.box if near else None,
        truth_label=classes[near.label] if near and near.label != case.label else "",
        truth_class=near.label if near else case.label,
        title=title,
        text=_error_text(case, classes) if group == "false" else f"IoU {near.overlap:.2f}" if near else "",
    )


def _error_text(case: DetectionCase, classes: Sequence[str]) -> str:
    near = case.nearest
    if near is None:
        return f"{case.kind}: overlaps no object"
    object_name = f"{classes[near.label]}, IoU {near.overlap:.2f}"
    if case.duplicate:
        return f"localisation: found before by one of higher score ({object_name})"
    if case.kind == "background":
        return f"background: nearest object is a {object_name}"
    kind = {"similar": "similar class", "other": "other class"}.get(case.kind, case.kind)
    return f"{kind}: {object_name}"


def _miss_pick(miss: MissedObject, classes: Sequence[str], cut: float | None) -> Pick:
    cause, found, score = miss.cause, None, None
    if cause is not None and cause.box is not None:
        found, score = (cause.proposal if cause.cause == "no proposal" else cause.box), cause.score
    elif miss.best is not None:
        found, score = miss.best.box, miss.best.score
    return Pick(
        label=miss.label,
        group="missed",
        image=miss.image,
        image_id=miss.image_id,
        found=found,
        found_label="" if score is None else f"{score:.2f}",
        truth=miss.box,
        truth_label="",
        truth_class=miss.label,
        title=f"{classes[miss.label]} missed",
        text=_miss_text(miss, "" if cut is None else f", the last top-ranked {cut:.2f}"),
    )


def _miss_text(miss: MissedObject, limit: str) -> str:
    cause = miss.cause
    if cause is None:
        if miss.best is None:
            return "no detection of its class overlaps it"
        overlap = miss.best.nearest.overlap if miss.best.nearest else 0.0
        return f"nearest detection: IoU {overlap:.2f}, score {miss.best.score:.2f}{limit}"
    if cause.proposal is None:
        return f"{cause.cause}: the image has none"
    if cause.cause == "no proposal":
        return f"no proposal: the best has IoU {cause.overlap:.2f}"
    if cause.cause == "moved away":
        return f"moved away: proposal IoU {cause.overlap:.2f}, after regression {cause.box_overlap:.2f}"
    score = "" if cause.score is None else f", score {cause.score:.2f}{limit}"
    return f"{cause.cause}: proposal IoU {cause.overlap:.2f}, box IoU {cause.box_overlap:.2f}{score}"


def _misses(diagnosis: Diagnosis, label: int, count: int) -> list[MissedObject]:
    """The largest missed objects of a class, the causes in turn."""
    queues: dict[str, list[MissedObject]] = {}
    for one in sorted(diagnosis.missed_of(label), key=lambda one: -_area(one.box)):
        queues.setdefault(one.cause.cause if one.cause else "", []).append(one)
    turns = [(place, order, one) for order, queue in enumerate(queues.values()) for place, one in enumerate(queue)]
    return [one for _, _, one in sorted(turns, key=lambda turn: turn[:2])[:count]]


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _found_alone(finder: ReportRun, misser: ReportRun, label: int, group: Group) -> Iterator[Pick]:
    """The objects of a class that one run found and the other missed, by descending score."""
    found = finder.evaluation.per_class[label].found
    ranks = {
        (image, row): rank for image, row, rank in zip(found.images, found.rows, found.found.tolist(), strict=True)
    }
    missed, wanted = ({(one.image, one.row) for one in run.diagnosis.missed_of(label)} for run in (finder, misser))
    for rank in sorted(ranks[place] for place in wanted - missed):
        yield _case_pick(finder.diagnosis.case(label, rank), group, finder.classes)


def picks(run: ReportRun, comparison: Comparison | None, settings: ReportSettings) -> list[Pick]:
    """What to show, the first of each group and class before the second of any, `settings.max_pictures` at most."""
    diagnosis, count = run.diagnosis, settings.pictures
    columns: list[list[Pick]] = []
    for label, errors in enumerate(diagnosis.per_class):
        for group, kinds in (("found", ("correct",)), ("false", ERROR_TYPES)):
            columns.append([_case_pick(case, group, run.classes) for case in diagnosis.cases(label, kinds, count)])
        columns.append([_miss_pick(miss, run.classes, errors.cut) for miss in _misses(diagnosis, label, count)])
        if comparison is not None:
            columns.append(list(islice(_found_alone(run, comparison.other, label, "gained"), count)))
            columns.append(list(islice(_found_alone(comparison.other, run, label, "lost"), count)))
    rounds = [column[place] for place in range(count) for column in columns if place < len(column)]
    return rounds[: settings.max_pictures]
