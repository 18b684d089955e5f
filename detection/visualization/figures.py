"""Figures of several pictures: a picture beside another with arrows between them, captions, stacks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from detection.visualization.colours import BLACK, WHITE, Colour
from detection.visualization.labels import fit, load_font

# Lines and arrow heads, in letter heights; arrows are drawn larger and scaled down, for smooth lines.
_LINE, _HEAD, _DOT = 0.14, 0.7, 0.28
_OVERSAMPLING = 3


def beside(pictures: Sequence[np.ndarray], gap: int, background: Colour = WHITE) -> np.ndarray:
    """Pictures (H, W, 3) uint8 from left to right, their tops in line, `gap` px between them."""
    return _joined(pictures, gap, background, axis=1)


def stacked(pictures: Sequence[np.ndarray], gap: int, background: Colour = WHITE) -> np.ndarray:
    """Pictures (H, W, 3) uint8 from top to bottom, their left edges in line, `gap` px between them."""
    return _joined(pictures, gap, background, axis=0)


def _joined(pictures: Sequence[np.ndarray], gap: int, background: Colour, axis: int) -> np.ndarray:
    if not pictures:
        raise ValueError("figure: expected at least one picture, got none")
    other = 1 - axis
    across = max(one.shape[other] for one in pictures)
    along = sum(one.shape[axis] for one in pictures) + gap * (len(pictures) - 1)
    shape = (along, across, 3) if axis == 0 else (across, along, 3)
    canvas = np.empty(shape, np.uint8)
    canvas[:] = background
    start = 0
    for one in pictures:
        height, width = one.shape[:2]
        top, left = (start, 0) if axis == 0 else (0, start)
        canvas[top : top + height, left : left + width] = one
        start += one.shape[axis] + gap
    return canvas


def captioned(picture: np.ndarray, lines: Sequence[str], text: int) -> np.ndarray:
    """A picture (H, W, 3) uint8 with lines of text of `text` px above it, shortened where they do not fit."""
    step = round(1.35 * text)
    head = np.full((step * len(lines) + text // 3, picture.shape[1], 3), WHITE, np.uint8)
    image = Image.fromarray(head)
    draw = ImageDraw.Draw(image)
    for number, line in enumerate(lines):
        fitting = fit(line, text, text, (10 * text, picture.shape[1]))
        if fitting is not None:
            draw.text((0, number * step), fitting[0], fill=BLACK, font=load_font(text, line.isascii()))
    return stacked([np.asarray(image), picture], 0)


def draw_arrows(
    picture: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    colours: Sequence[Colour],
    text: int,
) -> np.ndarray:
    """A copy of a picture (H, W, 3) uint8 with an arrow from each start to each end, (N, 2) x, y in px.

    A dot marks the start. text: height in px of the letters that go with it; lines suit them.
    """
    height, width = picture.shape[:2]
    large = Image.new("L", (width * _OVERSAMPLING, height * _OVERSAMPLING))
    result = picture.astype(np.float64)
    for start, end, colour in zip(np.asarray(starts), np.asarray(ends), colours, strict=True):
        # A light rim around the colour shows on any ground.
        for shade, extra in ((WHITE, 0.16), (colour, 0.0)):
            large.paste(0, (0, 0, *large.size))
            _arrow(ImageDraw.Draw(large), start * _OVERSAMPLING, end * _OVERSAMPLING, text * _OVERSAMPLING, extra)
            cover = np.asarray(large.resize((width, height), Image.Resampling.BOX), np.float64)[:, :, None] / 255
            result += cover * (np.array(shade) - result)
    return np.rint(result).astype(np.uint8)


def draw_dots(
    picture: np.ndarray, centres: np.ndarray, radii: Sequence[float], colours: Sequence[Colour]
) -> np.ndarray:
    """A copy of a picture (H, W, 3) uint8 with discs at `centres` (N, 2) x, y in px, each with a dark rim."""
    size = (picture.shape[1] * _OVERSAMPLING, picture.shape[0] * _OVERSAMPLING)
    large = Image.fromarray(picture).resize(size, Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(large)
    for (x, y), radius, colour in zip(np.asarray(centres) * _OVERSAMPLING, radii, colours, strict=True):
        reach = max(radius, 1.0) * _OVERSAMPLING
        draw.ellipse((x - reach, y - reach, x + reach, y + reach), colour, BLACK, _OVERSAMPLING)
    return np.asarray(large.resize(picture.shape[1::-1], Image.Resampling.BOX))


def _arrow(draw: ImageDraw.ImageDraw, start: np.ndarray, end: np.ndarray, text: float, extra: float) -> None:
    """extra: how much wider everything is, in letter heights."""
    length = math.dist(start, end)
    along = (np.asarray(end) - start) / length if length else np.array([1.0, 0.0])
    across = np.array([-along[1], along[0]])
    head = min(_HEAD * text, length)
    neck, wide = end - head * along, (_HEAD / 2 + extra) * text
    rim = extra * text
    draw.line([*start, *neck], fill=255, width=max(1, round((_LINE + 2 * extra) * text)))
    draw.polygon([*(end + rim * along), *(neck + wide * across), *(neck - wide * across)], fill=255)
    radius = (_DOT + extra) * text
    draw.ellipse([*(start - radius), *(start + radius)], fill=255)
