"""The pictures of a report: crops around detections and objects, with their boxes drawn."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from detection.data import DataError, read_image
from detection.evaluation import ERROR_TYPES, DetectionCase, Diagnosis, MissedObject
from detection.report.records import ReportRun
from detection.report.settings import ReportSettings
from detection.visualization import DrawingSettings, class_colour, draw_boxes

Group = Literal["found", "false", "missed"]
GROUPS: tuple[Group, ...] = ("found", "false", "missed")

Box = tuple[float, float, float, float]
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

    found: the detection or window, drawn solid; truth: the object, drawn dashed; either may be None. title and text: its
    caption. The labels stand at the boxes.
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


@dataclass(frozen=True)
class Picture:
    """A picture of the page: JPEG bytes, their size in px, and what it shows in words."""

    label: int
    group: Group
    data: bytes
    height: int
    width: int
    title: str
    text: str
    image_id: str

    @property
    def alt(self) -> str:
        """The picture in words."""
        return f"{self.title}; {self.text}; image {self.image_id}"

    @property
    def source(self) -> str:
        """The picture as a data URI."""
        return f"data:image/jpeg;base64,{base64.b64encode(self.data).decode()}"


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
        found, score = (cause.window if cause.cause == "no window" else cause.box), cause.score
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
        return f"nearest detection: IoU {miss.best.nearest.overlap if miss.best.nearest else 0:.2f}, score {miss.best.score:.2f}{limit}"
    if cause.window is None:
        return f"{cause.cause}: the image has none"
    score = "" if cause.score is None else f", score {cause.score:.2f}{limit}"
    if cause.cause == "no window":
        return f"no window: the best has IoU {cause.overlap:.2f}"
    if cause.cause == "moved away":
        return f"moved away: window IoU {cause.overlap:.2f}, after regression {cause.box_overlap:.2f}"
    return f"{cause.cause}: window IoU {cause.overlap:.2f}, box IoU {cause.box_overlap:.2f}{score}"


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


def picks(run: ReportRun, settings: ReportSettings) -> list[Pick]:
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
    rounds = [column[place] for place in range(count) for column in columns if place < len(column)]
    return rounds[: settings.max_pictures]


def pictures(run: ReportRun, settings: ReportSettings, budget: int) -> list[Picture]:
    """The pictures of the picks, in their order, as long as they fit into `budget` bytes of HTML.

    Those of an image that cannot be read are left out.
    """
    chosen = picks(run, settings)
    made: dict[int, Picture] = {}
    for image, places in _by_image(chosen):
        annotated = run.images[image]
        try:
            rgb = read_image(annotated.path, annotated.size)
        except DataError:
            continue
        for place in places:
            made[place] = _picture(rgb, chosen[place], settings.picture_side)
    kept, used = [], 0
    for place in sorted(made):
        used += _html_bytes(made[place])
        if used > budget:
            break
        kept.append(made[place])
    return kept


def _html_bytes(picture: Picture) -> int:
    # base64, and the words twice: in the caption and for those who cannot see it.
    words = len(picture.alt.encode("utf-8", "replace"))
    return len(picture.data) * 4 // 3 + _ESCAPED * words + 400


def _by_image(chosen: Sequence[Pick]) -> Iterator[tuple[int, list[int]]]:
    places: dict[int, list[int]] = {}
    for place, pick in enumerate(chosen):
        places.setdefault(pick.image, []).append(place)
    yield from places.items()


def crop_window(boxes: Sequence[Box], size: tuple[int, int]) -> tuple[int, int, int, int]:
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
    boxes = [box for box in (pick.found, pick.truth) if box is not None]
    x1, y1, x2, y2 = crop_window(boxes, rgb.shape[:2])
    part = Image.fromarray(np.ascontiguousarray(rgb[y1:y2, x1:x2]))
    scale = min(side / max(part.size), _ENLARGEMENT)
    size = tuple(max(1, round(length * scale)) for length in part.size)
    drawn = np.array(part.resize(size, Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC))
    factors = np.array([size[0] / (x2 - x1), size[1] / (y2 - y1)] * 2)
    # The first lies on top.
    layers = [
        (pick.found, pick.found_label, class_colour(pick.label), "solid"),
        (pick.truth, pick.truth_label, class_colour(pick.truth_class), "dashed"),
    ]
    layers = [layer for layer in layers if layer[0] is not None]
    moved = ((np.array([layer[0] for layer in layers]) - [x1, y1, x1, y1]) * factors).astype(np.float32)
    texts, colours, styles = ([layer[place] for layer in layers] for place in (1, 2, 3))
    drawn = draw_boxes(drawn, moved, texts, colours, styles, _DRAWING)
    data = io.BytesIO()
    Image.fromarray(drawn).save(data, "JPEG", quality=_JPEG_QUALITY, optimize=True)
    height, width = drawn.shape[:2]
    return Picture(pick.label, pick.group, data.getvalue(), height, width, pick.title, pick.text, pick.image_id)
