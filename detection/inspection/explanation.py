"""Stage: the explanation of a window in words, as data and as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from detection.inspection.contributions import StagePart
from detection.inspection.filters import GREEN, shrink
from detection.inspection.responses import upsample
from detection.inspection.windows import WindowExplanation
from detection.visualization import (
    DrawingSettings,
    beside,
    captioned,
    draw_boxes,
    draw_dots,
    heat_scale,
    overlay_heat,
    stacked,
)

_TEXT, _SHOWN_SIDE, _CROP_SIDE = 15, 400, 320
# What is shown around a window, in parts of its longer side.
_MARGIN = 0.3
_ORANGE, _BLUE, _WHITE = (213, 94, 0), (86, 180, 233), (255, 255, 255)
_LINES, _WIDE_LINES = DrawingSettings(0.006), DrawingSettings(0.012)
# Radius of the dot of a bin that adds as much as the channel's best, in letter heights.
_DOT = 0.5


def explanation_lines(
    explanation: WindowExplanation, classes: Sequence[str], target_area: float, scales: np.ndarray
) -> list[str]:
    """The explanation as plain sentences."""
    name, pooled, fate = classes[explanation.label], explanation.pooled, explanation.fate
    kind = "one of its windows" if explanation.is_window else "none of its windows, but added to them here"
    sides = ", ".join(
        f"{np.sqrt(one):.0f}{' (chosen)' if index == pooled.index else ''}" for index, one in enumerate(pooled.areas)
    )
    lines = [
        f"window {_numbers(explanation.box)} of image {explanation.image.image_id}: {kind}",
        f"scale: x {pooled.scale:.3g}; the window is as large as a square of so many px at the {len(scales)} scales: "
        f"{sides}; the area nearest to {np.sqrt(target_area):.0f}^2 decides",
    ]
    for stage in pooled.stages:
        x1, y1, x2, y2 = stage.cells
        lines.append(
            f"stride {stage.stride}: {y2 - y1} x {x2 - x1} cells, rows {y1} to {y2 - 1}, columns {x1} to {x2 - 1}; "
            f"adds {stage.contributions.sum():+.3f}"
        )
    best = sorted(np.flatnonzero(np.isfinite(explanation.scores)), key=lambda one: -explanation.scores[one])[:5]
    lines.append("scores: " + ", ".join(f"{classes[one]} {explanation.scores[one]:.3f}" for one in best))
    lines.append(
        f"score of {name}: {explanation.scores[explanation.label]:.3f}, "
        f"of that {explanation.constant:+.3f} without any channel"
    )
    lines.append(_object_line(explanation, classes))
    lines.append(f"box after regression: {_numbers(explanation.refined)}")
    words = {
        "kept": f"kept, as number {fate.rank} of {name} in this image",
        "over max_per_class": f"over max_per_class: number {fate.rank} of {name} in this image",
        "dropped": "dropped before NMS: its score is too low or its box empty",
        "suppressed": "",
    }
    if fate.outcome == "suppressed":
        words["suppressed"] = (
            f"suppressed by {_numbers(explanation.rival)} of score {explanation.rival_score:.3f}, "
            f"IoU {fate.overlap:.2f}"
        )
    return [*lines, f"NMS: {words[fate.outcome]}"]


def _object_line(explanation: WindowExplanation, classes: Sequence[str]) -> str:
    if explanation.nearest < 0:
        return "nearest object: it overlaps none"
    box, kind = explanation.image.boxes[explanation.nearest], classes[explanation.image.labels[explanation.nearest]]
    difficult = ", difficult" if explanation.image.difficult[explanation.nearest] else ""
    return f"nearest object: {kind} {_numbers(box)}{difficult}, IoU {explanation.overlap:.2f}"


def _numbers(values: np.ndarray) -> str:
    return ",".join(f"{float(one):.4g}" for one in values)


def explanation_json(explanation: WindowExplanation, classes: Sequence[str], count: int) -> dict[str, Any]:
    """The explanation as plain data. count: of the channels that add most."""
    strongest = []
    for stage, channel in explanation.pooled.strongest(count):
        part = explanation.pooled.stages[stage]
        bins = [
            {"value": float(value), "adds": float(added), "cell": cell, "centre": centre}
            for value, added, cell, centre in zip(
                part.values[channel],
                part.contributions[channel],
                part.winners[channel].tolist(),
                part.centres(explanation.pooled.scale, channel).tolist(),
                strict=True,
            )
        ]
        strongest.append(
            {"stride": part.stride, "filter": channel, "adds": float(part.channels()[channel]), "bins": bins}
        )
    return {
        "image_id": explanation.image.image_id,
        "box": explanation.box.tolist(),
        "is_window": explanation.is_window,
        "class": classes[explanation.label],
        "scores": {
            name: float(s) if np.isfinite(s) else None for name, s in zip(classes, explanation.scores, strict=True)
        },
        "constant": explanation.constant,
        "scale": explanation.pooled.scale,
        "areas": explanation.pooled.areas.tolist(),
        "stages": [
            {"stride": one.stride, "cells": one.cells.tolist(), "adds": float(one.contributions.sum())}
            for one in explanation.pooled.stages
        ],
        "filters": strongest,
        "refined": explanation.refined.tolist(),
        "nearest_object": None if explanation.nearest < 0 else explanation.image.boxes[explanation.nearest].tolist(),
        "overlap": explanation.overlap,
        "nms": {
            "outcome": explanation.fate.outcome,
            "rank": explanation.fate.rank,
            "by": None if explanation.rival is None else explanation.rival.tolist(),
            "overlap": explanation.fate.overlap,
        },
    }


@dataclass(frozen=True)
class _Crop:
    """A part of the image around the window, enlarged. origin (x, y) and size in px of the image."""

    rgb: np.ndarray
    origin: np.ndarray
    factor: float

    def place(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 2) or boxes (..., 4) of the image, in px of the picture."""
        shift = np.tile(self.origin, np.shape(points)[-1] // 2)
        return ((np.asarray(points, np.float64) - shift) * self.factor).astype(np.float32)

    def heat(self, part: StagePart, channel: int | None, scale: float) -> np.ndarray:
        """What a stage's cells add, in px of the picture."""
        offset = part.offset - scale * self.origin[::-1]
        return upsample(part.heat(channel), self.rgb.shape[:2], scale / self.factor, part.stride, offset)


def _crop(rgb: np.ndarray, box: np.ndarray) -> _Crop:
    margin = _MARGIN * max(box[2] - box[0], box[3] - box[1])
    x1, y1 = (max(int(one - margin), 0) for one in box[:2])
    x2, y2 = (min(int(np.ceil(one + margin)), side) for one, side in zip(box[2:], rgb.shape[1::-1], strict=True))
    factor = _CROP_SIDE / max(x2 - x1, y2 - y1)
    size = (max(1, round((x2 - x1) * factor)), max(1, round((y2 - y1) * factor)))
    part = Image.fromarray(np.ascontiguousarray(rgb[y1:y2, x1:x2])).resize(size, Image.Resampling.BICUBIC)
    return _Crop(np.asarray(part), np.array([x1, y1]), factor)


def draw_explanation(
    rgb: np.ndarray, explanation: WindowExplanation, classes: Sequence[str], count: int, columns: int = 3
) -> np.ndarray:
    """The explanation as a figure, (H, W, 3) uint8.

    First the image with the window (solid), the nearest object and the box that suppressed it (dashed); then, around
    the window, what all cells add, and each of the `count` channels that add most: as heat, with the bins of the
    finest level and a dot on each cell that won bins, the larger the more it adds.
    """
    crop, score = _crop(rgb, explanation.box), explanation.scores[explanation.label]
    panels = [_window_panel(rgb, explanation, classes)]
    whole = sum(crop.heat(part, None, explanation.pooled.scale) for part in explanation.pooled.stages)
    panels.append(_heat_panel(crop, whole, explanation, f"all filters: {score - explanation.constant:+.2f}"))
    for stage, channel in explanation.pooled.strongest(count):
        part = explanation.pooled.stages[stage]
        title = f"filter {channel}, stride {part.stride}: {part.channels()[channel]:+.3f}"
        panels.append(
            _heat_panel(crop, crop.heat(part, channel, explanation.pooled.scale), explanation, title, (part, channel))
        )
    width = max(one.shape[1] for one in panels)
    panels = [np.pad(one, ((0, 0), (0, width - one.shape[1]), (0, 0)), constant_values=255) for one in panels]
    rows = [beside(panels[start : start + columns], _TEXT) for start in range(0, len(panels), columns)]
    return np.pad(stacked(rows, _TEXT), ((_TEXT // 2,) * 2, (_TEXT // 2,) * 2, (0, 0)), constant_values=255)


def _window_panel(rgb: np.ndarray, explanation: WindowExplanation, classes: Sequence[str]) -> np.ndarray:
    drawn, factor = shrink(rgb, _SHOWN_SIDE)
    texts = [f"window: {classes[explanation.label]} {explanation.scores[explanation.label]:.2f} (solid)"]
    if explanation.nearest >= 0:
        drawn = draw_boxes(
            drawn,
            explanation.image.boxes[[explanation.nearest]] * np.float32(factor),
            [""],
            [_BLUE],
            "dashed",
            _WIDE_LINES,
        )
        texts.append(
            f"object: {classes[explanation.image.labels[explanation.nearest]]}, IoU {explanation.overlap:.2f} (blue)"
        )
    if explanation.rival is not None:
        drawn = draw_boxes(drawn, explanation.rival[None] * np.float32(factor), [""], [_ORANGE], "dashed", _WIDE_LINES)
        texts.append(f"suppressed by a {explanation.rival_score:.2f}, IoU {explanation.fate.overlap:.2f} (orange)")
    drawn = draw_boxes(drawn, explanation.box[None] * np.float32(factor), [""], [GREEN], "solid", _LINES)
    return captioned(drawn, texts, _TEXT)


def _heat_panel(
    crop: _Crop,
    heat: np.ndarray,
    explanation: WindowExplanation,
    title: str,
    channel: tuple[StagePart, int] | None = None,
) -> np.ndarray:
    limit = float(np.abs(heat).max())
    drawn = overlay_heat(crop.rgb, heat, limit)
    if channel is not None:
        drawn = _with_bins(drawn, crop, channel[0], explanation.pooled.scale)
    drawn = draw_boxes(drawn, crop.place(explanation.box)[None], [""], [GREEN], "solid", _LINES)
    if channel is not None:
        drawn = _with_winners(drawn, crop, *channel, explanation.pooled.scale)
    return captioned(beside([drawn, heat_scale(drawn.shape[0], -limit, limit, _TEXT)], _TEXT // 2), [title], _TEXT)


def _with_bins(drawn: np.ndarray, crop: _Crop, part: StagePart, scale: float) -> np.ndarray:
    """Thin lines around the bins of the finest level; those of small windows overlap."""
    image = Image.fromarray(drawn)
    draw = ImageDraw.Draw(image)
    x1, y1, x2, y2 = (int(one) for one in part.cells)
    finest, half = part.finest, part.stride / 2
    for i in range(finest):
        rows = y1 + i * (y2 - y1) // finest, y1 - (-(i + 1) * (y2 - y1) // finest)
        for j in range(finest):
            columns = x1 + j * (x2 - x1) // finest, x1 - (-(j + 1) * (x2 - x1) // finest)
            corners = np.array([columns[0], rows[0], columns[1], rows[1]]) * part.stride - half
            box = crop.place((corners + np.tile(part.offset[::-1], 2)) / scale)
            draw.rectangle(box.tolist(), outline=(200, 200, 200))
    return np.asarray(image)


def _with_winners(drawn: np.ndarray, crop: _Crop, part: StagePart, channel: int, scale: float) -> np.ndarray:
    """Dots on the cells that won bins of the channel and add to the score, sized by what they add."""
    heat = part.heat(channel)
    cells = np.argwhere(heat > 0)
    radii = _DOT * _TEXT * np.sqrt(heat[cells[:, 0], cells[:, 1]] / heat.max()) if len(cells) else np.zeros(0)
    centres = ((part.offset + part.stride * cells) / scale)[:, ::-1]
    return draw_dots(drawn, crop.place(centres), radii, [_WHITE] * len(cells))
