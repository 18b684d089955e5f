"""Stage: why a window has its score for a class, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from detection.detector import Detector
from detection.features.contributions import PooledWindow, StagePart, explain_window
from detection.features.responses import upsample
from detection.geometry import iou
from detection.learning import WindowFate, fate_of_window
from detection.stages.look import GREEN, shrink
from detection.types import AnnotatedImage, FeaturePyramid, Proposals, RegionScores
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

_TEXT, _SHOWN_SIDE = 15, 420
_ORANGE, _BLUE, _WHITE = (213, 94, 0), (86, 180, 233), (255, 255, 255)
_LINES = DrawingSettings(0.006)
# Radius of the dot of a bin that adds as much as the channel's best, in letter heights.
_DOT = 0.5


@dataclass(frozen=True)
class WindowStory:
    """Everything that decided about one box for one class.

    row: of the box among the image's windows; is_window: whether it is one of them, else it was added to them for this.
    scores: (L,) of the box for every class, before regression, which changes no score. pooled: how it was pooled and
    what each value adds to the score of `label`; constant: what is added beside that, the bias and, behind fc layers,
    what these add. refined: (4,) the box after regression and clipping. nearest: row of the object that it overlaps
    most, or -1, and overlap: their IoU. fate: what NMS did; rival: the box that suppressed it, or None.
    """

    image: AnnotatedImage
    box: np.ndarray
    label: int
    is_window: bool
    row: int
    scores: np.ndarray
    pooled: PooledWindow
    constant: float
    refined: np.ndarray
    nearest: int
    overlap: float
    fate: WindowFate
    rival: np.ndarray | None
    rival_score: float


def tell_window(
    detector: Detector,
    image: AnnotatedImage,
    windows: Proposals,
    pyramid: FeaturePyramid,
    box: np.ndarray,
    label: int | None = None,
) -> WindowStory:
    """Follow one box through a detector. box: (4,) px of the image. label: of the class; None: that of its best score.

    A box that is none of the image's windows joins them, behind the others. Raises ValueError for a box without area
    or not inside the image.
    """
    box = np.asarray(box, np.float32)
    inside = (box[:2] >= 0).all() and box[2] <= image.size[1] and box[3] <= image.size[0]
    if box.shape != (4,) or not (inside and box[2] > box[0] and box[3] > box[1]):
        raise ValueError(
            f"window: expected x1 < x2 and y1 < y2 inside (height, width) = {image.size}, got {box.tolist()}"
        )
    same = np.flatnonzero((windows.boxes == box).all(axis=1))
    boxes = windows.boxes if len(same) else np.concatenate([windows.boxes, box[None]])
    row = int(same[0]) if len(same) else len(boxes) - 1
    pool5 = detector.extractor.pool(pyramid, boxes)
    features = pool5 if detector.svms.layer == "pool5" else detector.extractor.head(pool5, detector.svms.layer)
    scores = detector.svms.region_scores(features)
    refined = scores if detector.regressors is None else detector.regressors.refine(scores, pool5)
    mine = scores.scores[row]
    label = int(mine.argmax()) if label is None else label
    if not np.isfinite(mine[label]):
        raise ValueError(f"class {detector.classes[label]}: expected one that was trained, got an untrained one")
    gradient = _gradient(detector, pool5.values[row], label)
    pooled = explain_window(pyramid, box, pool5.values[row], gradient, detector.extractor.settings)
    added = sum(float(stage.contributions.sum()) for stage in pooled.stages)
    fate = fate_of_window(refined, image.size, row, label, detector.postprocess_settings)
    overlaps = iou(box, image.boxes)[0] if len(image.boxes) else np.zeros(0)
    nearest = int(overlaps.argmax()) if overlaps.any() else -1
    return WindowStory(
        image, box, label, bool(len(same)), row, mine, pooled, float(mine[label]) - added,
        np.clip(refined.boxes[row, label], 0, np.array([*image.size[::-1]] * 2, np.float32)),
        nearest, float(overlaps[nearest]) if nearest >= 0 else 0.0, fate,
        *_rival(refined, fate, label),
    )  # fmt: skip


def _rival(refined: RegionScores, fate: WindowFate, label: int) -> tuple[np.ndarray | None, float]:
    if fate.by is None:
        return None, float("nan")
    return refined.boxes[fate.by, label], float(refined.scores[fate.by, label])


def _gradient(detector: Detector, vector: np.ndarray, label: int) -> np.ndarray:
    weights = detector.svms.weights[label].astype(np.float64)
    if detector.svms.layer == "pool5":
        return weights
    return detector.extractor.pooled_head.gradient(vector, detector.svms.layer, weights)


def story_lines(story: WindowStory, classes: Sequence[str], target_area: float, scales: np.ndarray) -> list[str]:
    """The story as plain sentences."""
    name, pooled, fate = classes[story.label], story.pooled, story.fate
    kind = "one of its windows" if story.is_window else "none of its windows, but added to them here"
    sides = ", ".join(
        f"{np.sqrt(one):.0f}{' (chosen)' if index == pooled.index else ''}" for index, one in enumerate(pooled.areas)
    )
    lines = [
        f"window {_numbers(story.box)} of image {story.image.image_id}: {kind}",
        f"scale: x {pooled.scale:.3g}; the window is as large as a square of so many px at the {len(scales)} scales: "
        f"{sides}; the area nearest to {np.sqrt(target_area):.0f}^2 decides",
    ]
    for stage in pooled.stages:
        x1, y1, x2, y2 = stage.cells
        lines.append(
            f"stride {stage.stride}: {y2 - y1} x {x2 - x1} cells, rows {y1} to {y2 - 1}, columns {x1} to {x2 - 1}; "
            f"adds {stage.contributions.sum():+.3f}"
        )
    best = sorted(np.flatnonzero(np.isfinite(story.scores)), key=lambda one: -story.scores[one])[:5]
    lines.append("scores: " + ", ".join(f"{classes[one]} {story.scores[one]:.3f}" for one in best))
    lines.append(f"score of {name}: {story.scores[story.label]:.3f}, of that {story.constant:+.3f} without any channel")
    lines.append(_object_line(story, classes))
    lines.append(f"box after regression: {_numbers(story.refined)}")
    words = {
        "kept": f"kept, as number {fate.rank} of {name} in this image",
        "crowded out": f"crowded out: number {fate.rank} of {name} in this image",
        "dropped": "dropped before NMS: its score is too low or its box empty",
        "suppressed": "",
    }
    if fate.outcome == "suppressed":
        words["suppressed"] = (
            f"suppressed by {_numbers(story.rival)} of score {story.rival_score:.3f}, IoU {fate.overlap:.2f}"
        )
    return [*lines, f"NMS: {words[fate.outcome]}"]


def _object_line(story: WindowStory, classes: Sequence[str]) -> str:
    if story.nearest < 0:
        return "nearest object: it overlaps none"
    box, kind = story.image.boxes[story.nearest], classes[story.image.labels[story.nearest]]
    difficult = ", difficult" if story.image.difficult[story.nearest] else ""
    return f"nearest object: {kind} {_numbers(box)}{difficult}, IoU {story.overlap:.2f}"


def _numbers(values: np.ndarray) -> str:
    return ",".join(f"{float(one):.4g}" for one in values)


def story_json(story: WindowStory, classes: Sequence[str], count: int) -> dict[str, Any]:
    """The story as plain data. count: of the channels that add most."""
    strongest = []
    for stage, channel in story.pooled.strongest(count):
        part = story.pooled.stages[stage]
        bins = [
            {"value": float(value), "adds": float(added), "cell": cell, "centre": centre}
            for value, added, cell, centre in zip(
                part.values[channel],
                part.contributions[channel],
                part.winners[channel].tolist(),
                part.centres(story.pooled.scale, channel).tolist(),
                strict=True,
            )
        ]
        strongest.append(
            {"stride": part.stride, "filter": channel, "adds": float(part.channels()[channel]), "bins": bins}
        )
    return {
        "image_id": story.image.image_id,
        "box": story.box.tolist(),
        "is_window": story.is_window,
        "class": classes[story.label],
        "scores": {name: float(s) if np.isfinite(s) else None for name, s in zip(classes, story.scores, strict=True)},
        "constant": story.constant,
        "scale": story.pooled.scale,
        "areas": story.pooled.areas.tolist(),
        "stages": [
            {"stride": one.stride, "cells": one.cells.tolist(), "adds": float(one.contributions.sum())}
            for one in story.pooled.stages
        ],
        "filters": strongest,
        "refined": story.refined.tolist(),
        "nearest_object": None if story.nearest < 0 else story.image.boxes[story.nearest].tolist(),
        "overlap": story.overlap,
        "nms": {
            "outcome": story.fate.outcome,
            "rank": story.fate.rank,
            "by": None if story.rival is None else story.rival.tolist(),
            "overlap": story.fate.overlap,
        },
    }


def draw_story(rgb: np.ndarray, story: WindowStory, classes: Sequence[str], count: int, columns: int = 3) -> np.ndarray:
    """The story as a figure, (H, W, 3) uint8.

    First the image with the window (solid), the nearest object and the box that suppressed it (dashed); then what all
    cells add, then each of the `count` channels that add most: as heat over the image, with a dot on the cell that
    won each bin, as large as what it adds.
    """
    shown, factor = shrink(rgb, _SHOWN_SIDE)
    name = classes[story.label]
    panels = [
        captioned(_window_panel(shown, story, classes, factor), [f"{name} {story.scores[story.label]:.2f}"], _TEXT)
    ]
    whole = sum(_stage_heat(part, None, shown.shape[:2], story.pooled.scale / factor) for part in story.pooled.stages)
    panels.append(_heat_panel(shown, whole, story, factor, None, f"all channels: {story.scores[story.label]:.2f}"))
    for stage, channel in story.pooled.strongest(count):
        part = story.pooled.stages[stage]
        heat = _stage_heat(part, channel, shown.shape[:2], story.pooled.scale / factor)
        title = f"filter {channel}, stride {part.stride}: {part.channels()[channel]:+.3f}"
        panels.append(_heat_panel(shown, heat, story, factor, (part, channel), title))
    rows = [beside(panels[start : start + columns], _TEXT) for start in range(0, len(panels), columns)]
    return np.pad(stacked(rows, _TEXT), ((_TEXT // 2,) * 2, (_TEXT // 2,) * 2, (0, 0)), constant_values=255)


def _stage_heat(part: StagePart, channel: int | None, size: tuple[int, int], scale: float) -> np.ndarray:
    return upsample(part.heat(channel), size, scale, part.stride, part.offset)


def _window_panel(shown: np.ndarray, story: WindowStory, classes: Sequence[str], factor: float) -> np.ndarray:
    drawn = shown
    if story.nearest >= 0:
        box, label = story.image.boxes[story.nearest], classes[story.image.labels[story.nearest]]
        drawn = draw_boxes(drawn, box[None] * np.float32(factor), [f"object: {label}"], [_BLUE], "dashed", _LINES)
    if story.rival is not None:
        rival = story.rival[None] * np.float32(factor)
        drawn = draw_boxes(drawn, rival, [f"better: {story.rival_score:.2f}"], [_ORANGE], "dashed", _LINES)
    return draw_boxes(drawn, story.box[None] * np.float32(factor), ["window"], [GREEN], "solid", _LINES)


def _heat_panel(
    shown: np.ndarray,
    heat: np.ndarray,
    story: WindowStory,
    factor: float,
    channel: tuple[StagePart, int] | None,
    title: str,
) -> np.ndarray:
    low, high = float(min(heat.min(), 0)), float(max(heat.max(), 0))
    drawn = overlay_heat(shown, heat, low, high, 0.8)
    drawn = draw_boxes(drawn, story.box[None] * np.float32(factor), [""], [GREEN], "solid", _LINES)
    if channel is not None:
        drawn = _with_winners(drawn, *channel, story.pooled.scale / factor)
    return captioned(beside([drawn, heat_scale(shown.shape[0], low, high, _TEXT)], _TEXT // 2), [title], _TEXT)


def _with_winners(drawn: np.ndarray, part: StagePart, channel: int, scale: float) -> np.ndarray:
    """Dots on the cells that won the channel's bins and add to the score; one dot a cell, sized by what it adds."""
    heat = part.heat(channel)
    cells = np.argwhere(heat > 0)
    radii = _DOT * _TEXT * np.sqrt(heat[cells[:, 0], cells[:, 1]] / heat.max()) if len(cells) else np.zeros(0)
    centres = ((part.offset + part.stride * cells) / scale)[:, ::-1]
    return draw_dots(drawn, centres, radii, [_WHITE] * len(cells))
