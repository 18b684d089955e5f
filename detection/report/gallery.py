"""The pictures of a report: what is found, false and missed, as crops with their boxes drawn."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal, get_args

import numpy as np

from detection.evaluation import ERROR_TYPES, DetectionCase, MissedObject
from detection.evaluation.errors import Box
from detection.geometry import area
from detection.report.pictures import Layer, Picture, drawn, fitting, readable
from detection.report.records import Comparison, ReportRun, ReportSettings
from detection.visualization import DrawingSettings, class_colour

Group = Literal["found", "false", "missed", "gained", "lost"]
GROUPS: tuple[Group, ...] = get_args(Group)

# What is shown around the boxes, in parts of the longer side of their common rectangle, and at least in px.
_CONTEXT, _LEAST_CONTEXT = 0.3, 24
# Pictures are shown at about two thirds of their size.
_DRAWING = DrawingSettings(line=0.015, text=0.058)


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


def _case_pick(run: ReportRun, case: DetectionCase, group: Group) -> Pick:
    near, classes = case.nearest, run.classes
    title = f"{classes[case.label]} {run.said(case.label, case.score)}"
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


def _miss_pick(run: ReportRun, miss: MissedObject) -> Pick:
    cause, found, score = miss.cause, None, None
    if cause is not None and cause.box is not None:
        found, score = (cause.proposal if cause.cause == "no proposal" else cause.box), cause.score
    elif miss.best is not None:
        found, score = miss.best.box, miss.best.score
    chance = "" if score is None else run.said(miss.label, score)
    return Pick(
        label=miss.label,
        group="missed",
        image=miss.image,
        image_id=miss.image_id,
        found=found,
        found_label=chance,
        truth=miss.box,
        truth_label="",
        truth_class=miss.label,
        title=f"{run.classes[miss.label]} missed",
        text=_miss_text(miss, chance),
    )


def _miss_text(miss: MissedObject, chance: str) -> str:
    cause = miss.cause
    if cause is None:
        if miss.best is None:
            return "no detection of its class overlaps it"
        overlap = miss.best.nearest.overlap if miss.best.nearest else 0.0
        return f"nearest detection: IoU {overlap:.2f}, {chance}"
    if cause.proposal is None:
        return f"{cause.cause}: the image has none"
    if cause.cause == "no proposal":
        return f"no proposal: the best has IoU {cause.overlap:.2f}"
    if cause.cause == "moved away":
        return f"moved away: proposal IoU {cause.overlap:.2f}, after regression {cause.box_overlap:.2f}"
    score = f" ({chance})" if chance else ""
    return f"{cause.cause}{score}: proposal IoU {cause.overlap:.2f}, box IoU {cause.box_overlap:.2f}"


def _below_pick(run: ReportRun, label: int, rank: int) -> Pick:
    """An object whose box lies below the threshold."""
    pick = _case_pick(run, run.diagnosis.case(label, rank), "missed")
    chance = run.said(label, run.evaluation.per_class[label].matches.scores[rank])
    title, text = f"{run.classes[label]} missed", f"scored low ({chance}): {pick.text}"
    return replace(pick, found_label=chance, title=title, text=text)


def _misses(run: ReportRun, label: int, count: int) -> list[Pick]:
    """The largest missed objects of a class, the causes in turn."""
    one, explained = run.evaluation.per_class[label].found, run.diagnosis.missed_of(label)
    causes = {(miss.image, miss.row): miss for miss in explained}
    missed = np.flatnonzero(one.counts & ~run.found_objects(label))
    queues: dict[str, list[Pick]] = {}
    for place in missed[np.argsort(-area(one.boxes[missed]), kind="stable")].tolist():
        miss = causes.get((int(one.images[place]), int(one.rows[place])))
        cause = miss.cause.cause if miss and miss.cause else "" if miss else "scored low"
        queue = queues.setdefault(cause, [])
        if len(queue) < count:
            queue.append(_miss_pick(run, miss) if miss else _below_pick(run, label, int(one.found[place])))
    turns = [(place, order, one) for order, queue in enumerate(queues.values()) for place, one in enumerate(queue)]
    return [one for _, _, one in sorted(turns, key=lambda turn: turn[:2])[:count]]


def _found_alone(finder: ReportRun, misser: ReportRun, label: int, group: Group) -> Iterator[Pick]:
    """The objects of a class that one run shows and the other does not, by descending score."""
    wanted = finder.found_objects(label) & ~misser.found_objects(label)
    for rank in sorted(finder.evaluation.per_class[label].found.found[wanted].tolist()):
        yield _case_pick(finder, finder.diagnosis.case(label, rank), group)


def picks(run: ReportRun, comparison: Comparison | None, settings: ReportSettings) -> list[Pick]:
    """What to show, the first of each group and class before the second of any, `settings.max_pictures` at most.

    Found, false and missed are meant at the thresholds.
    """
    diagnosis, count = run.diagnosis, settings.pictures
    columns: list[list[Pick]] = []
    for label in range(len(run.classes)):
        shown = run.shown_ranks(label)
        for group, kinds in (("found", ("correct",)), ("false", ERROR_TYPES)):
            cases = diagnosis.cases(label, kinds, count)
            columns.append([_case_pick(run, case, group) for case in cases if case.rank < shown])
        columns.append(_misses(run, label, count))
        if comparison is not None:
            columns.append(list(islice(_found_alone(run, comparison.other, label, "gained"), count)))
            columns.append(list(islice(_found_alone(comparison.other, run, label, "lost"), count)))
    rounds = [column[place] for place in range(count) for column in columns if place < len(column)]
    return rounds[: settings.max_pictures]


@dataclass(frozen=True)
class Crop(Picture):
    """A part of a photo that shows a pick."""

    pick: Pick


def crops(run: ReportRun, comparison: Comparison | None, settings: ReportSettings, budget: int) -> list[Crop]:
    """The pictures of the picks, in their order, as long as they fit into `budget` bytes of HTML.

    Those of an image that cannot be read are left out.
    """
    chosen = picks(run, comparison, settings)
    of_image: dict[int, list[int]] = {}
    for place, pick in enumerate(chosen):
        of_image.setdefault(pick.image, []).append(place)
    made: dict[int, Crop] = {}
    for image, places in of_image.items():
        rgb = readable(run.images[image])
        if rgb is not None:
            made |= {place: _crop(rgb, chosen[place], settings.picture_side) for place in places}
    return fitting((made[place] for place in sorted(made)), budget)


def crop_proposal(boxes: Sequence[Box], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """x1, y1, x2, y2 in whole px of the part of an image of (height, width) that shows `boxes` and what is around."""
    corners = np.array(boxes, dtype=np.float64)
    low, high = corners[:, :2].min(axis=0), corners[:, 2:].max(axis=0)
    margin = max(_CONTEXT * float((high - low).max()), _LEAST_CONTEXT)
    # A narrow part is widened to a square, so that pictures in a row are alike.
    lack = np.maximum((high - low).max() - (high - low), 0) / 2
    low, high = low - margin - lack, high + margin + lack
    height, width = size
    x1, y1 = (int(max(np.floor(value), 0)) for value in low)
    x2, y2 = int(min(np.ceil(high[0]), width)), int(min(np.ceil(high[1]), height))
    return min(x1, width - 1), min(y1, height - 1), max(x2, x1 + 1), max(y2, y1 + 1)


def _crop(rgb: np.ndarray, pick: Pick, side: int) -> Crop:
    # The first lies on top.
    layers = [
        Layer(box, text, class_colour(label), style)
        for box, text, label, style in (
            (pick.found, pick.found_label, pick.label, "solid"),
            (pick.truth, pick.truth_label, pick.truth_class, "dashed"),
        )
        if box is not None
    ]
    part = crop_proposal([one.box for one in layers], rgb.shape[:2])
    alt = f"{pick.title}; {pick.text}; image {pick.image_id}"
    return Crop(*drawn(rgb, part, layers, side, _DRAWING), alt, pick)
