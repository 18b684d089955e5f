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


class Marks(NamedTuple):
    """What is found, missed and false at the thresholds, image after image, by descending score in each; N marks.

    images: (N,) int64, positions. kinds: (N,) int64, places in _SAID. labels: (N,) int64. boxes: (N, 4) float64.
    margins: (N,) float64, minus infinity of missed objects.
    """

    images: np.ndarray
    kinds: np.ndarray
    labels: np.ndarray
    boxes: np.ndarray
    margins: np.ndarray

    def of(self, run: ReportRun, image: int) -> list[Mark]:
        """Those of the image at a position."""
        rows = range(*np.searchsorted(self.images, [image, image + 1]).tolist())
        return [self._mark(run, row) for row in rows]

    def _mark(self, run: ReportRun, row: int) -> Mark:
        kind, label, margin = _SAID[self.kinds[row]], int(self.labels[row]), float(self.margins[row])
        chance = "" if kind == "missed" else run.said(label, margin)
        return Mark(kind, label, tuple(self.boxes[row].tolist()), chance, margin)

    def hardest(self) -> list[int]:
        """Images that have a mark, those with the most missed objects and false boxes first.

        Of equally many, that with the higher-scoring false box, which costs more average precision; then in their
        order.
        """
        images, wrong = np.unique(self.images), self.kinds != _SAID.index("found")
        counts = np.bincount(self.images[wrong], minlength=images.max(initial=-1) + 1)
        worst = np.full(len(counts), -np.inf)
        np.maximum.at(worst, self.images[wrong], self.margins[wrong])
        return images[np.lexsort((images, -worst[images], -counts[images]))].tolist()


def marked(run: ReportRun) -> Marks:
    """All marks of a run. Difficult objects, and detections on them, are left out."""
    parts = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros(0))]
    for label, one in enumerate(run.evaluation.per_class):
        matches, objects, found = one.matches, one.found, run.found_objects(label)
        shown = np.flatnonzero(matches.outcomes[: run.shown_ranks(label)] != IGNORED)
        missed = np.flatnonzero(objects.counts & ~found)
        kinds = np.where(np.isin(shown, objects.found[found]), _SAID.index("found"), _SAID.index("false"))
        parts.append((matches.images[shown], kinds, np.full(len(shown), label)))
        parts[-1] += (matches.boxes[shown], matches.scores[shown])
        parts.append((objects.images[missed], np.full(len(missed), _SAID.index("missed")), np.full(len(missed), label)))
        parts[-1] += (objects.boxes[missed], np.full(len(missed), -np.inf))
    images, kinds, labels, boxes, margins = map(np.concatenate, zip(*parts, strict=True))
    order = np.lexsort((-margins, images))
    return Marks(*(one[order] for one in (images, kinds, labels, boxes, margins)))


def photos(run: ReportRun, settings: ReportSettings, budget: int) -> list[Photo]:
    """The hardest photos, `settings.photos` at most, as long as they fit into `budget` bytes of HTML.

    One that cannot be read any more is left out.
    """
    marks = marked(run)

    def made() -> Iterator[Photo]:
        for image in marks.hardest()[: settings.photos]:
            rgb = readable(run.images[image])
            if rgb is not None:
                yield _photo(run, rgb, run.images[image].image_id, marks.of(run, image), settings.photo_side)

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
