"""Whole photos of a report: what is found, missed and false in each at the thresholds, the hardest first."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from detection.evaluation import IGNORED
from detection.evaluation.errors import Box
from detection.report.pictures import Layer, Picture, drawn, fitting, readable
from detection.report.records import ReportRun, ReportSettings
from detection.visualization import DrawingSettings, class_colour
from detection.visualization.drawing import Style

Kind = Literal["missed", "false", "found"]
# How each kind is drawn, told apart without colours; the first lies on top.
STYLES: dict[Kind, Style] = {"missed": "dashed", "false": "crossed", "found": "solid"}
_SAID: tuple[Kind, ...] = ("found", "missed", "false")
# Pictures are shown at about three quarters of their size.
_DRAWING = DrawingSettings(line=0.009, text=0.036)
_LABELS = 10


class Mark(NamedTuple):
    """A box on a photo, in its frame. chance: the probability of a detection, in words; margin: its score."""

    kind: Kind
    label: int
    box: Box
    chance: str = ""
    margin: float = -np.inf


@dataclass(frozen=True)
class Photo(Picture):
    """A photo as the page shows it. counts: what is on it in words."""

    name: str
    counts: str


def marked(run: ReportRun) -> list[list[Mark]]:
    """What is found, missed and false on each image at the thresholds, by descending score.

    Difficult objects, and detections on them, are left out.
    """
    marks: list[list[Mark]] = [[] for _ in run.images]
    for label, one in enumerate(run.evaluation.per_class):
        matches, objects = one.matches, one.found
        hits = set(objects.found[run.found_objects(label)].tolist())
        for rank in np.flatnonzero(matches.outcomes[: run.shown_ranks(label)] != IGNORED).tolist():
            score, kind = float(matches.scores[rank]), "found" if rank in hits else "false"
            mark = Mark(kind, label, tuple(matches.boxes[rank].tolist()), run.said(label, score), score)
            marks[matches.images[rank]].append(mark)
        for place in np.flatnonzero(objects.counts & ~run.found_objects(label)).tolist():
            marks[objects.images[place]].append(Mark("missed", label, tuple(objects.boxes[place].tolist())))
    return [sorted(of_image, key=lambda mark: -mark.margin) for of_image in marks]


def hardest(marks: list[list[Mark]]) -> list[int]:
    """Images that have an object or a shown detection, those with the most missed objects and false boxes first.

    Of equally many, that with the higher-scoring false box, which costs more average precision; then in their order.
    """

    def hardness(image: int) -> tuple[int, float, int]:
        wrong = [mark for mark in marks[image] if mark.kind != "found"]
        return -len(wrong), -max((mark.margin for mark in wrong), default=-np.inf), image

    return sorted((image for image, of_image in enumerate(marks) if of_image), key=hardness)


def photos(run: ReportRun, settings: ReportSettings, budget: int) -> list[Photo]:
    """The hardest photos, `settings.photos` at most, as long as they fit into `budget` bytes of HTML.

    One that cannot be read any more is left out.
    """
    marks = marked(run)

    def made() -> Iterator[Photo]:
        for image in hardest(marks)[: settings.photos]:
            rgb = readable(run.images[image])
            if rgb is not None:
                yield _photo(run, rgb, run.images[image].image_id, marks[image], settings.photo_side)

    return fitting(made(), budget)


def _photo(run: ReportRun, rgb: np.ndarray, image_id: str, marks: list[Mark], side: int) -> Photo:
    # In a crowd labels would hide what they name: there the highest-scoring boxes alone have one.
    labels = [f"{run.classes[mark.label]} {mark.chance}".strip() if i < _LABELS else "" for i, mark in enumerate(marks)]
    layers = [
        Layer(mark.box, label, class_colour(mark.label), style)
        for kind, style in STYLES.items()
        for mark, label in zip(marks, labels, strict=True)
        if mark.kind == kind
    ]
    names = {kind: [run.classes[mark.label] for mark in marks if mark.kind == kind] for kind in _SAID}
    counts = ", ".join(f"{len(own)} {kind}" for kind, own in names.items() if own)
    classes = "; ".join(f"{kind}: {', '.join(dict.fromkeys(own))}" for kind, own in names.items() if own)
    picture = drawn(rgb, (0, 0, rgb.shape[1], rgb.shape[0]), layers, side, _DRAWING)
    return Photo(*picture, f"{counts} ({classes}); image {image_id}", image_id, counts)
