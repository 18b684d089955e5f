"""Figures of several pictures, and what is drawn on them: sheets, stacks, captions, tables, arrows, dots."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from detection.visualization.colours import BLACK, WHITE, Colour
from detection.visualization.labels import fit, load_font, printable, text_width

# Lines and arrow heads, in letter heights; arrows are drawn larger and scaled down, for smooth lines.
_LINE, _HEAD, _DOT = 0.14, 0.7, 0.28
_OVERSAMPLING = 3
# Of a table: the colour of its rules, a row's height and the space on either side of a cell, in letter heights, and
# the letters of a cell: longer text is cut.
_RULE: Colour = (190, 190, 190)
_ROW, _SPACE = 1.7, 0.6
_MOST_LETTERS = 60


def beside(pictures: Sequence[np.ndarray], gap: int, background: Colour = WHITE) -> np.ndarray:
    """Pictures (H, W, 3) uint8 from left to right, their tops in line, `gap` px between them."""
    return stacked([one.swapaxes(0, 1) for one in pictures], gap, background).swapaxes(0, 1).copy()


def stacked(pictures: Sequence[np.ndarray], gap: int, background: Colour = WHITE) -> np.ndarray:
    """Pictures (H, W, 3) uint8 from top to bottom, their left edges in line, `gap` px between them."""
    if not pictures:
        raise ValueError("figure: expected at least one picture, got none")
    height = sum(len(one) for one in pictures) + gap * (len(pictures) - 1)
    canvas, top = np.full((height, max(one.shape[1] for one in pictures), 3), background, np.uint8), 0
    for one in pictures:
        canvas[top : top + len(one), : one.shape[1]] = one
        top += len(one) + gap
    return canvas


def contact_sheet(
    images: Sequence[np.ndarray],
    columns: int,
    cell_size: tuple[int, int] | None = None,
    gap: int = 8,
    background: Colour = WHITE,
) -> np.ndarray:
    """Images side by side, row by row, each in the middle of a cell.

    images: (H, W, 3) uint8 of any sizes, at least one; those larger than the cell are made smaller, none larger.
    columns: cells a row, > 0. cell_size: (height, width) in px, the largest height and width where not given. gap: px
    between cells and around them. Returns (H, W, 3) uint8. Raises ValueError for no image or columns < 1.
    """
    if not images or columns < 1:
        raise ValueError(f"contact_sheet: expected images and columns >= 1, got {len(images)} and {columns}")
    height, width = cell_size or (max(one.shape[0] for one in images), max(one.shape[1] for one in images))
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    sheet = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, 3), background, np.uint8)
    for i, image in enumerate(images):
        small = Image.fromarray(image)
        small.thumbnail((width, height), Image.Resampling.LANCZOS, reducing_gap=None)
        top = gap + i // columns * (height + gap) + (height - small.height) // 2
        left = gap + i % columns * (width + gap) + (width - small.width) // 2
        sheet[top : top + small.height, left : left + small.width] = small
    return sheet


def captioned(picture: np.ndarray, lines: Sequence[str], text: int) -> np.ndarray:
    """A picture (H, W, 3) uint8 with lines of text of `text` px above it, shortened where they do not fit."""
    step = round(1.35 * text)
    image = Image.new("RGB", (picture.shape[1], step * len(lines) + text // 3), WHITE)
    draw = ImageDraw.Draw(image)
    for number, line in enumerate(lines):
        fitting = fit(line, text, text, (10 * text, picture.shape[1]))
        if fitting is not None:
            draw.text((0, number * step), fitting[0], fill=BLACK, font=load_font(text, line.isascii()))
    return stacked([np.asarray(image), picture], 0)


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
    widths = [max(text_width(cell, text) for cell in column) + 2 * space for column in zip(*lines, strict=True)]
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


def draw_arrows(
    picture: np.ndarray, starts: np.ndarray, ends: np.ndarray, colours: Sequence[Colour], text: int
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
    neck, wide = end - min(_HEAD * text, length) * along, (_HEAD / 2 + extra) * text
    draw.line([*start, *neck], fill=255, width=max(1, round((_LINE + 2 * extra) * text)))
    draw.polygon([*(end + extra * text * along), *(neck + wide * across), *(neck - wide * across)], fill=255)
    radius = (_DOT + extra) * text
    draw.ellipse([*(start - radius), *(start + radius)], fill=255)
