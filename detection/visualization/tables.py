"""A table as a picture, for slides and papers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from detection.visualization.colours import BLACK, WHITE, Colour
from detection.visualization.labels import load_font, printable

_RULE: Colour = (190, 190, 190)
# In parts of the letters' height: a row's height, and the space on either side of a cell.
_ROW, _SPACE = 1.7, 0.6
# Letters of a cell; longer text is cut.
_MOST_LETTERS = 60


def table_picture(
    header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool], text: int = 16
) -> np.ndarray:
    """A table as (H, W, 3) uint8 RGB, as large as it needs to be.

    header: a title a column, at least one. rows: texts, one a column. right: whether a column is set to the right.
    text: height of the letters in px. Raises ValueError where lengths do not fit.
    """
    if not header or any(len(row) != len(header) for row in [right, *rows]):
        raise ValueError(f"table_picture: expected rows of {len(header)} >= 1 cells, got {sorted(set(map(len, rows)))}")
    lines = [[_shortened(cell) for cell in row] for row in [header, *rows]]
    space, step = round(_SPACE * text), round(_ROW * text)
    widths = [max(_length(line[i], text) for line in lines) + 2 * space for i in range(len(header))]
    picture = Image.new("RGB", (sum(widths) + 1, step * len(lines) + space), WHITE)
    draw = ImageDraw.Draw(picture)
    for place, line in enumerate(lines):
        left, middle = 0, place * step + step // 2
        for cell, width, is_right in zip(line, widths, right, strict=True):
            at = (left + width - space, middle) if is_right else (left + space, middle)
            draw.text(at, cell, fill=BLACK, font=load_font(text, cell.isascii()), anchor="rm" if is_right else "lm")
            left += width
        draw.line([0, (place + 1) * step, left, (place + 1) * step], fill=_RULE if place else BLACK)
    return np.array(picture)


def _shortened(text: str) -> str:
    text = printable(text)
    return text if len(text) <= _MOST_LETTERS else text[: _MOST_LETTERS - 3] + "..."


def _length(text: str, size: int) -> int:
    return int(load_font(size, text.isascii()).getlength(text) + 0.999)
