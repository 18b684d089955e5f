"""The pictures of a report: crops around detections and objects, with their boxes drawn."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from detection.data import DataError, read_image
from detection.evaluation.errors import Box
from detection.report.picks import Pick, picks
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
