"""Curves of a report: the same points as inline SVG, CSV and a picture."""

from dataclasses import dataclass

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

    name: of its file. A line's points that are NaN break it.
    """

    name: str
    title: str
    x: Axis
    y: Axis
    lines: tuple[Line, ...]
    alt: str
    link: str = ""

    def strokes(self, index: int) -> list[str]:
        """The pieces of a line as SVG path data."""
        return ["M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in piece) for piece in self._pieces(index)]

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
