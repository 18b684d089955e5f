"""What the pictures of a report show: found, false and missed, and what one of two runs found alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from detection.evaluation import ERROR_TYPES, DetectionCase, Diagnosis, MissedObject
from detection.report.records import Comparison, ReportRun
from detection.report.settings import ReportSettings

Group = Literal["found", "false", "missed", "gained", "lost"]
GROUPS: tuple[Group, ...] = ("found", "false", "missed", "gained", "lost")

Box = tuple[float, float, float, float]


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
    name = classes[case.label]
    text = _error_text(case, classes) if group == "false" else f"IoU {near.overlap:.2f}" if near else ""
    return Pick(
        label=case.label,
        group=group,
        image=case.image,
        image_id=case.image_id,
        found=case.box,
        found_label=f"{name} {case.score:.2f}",
        truth=near.box if near else None,
        truth_label=classes[near.label] if near and near.label != case.label else "",
        truth_class=near.label if near else case.label,
        title=f"{name} {case.score:.2f}",
        text=text,
    )


def _error_text(case: DetectionCase, classes: Sequence[str]) -> str:
    near = case.nearest
    if near is None:
        return f"{case.kind}: overlaps no object"
    object_name = f"{classes[near.label]}, IoU {near.overlap:.2f}"
    if case.kind == "localisation" and case.duplicate:
        return f"localisation: found before by a surer one ({object_name})"
    if case.kind == "background":
        return f"background: nearest object is a {object_name}"
    kind = {"similar": "similar class", "other": "other class"}.get(case.kind, case.kind)
    return f"{kind}: {object_name}"


def _miss_pick(miss: MissedObject, classes: Sequence[str], cut: float | None) -> Pick:
    name = classes[miss.label]
    cause = miss.cause
    if cause is not None and cause.box is not None:
        found, score = (cause.proposal if cause.cause == "no proposal" else cause.box), cause.score
    elif miss.best is not None:
        found, score = miss.best.box, miss.best.score
    else:
        found, score = None, None
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
        title=f"{name} missed",
        text=_miss_text(miss, cut),
    )


def _miss_text(miss: MissedObject, cut: float | None) -> str:
    cause = miss.cause
    limit = "" if cut is None else f", the last top-ranked {cut:.2f}"
    if cause is None:
        if miss.best is None:
            return "no detection of its class overlaps it"
        overlap = miss.best.nearest.overlap if miss.best.nearest else 0.0
        return f"nearest detection: IoU {overlap:.2f}, score {miss.best.score:.2f}{limit}"
    if cause.proposal is None:
        return f"{cause.cause}: the image has none"
    score = "" if cause.score is None else f", score {cause.score:.2f}{limit}"
    if cause.cause == "no proposal":
        return f"no proposal: the best has IoU {cause.overlap:.2f}"
    if cause.cause == "moved away":
        return f"moved away: proposal IoU {cause.overlap:.2f}, after regression {cause.box_overlap:.2f}"
    return f"{cause.cause}: proposal IoU {cause.overlap:.2f}, box IoU {cause.box_overlap:.2f}{score}"


def _misses(diagnosis: Diagnosis, label: int, count: int) -> list[MissedObject]:
    """The largest missed objects of a class, the causes in turn."""
    own = sorted((one for one in diagnosis.missed if one.label == label), key=lambda one: -_area(one.box))
    queues: dict[str, list[MissedObject]] = {}
    for one in own:
        queues.setdefault(one.cause.cause if one.cause else "", []).append(one)
    turns = [(place, order, one) for order, queue in enumerate(queues.values()) for place, one in enumerate(queue)]
    return [one for _, _, one in sorted(turns, key=lambda turn: turn[:2])[:count]]


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _found_alone(finder: ReportRun, misser: ReportRun, label: int, group: Group) -> Iterator[Pick]:
    """The objects of a class that one run found and the other missed, the by descending score."""
    of_class = finder.evaluation.per_class[label].found
    ranks = dict(
        zip(zip(of_class.images.tolist(), of_class.rows.tolist(), strict=True), of_class.found.tolist(), strict=True)
    )
    missed = {(one.image, one.row) for one in finder.diagnosis.missed if one.label == label}
    wanted = [(one.image, one.row) for one in misser.diagnosis.missed if one.label == label]
    for rank in sorted(ranks[place] for place in wanted if place not in missed):
        yield _case_pick(finder.diagnosis.case(label, rank), group, finder.classes)


def picks(run: ReportRun, comparison: Comparison | None, settings: ReportSettings) -> list[Pick]:
    """What to show, the first of each group and class before the second of any, `settings.max_pictures` at most."""
    diagnosis, count = run.diagnosis, settings.pictures
    columns: list[list[Pick]] = []
    for label, errors in enumerate(diagnosis.per_class):
        right = diagnosis.cases(label, ("correct",), count)
        wrong = diagnosis.cases(label, ERROR_TYPES, count)
        columns.append([_case_pick(case, "found", run.classes) for case in right])
        columns.append([_case_pick(case, "false", run.classes) for case in wrong])
        missed = _misses(diagnosis, label, count)
        columns.append([_miss_pick(miss, run.classes, errors.cut) for miss in missed])
        if comparison is not None:
            columns.append(list(islice(_found_alone(run, comparison.other, label, "gained"), count)))
            columns.append(list(islice(_found_alone(comparison.other, run, label, "lost"), count)))
    rounds = [column[place] for place in range(count) for column in columns if place < len(column)]
    return rounds[: settings.max_pictures]
