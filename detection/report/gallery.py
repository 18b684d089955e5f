"""The pictures of a report: crops around detections and objects, with their boxes drawn."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from detection.data import DataError, read_image
from detection.report.picks import Box, Group, Pick, picks
from detection.report.records import Comparison, ReportRun
from detection.report.settings import ReportSettings
from detection.visualization import DrawingSettings, class_colour, draw_boxes

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


def pictures(run: ReportRun, comparison: Comparison | None, settings: ReportSettings, budget: int) -> list[Picture]:
    """The pictures of the picks, in their order, as long as they fit into `budget` bytes of HTML.

    Those of an image that cannot be read are left out.
    """
    chosen = picks(run, comparison, settings)
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
    boxes = [box for box in (pick.found, pick.truth) if box is not None]
    x1, y1, x2, y2 = crop_proposal(boxes, rgb.shape[:2])
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
