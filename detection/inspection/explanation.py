"""The explanation of a window in words, as data and as a figure."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from PIL import Image

from detection.features.settings import FeatureSettings
from detection.inspection.contributions import RegionContributions, StageContributions, bins_of
from detection.inspection.pictures import GREEN, TEXT, Crop, crop_around, draw_rectangles, framed, shrink
from detection.inspection.responses import upsample
from detection.inspection.windows import WindowExplanation
from detection.visualization import DrawingSettings, beside, captioned, draw_boxes, draw_dots, heat_scale, overlay_heat

_SHOWN_SIDE, _CROP_SIDE, _COLUMNS = 400, 320, 3
# What is shown around a window, in parts of its longer side.
_MARGIN = 0.3
_ORANGE, _BLUE, _WHITE, _GREY = (213, 94, 0), (86, 180, 233), (255, 255, 255), (200, 200, 200)
_LINES, _WIDE_LINES = DrawingSettings(0.006), DrawingSettings(0.012)
# Radius of the dot of a bin that adds as much as the channel's best, in letter heights.
_DOT = 0.5


def explanation_lines(explanation: WindowExplanation) -> list[str]:
    """The explanation as plain sentences."""
    classes, scores = explanation.classes, explanation.scores
    kind = "one of its proposals" if explanation.is_proposal else "none of its proposals, but added to them here"
    best = sorted(np.flatnonzero(np.isfinite(scores)), key=lambda label: -scores[label])[:5]
    return [
        f"window {_numbers(explanation.box)} of image {explanation.image.image_id}: {kind}",
        _scale_line(explanation.pooled, explanation.settings),
        *(_stage_line(stage) for stage in explanation.pooled.stages),
        "scores: " + ", ".join(f"{classes[label]} {scores[label]:.3f}" for label in best),
        f"score of {classes[explanation.label]}: {explanation.score:.3f}, "
        f"of that {explanation.constant:+.3f} without any channel",
        *_mean_line(explanation),
        _object_line(explanation),
        f"box after regression: {_numbers(explanation.refined)}",
        f"NMS: {_outcome_words(explanation)}",
        *([] if explanation.nms.voted is None else [f"box after voting: {_numbers(explanation.nms.voted)}"]),
    ]


def _scale_line(pooled: RegionContributions, settings: FeatureSettings) -> str:
    sides = [f"{np.sqrt(area):.0f}" for area in pooled.areas]
    sides[pooled.index] += " (chosen)"
    target = f"{np.sqrt(settings.target_area):.0f}^2"
    rule = {
        "area": f"the area nearest to {target} decides",
        "side": f"the image's short side nearest to the one that gives the window {target} decides",
    }[settings.scale_rule]
    return (
        f"scale: x {pooled.scale:.3g}; the window is as large as a square of so many px at the {len(sides)} scales: "
        f"{', '.join(sides)}; {rule}"
    )


def _stage_line(stage: StageContributions) -> str:
    x1, y1, x2, y2 = stage.cells
    cells = f"{y2 - y1} x {x2 - x1} cells, rows {y1} to {y2 - 1}, columns {x1} to {x2 - 1}"
    return f"{stage.label}: {cells}; adds {stage.contributions.sum():+.3f}"


def _mean_line(explanation: WindowExplanation) -> list[str]:
    mean = explanation.mean_score
    return [] if mean is None else [f"mean with its score in the mirrored image, which counts: {mean:.3f}"]


def _object_line(explanation: WindowExplanation) -> str:
    image, nearest = explanation.image, explanation.nearest
    if nearest < 0:
        return "nearest object: it overlaps none"
    difficult = ", difficult" if image.difficult[nearest] else ""
    name = explanation.classes[image.labels[nearest]]
    return f"nearest object: {name} {_numbers(image.boxes[nearest])}{difficult}, IoU {explanation.overlap:.2f}"


def _outcome_words(explanation: WindowExplanation) -> str:
    nms = explanation.nms
    number = f"number {nms.rank} of {explanation.classes[explanation.label]} in this image"
    if nms.outcome == "suppressed":
        rival = f"{_numbers(explanation.rival)} of score {explanation.rival_score:.3f}"
        return f"suppressed by {rival}, IoU {nms.overlap:.2f}"
    return {
        "kept": f"kept, as {number}",
        "over max_per_class": f"over max_per_class: {number}",
        "dropped": "dropped before NMS: its score is too low or its box empty",
    }[nms.outcome]


def _numbers(values: Iterable[float]) -> str:
    return ",".join(f"{float(one):.4g}" for one in values)


def explanation_json(explanation: WindowExplanation, count: int) -> dict[str, Any]:
    """The explanation as plain data. count: of the channels that add most."""
    classes, pooled, nearest, nms = explanation.classes, explanation.pooled, explanation.nearest, explanation.nms
    scores = [float(score) if np.isfinite(score) else None for score in explanation.scores]
    rival = None if explanation.rival is None else explanation.rival.tolist()
    return {
        "image_id": explanation.image.image_id,
        "box": explanation.box.tolist(),
        "is_window": explanation.is_proposal,
        "class": classes[explanation.label],
        "scores": dict(zip(classes, scores, strict=True)),
        "constant": explanation.constant,
        "mean_score": explanation.mean_score,
        "scale": pooled.scale,
        "areas": pooled.areas.tolist(),
        "stages": [
            {
                "stage": stage.label,
                "stride": stage.stride,
                "cells": stage.cells.tolist(),
                "adds": float(stage.contributions.sum()),
            }
            for stage in pooled.stages
        ],
        "filters": [_filter_json(stage, channel, pooled.scale) for stage, channel in pooled.strongest(count)],
        "refined": explanation.refined.tolist(),
        "nearest_object": None if nearest < 0 else explanation.image.boxes[nearest].tolist(),
        "overlap": explanation.overlap,
        "nms": {"outcome": nms.outcome, "rank": nms.rank, "by": rival, "overlap": nms.overlap, "voted": nms.voted},
    }


def _filter_json(stage: StageContributions, channel: int, scale: float) -> dict[str, Any]:
    columns = {"value": stage.values[channel], "adds": stage.contributions[channel]}
    if stage.winners is not None:
        cells = stage.winners[channel]
        columns |= {"cell": cells, "centre": stage.centres(cells, scale)}
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    bins = [dict(zip(columns, row, strict=True)) for row in rows]
    return {
        "stage": stage.label,
        "stride": stage.stride,
        "filter": channel,
        "adds": float(stage.channels()[channel]),
        "bins": bins,
    }


def draw_explanation(rgb: np.ndarray, explanation: WindowExplanation, count: int) -> np.ndarray:
    """The explanation as a figure, (H, W, 3) uint8.

    First the image with the window (solid), the nearest object and the box that suppressed it (dashed); then, around
    the window, what all cells add, and each of the `count` channels that add most: as a saliency map, with the bins of
    the finest level and, where bins are maxima, a dot on each cell that won some, the larger the more it adds.
    """
    crop = crop_around(rgb, explanation.box, _MARGIN, _CROP_SIDE, Image.Resampling.BICUBIC)
    title = f"all filters: {explanation.score - explanation.constant:+.2f}"
    panels = [_window_panel(rgb, explanation), _saliency_panel(crop, explanation, title)]
    for stage, channel in explanation.pooled.strongest(count):
        title = f"filter {channel}, {stage.label}: {stage.channels()[channel]:+.3f}"
        panels.append(_saliency_panel(crop, explanation, title, stage, channel))
    width = max(one.shape[1] for one in panels)
    panels = [np.pad(one, ((0, 0), (0, width - one.shape[1]), (0, 0)), constant_values=255) for one in panels]
    rows = [beside(panels[start : start + _COLUMNS], TEXT) for start in range(0, len(panels), _COLUMNS)]
    return framed(rows, TEXT, TEXT // 2)


def _window_panel(rgb: np.ndarray, explanation: WindowExplanation) -> np.ndarray:
    drawn, factor = shrink(rgb, _SHOWN_SIDE)
    image, classes, nearest = explanation.image, explanation.classes, explanation.nearest
    texts = [f"window: {classes[explanation.label]} {explanation.score:.2f} (solid)"]
    layers = []
    if nearest >= 0:
        layers.append((image.boxes[nearest], _BLUE, "dashed", _WIDE_LINES))
        texts.append(f"object: {classes[image.labels[nearest]]}, IoU {explanation.overlap:.2f} (blue)")
    if explanation.rival is not None:
        layers.append((explanation.rival, _ORANGE, "dashed", _WIDE_LINES))
        texts.append(f"suppressed by a {explanation.rival_score:.2f}, IoU {explanation.nms.overlap:.2f} (orange)")
    for box, colour, style, lines in (*layers, (explanation.box, GREEN, "solid", _LINES)):
        drawn = draw_boxes(drawn, box[None] * np.float32(factor), [""], [colour], style, lines)
    return captioned(drawn, texts, TEXT)


def _saliency_panel(
    crop: Crop,
    explanation: WindowExplanation,
    title: str,
    stage: StageContributions | None = None,
    channel: int | None = None,
) -> np.ndarray:
    """What the cells add, of all channels or, with bins and their winners, of one."""
    scale = explanation.pooled.scale
    saliency, size = 0.0, crop.rgb.shape[:2]
    for one in [stage] if stage else explanation.pooled.stages:
        offset = one.offset - scale * crop.origin[::-1]
        saliency = saliency + upsample(one.saliency(channel), size, scale / crop.factor, one.stride, offset)
    limit = float(np.abs(saliency).max())
    drawn = overlay_heat(crop.rgb, saliency, limit)
    if stage is not None:
        drawn = _with_bins(drawn, crop, stage, scale, max(explanation.settings.levels))
    drawn = draw_boxes(drawn, crop.place(explanation.box)[None], [""], [GREEN], "solid", _LINES)
    if stage is not None and stage.winners is not None:
        drawn = _with_winners(drawn, crop, stage, channel, scale)
    return captioned(beside([drawn, heat_scale(drawn.shape[0], -limit, limit, TEXT)], TEXT // 2), [title], TEXT)


def _with_bins(drawn: np.ndarray, crop: Crop, stage: StageContributions, scale: float, level: int) -> np.ndarray:
    """Thin lines around the bins of a level; those of small windows overlap."""
    edges = stage.stride * (bins_of(stage.cells, [level]) - 0.5) + np.tile(stage.offset[::-1], 2)
    return draw_rectangles(drawn, crop.place(edges / scale), _GREY)


def _with_winners(drawn: np.ndarray, crop: Crop, stage: StageContributions, channel: int, scale: float) -> np.ndarray:
    """Dots on the cells that won bins of the channel and add to the score, sized by what they add."""
    saliency = stage.saliency(channel)
    cells = np.argwhere(saliency > 0)
    radii = _DOT * TEXT * np.sqrt(saliency[tuple(cells.T)] / saliency.max(initial=np.finfo(float).tiny))
    return draw_dots(drawn, crop.place(stage.centres(cells, scale)), radii, [_WHITE] * len(cells))
