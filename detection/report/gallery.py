"""The pictures of a report: what is found, false and missed, as crops with their boxes drawn."""

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal, get_args

import numpy as np
from PIL import Image

from detection.data import DataError, read_image
from detection.evaluation import ERROR_TYPES, DetectionCase, Diagnosis, MissedObject
from detection.evaluation.errors import Box
from detection.report.records import Comparison, ReportRun, ReportSettings
from detection.visualization import DrawingSettings, class_colour, draw_boxes

Group = Literal["found", "false", "missed", "gained", "lost"]
GROUPS: tuple[Group, ...] = get_args(Group)

# What is shown around the boxes, in parts of the longer side of their common rectangle, and at least in px.
_CONTEXT, _LEAST_CONTEXT = 0.3, 24
# A crop is enlarged so many times at most.
_ENLARGEMENT = 4.0
_JPEG_QUALITY = 78
# Bytes of HTML that a byte of words can take: twice in the page, and & is &amp;.
_ESCAPED = 10
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
    missed = diagnosis.missed_of(label)
    for one in sorted(missed, key=lambda one: -(one.box[2] - one.box[0]) * (one.box[3] - one.box[1])):
        queues.setdefault(one.cause.cause if one.cause else "", []).append(one)
    turns = [(place, order, one) for order, queue in enumerate(queues.values()) for place, one in enumerate(queue)]
    return [one for _, _, one in sorted(turns, key=lambda turn: turn[:2])[:count]]


def _found_alone(finder: ReportRun, misser: ReportRun, label: int, group: Group) -> Iterator[Pick]:
    """The objects of a class that one run found and the other missed, by descending score."""
    found = finder.evaluation.per_class[label].found
    ranks = dict(zip(zip(found.images, found.rows, strict=True), found.found.tolist(), strict=True))
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


@dataclass(frozen=True)
class Picture:
    """A picture of the page: what it shows, its JPEG bytes and their size in px."""

    pick: Pick
    data: bytes
    height: int
    width: int

    @property
    def alt(self) -> str:
        """The picture in words."""
        return f"{self.pick.title}; {self.pick.text}; image {self.pick.image_id}"

    @property
    def source(self) -> str:
        """The picture as a data URI."""
        return f"data:image/jpeg;base64,{base64.b64encode(self.data).decode()}"

    @property
    def html_bytes(self) -> int:
        """Most bytes of HTML that it takes: base64, and the words in the caption and for those who cannot see it."""
        return len(self.data) * 4 // 3 + _ESCAPED * len(self.alt.encode("utf-8", "replace")) + 400


def pictures(run: ReportRun, comparison: Comparison | None, settings: ReportSettings, budget: int) -> list[Picture]:
    """The pictures of the picks, in their order, as long as they fit into `budget` bytes of HTML.

    Those of an image that cannot be read are left out.
    """
    chosen = picks(run, comparison, settings)
    of_image: dict[int, list[int]] = {}
    for place, pick in enumerate(chosen):
        of_image.setdefault(pick.image, []).append(place)
    made: dict[int, Picture] = {}
    for image, places in of_image.items():
        try:
            rgb = read_image(run.images[image].path, run.images[image].size)
        except DataError:
            continue
        made |= {place: _picture(rgb, chosen[place], settings.picture_side) for place in places}
    kept, used = [], 0
    for place in sorted(made):
        used += made[place].html_bytes
        if used > budget:
            break
        kept.append(made[place])
    return kept


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


def _picture(rgb: np.ndarray, pick: Pick, side: int) -> Picture:
    # The first lies on top.
    layers = [
        (pick.found, pick.found_label, class_colour(pick.label), "solid"),
        (pick.truth, pick.truth_label, class_colour(pick.truth_class), "dashed"),
    ]
    boxes, texts, colours, styles = zip(*(layer for layer in layers if layer[0] is not None), strict=True)
    x1, y1, x2, y2 = crop_proposal(boxes, rgb.shape[:2])
    part = Image.fromarray(np.ascontiguousarray(rgb[y1:y2, x1:x2]))
    scale = min(side / max(part.size), _ENLARGEMENT)
    width, height = (max(1, round(length * scale)) for length in part.size)
    drawn = part.resize((width, height), Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC)
    factors = np.array([width / (x2 - x1), height / (y2 - y1)] * 2)
    moved = ((np.array(boxes) - [x1, y1, x1, y1]) * factors).astype(np.float32)
    data = io.BytesIO()
    final = draw_boxes(np.array(drawn), moved, texts, colours, styles, _DRAWING)
    Image.fromarray(final).save(data, "JPEG", quality=_JPEG_QUALITY, optimize=True)
    return Picture(pick, data.getvalue(), height, width)
