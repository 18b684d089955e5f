"""Line charts, drawn with Pillow: a chart is no reason for another dependency."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw

from detection.visualization.colours import BLACK, WHITE, Colour, class_colour
from detection.visualization.labels import load_font

_GREY: Colour = (215, 215, 215)
# Drawn so many times larger and scaled down: smooth lines.
_OVERSAMPLING = 3
# Shares of the chart's height: text, and the margins left, top, right and bottom of the plot.
_TEXT = 0.042
_MARGINS = (0.2, 0.12, 0.1, 0.17)
_LINE = 0.008
# Dash lengths by series, in units of the line width, so that lines are told apart without colour; () is solid.
_DASHES: tuple[tuple[int, ...], ...] = ((), (4, 2), (1, 2), (6, 2, 1, 2))


@dataclass(frozen=True)
class Line:
    """One line of a chart: a name for the legend and its points; a point that is NaN is left out."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True)
class Axis:
    """One axis: title, ends, the values that get a tick, and whether it is logarithmic."""

    title: str
    low: float
    high: float
    ticks: Sequence[float]
    logarithmic: bool = False

    def share(self, value: float) -> float:
        """Where a value lies, from 0 at `low` to 1 at `high`."""
        low, high, at = (math.log(one) if self.logarithmic else one for one in (self.low, self.high, value))
        return (at - low) / (high - low)


def line_chart(
    title: str, x: Axis, y: Axis, lines: Sequence[Line], size: tuple[int, int] = (420, 560), legend: float | None = 0.0
) -> np.ndarray:
    """A chart as (height, width, 3) uint8 RGB of `size` px. Lines have colours and dashes of their own, in order.

    legend: where the legend begins at the bottom, as a share of the width; None for no legend.
    Points beyond the axes, and those that are no numbers, are left out.
    """
    height, width = size[0] * _OVERSAMPLING, size[1] * _OVERSAMPLING
    canvas = Image.new("RGB", (width, height), WHITE)
    chart = _Chart(ImageDraw.Draw(canvas), height, width, x, y)
    chart.frame(title)
    for index, line in enumerate(lines):
        points = zip(line.x, line.y, strict=True)
        inside = [chart.point(*one) for one in points if x.low <= one[0] <= x.high and y.low <= one[1] <= y.high]
        chart.stroke(inside, index)
    if legend is not None:
        chart.legend([line.name for line in lines], legend)
    return np.asarray(canvas.reduce(_OVERSAMPLING))


class _Chart:
    def __init__(self, draw: ImageDraw.ImageDraw, height: int, width: int, x: Axis, y: Axis) -> None:
        self.draw, self.x, self.y = draw, x, y
        left, top, right, bottom = (round(share * height) for share in _MARGINS)
        self.left, self.top, self.right, self.bottom = left, top, width - right, height - bottom
        self.text_size = round(_TEXT * height)
        self.thickness = max(1, round(_LINE * height))

    def point(self, x: float, y: float) -> tuple[float, float]:
        return (
            self.left + self.x.share(x) * (self.right - self.left),
            self.bottom - self.y.share(y) * (self.bottom - self.top),
        )

    def text(self, at: tuple[float, float], text: str, anchor: str) -> None:
        self.draw.text(at, text, fill=BLACK, font=load_font(self.text_size, text.isascii()), anchor=anchor)

    def frame(self, title: str) -> None:
        gap, hair = self.text_size // 2, max(1, self.thickness // 3)
        for tick in self.x.ticks:
            at, _ = self.point(tick, self.y.low)
            self.draw.line([at, self.top, at, self.bottom], fill=_GREY, width=hair)
            self.text((at, self.bottom + gap), f"{tick:g}", "mt")
        for tick in self.y.ticks:
            _, at = self.point(self.x.low, tick)
            self.draw.line([self.left, at, self.right, at], fill=_GREY, width=hair)
            self.text((self.left - gap, at), f"{tick:g}", "rm")
        self.draw.rectangle([self.left, self.top, self.right, self.bottom], outline=BLACK, width=hair)
        middle = (self.left + self.right) / 2
        self.text((middle, self.top - gap), title, "mb")
        self.text((middle, self.bottom + 2.4 * self.text_size), self.x.title, "mt")
        self.text((gap, self.top - gap), self.y.title, "lb")

    def stroke(self, points: Sequence[tuple[float, float]], index: int) -> None:
        dashes = [dash * self.thickness for dash in _DASHES[index % len(_DASHES)]]
        for piece in _dashed(points, dashes) if dashes else [points]:
            if len(piece) > 1:
                self.draw.line(list(piece), fill=class_colour(index), width=self.thickness, joint="curve")

    def legend(self, names: Sequence[str], share: float) -> None:
        step = round(1.5 * self.text_size)
        first = self.bottom - step * (len(names) - 0.2)
        start = self.left + self.text_size + share * (self.right - self.left)
        for index, name in enumerate(names):
            at = first + index * step
            self.stroke([(start, at), (start + 3 * self.text_size, at)], index)
            self.text((start + 3.5 * self.text_size, at), name, "lm")


def _dashed(points: Sequence[tuple[float, float]], dashes: Sequence[int]) -> list[list[tuple[float, float]]]:
    """The drawn pieces of a line through `points`; `dashes`: lengths drawn and left out in turn."""
    pieces: list[list[tuple[float, float]]] = [list(points[:1])]
    place, left = 0, float(dashes[0])
    for start, end in pairwise(points):
        length = math.dist(start, end)
        done = 0.0
        while length - done > left:
            done += left
            share = done / length
            at = (start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1]))
            if place % 2:
                pieces.append([])
            pieces[-1].append(at)
            place, left = place + 1, float(dashes[(place + 1) % len(dashes)])
        left -= length - done
        if place % 2 == 0:
            pieces[-1].append(end)
    return pieces
