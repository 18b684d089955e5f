"""Curves of a report: the same points as inline SVG, CSV and a picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from detection.visualization import Axis, Line, line_chart

# The SVG's user units: its size, and the plot's edges within.
WIDTH, HEIGHT = 320, 230
LEFT, TOP, RIGHT, BOTTOM = 46, 10, 308, 190
FRAME = {"width": WIDTH, "height": HEIGHT, "left": LEFT, "top": TOP, "right": RIGHT, "bottom": BOTTOM}
# px of the same chart as a picture.
_PICTURE_SIZE = (330, 440)


@dataclass(frozen=True)
class Plot:
    """Lines over two axes. alt: what a reader who cannot see it should know, in a sentence.

    name: of its file. filled: whether the ground under lines is tinted. A line's points that are NaN break it.
    """

    name: str
    title: str
    x: Axis
    y: Axis
    lines: tuple[Line, ...]
    alt: str
    filled: bool = False
    link: str = ""

    def strokes(self, index: int) -> list[str]:
        """The pieces of a line as SVG path data."""
        return ["M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in piece) for piece in self._pieces(index)]

    def ground(self, index: int) -> str:
        """SVG path data of the area under a line."""
        return " ".join(
            f"{path} L{piece[-1][0]:.1f} {BOTTOM} L{piece[0][0]:.1f} {BOTTOM} Z"
            for path, piece in zip(self.strokes(index), self._pieces(index), strict=True)
        )

    def _pieces(self, index: int) -> list[list[tuple[float, float]]]:
        pieces: list[list[tuple[float, float]]] = [[]]
        for x, y in zip(self.lines[index].x, self.lines[index].y, strict=True):
            if y != y:
                pieces.append([])
            else:
                pieces[-1].append((self.left(x), self.top(y)))
        # A point alone is drawn as one: a line of no length with round ends.
        return [piece * 2 if len(piece) == 1 else piece for piece in pieces if piece]

    def left(self, x: float) -> float:
        """Where a value lies from left to right, in SVG units, kept inside the plot."""
        return LEFT + min(max(self.x.share(x), 0.0), 1.0) * (RIGHT - LEFT)

    def top(self, y: float) -> float:
        """Where a value lies from top to bottom."""
        return BOTTOM - min(max(self.y.share(y), 0.0), 1.0) * (BOTTOM - TOP)

    def picture(self) -> np.ndarray:
        """The plot as (H, W, 3) uint8 RGB."""
        return line_chart(self.title, self.x, self.y, self.lines, _PICTURE_SIZE, 0.0 if len(self.lines) > 1 else None)


def ticks(low: float, high: float, most: int = 6) -> tuple[float, ...]:
    """At most `most` round values (1, 2 or 5 times a power of ten apart) from `low` to `high`, low < high."""
    exponent = np.floor(np.log10((high - low) / most))
    for step in (factor * 10.0**power for power in (exponent, exponent + 1) for factor in (1, 2, 5)):
        first, last = int(np.ceil(low / step - 1e-9)), int(np.floor(high / step + 1e-9))
        if last - first + 1 <= most:
            return tuple(round(i * step, 10) for i in range(first, last + 1))
    return (low, high)


def stairs(edges: Sequence[float], heights: Sequence[float]) -> tuple[list[float], list[float]]:
    """The outline of a histogram as x and y of a line."""
    x: list[float] = [edges[0]]
    y: list[float] = [0.0]
    for (left, right), height in zip(pairwise(edges), heights, strict=True):
        x += [left, right]
        y += [height, height]
    return [*x, edges[-1]], [*y, 0.0]
