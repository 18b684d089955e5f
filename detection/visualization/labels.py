"""Text on a picture: fonts, what fits, and where it goes."""

from functools import lru_cache
from itertools import chain

from PIL import ImageFont

# Pillow's embedded font has ASCII only. For other text the first of these that the system has is used.
_FALLBACK_FONTS = (
    "NotoSansCJK-Regular.ttc",
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "LiberationSans-Regular.ttf",
    "Arial Unicode.ttf",
    "arial.ttf",
)
_ELLIPSIS = "..."

Rectangle = tuple[int, int, int, int]


@lru_cache(maxsize=64)
def load_font(size: int, ascii_only: bool) -> ImageFont.FreeTypeFont:
    """A font `size` px high. For text beyond ASCII a system font, or the embedded one (which shows boxes)."""
    for name in () if ascii_only else _FALLBACK_FONTS:
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return ImageFont.load_default(size)


def printable(text: str) -> str:
    """`text` with everything that no font can draw as one line (line ends, lone surrogates) made a blank."""
    return "".join(character if character.isprintable() else " " for character in text)


def padding(size: int) -> int:
    """Px between the text and the rim of its label."""
    return max(1, size // 5)


def label_size(text: str, size: int) -> tuple[int, int]:
    """(height, width) in px of a label."""
    height = sum(load_font(size, text.isascii()).getmetrics())
    return height + 2 * padding(size), text_width(text, size) + 2 * padding(size)


def text_width(text: str, size: int) -> int:
    """Px that a line of text takes."""
    return int(load_font(size, text.isascii()).getlength(text) + 0.999)


def fit(text: str, size: int, min_size: int, image_size: tuple[int, int]) -> tuple[str, int] | None:
    """(text, font size in px) of a label that fits into an image of (height, width), or None.

    The text is set smaller, down to `min_size`, and then shortened.
    """
    smaller = ((text, candidate) for candidate in range(size, min_size - 1, -1))
    shorter = ((text[:length].rstrip() + _ELLIPSIS, min_size) for length in range(len(text) - 1, 0, -1))
    for one in chain(smaller, shorter):
        height, width = label_size(*one)
        if height <= image_size[0] and width <= image_size[1]:
            return one
    return None


def place(box: Rectangle, label: tuple[int, int], image_size: tuple[int, int], taken: list[Rectangle]) -> Rectangle:
    """Where a label of (height, width) goes: inside the image, and off the labels `taken` if there is room.

    Tried in turn, first at the box's left edge and then at its right: above it, inside at the top, inside at
    the bottom, below. Where all are taken, the one that hides least of other labels.
    """
    x1, y1, x2, y2 = box
    height, width = label
    lowest, first, last = image_size[0] - height, *(min(max(x, 0), image_size[1] - width) for x in (x1, x2 - width))
    tops = [top for top in (y1 - height, y1, y2 - height, y2) if 0 <= top <= lowest]
    corners = [*((left, top) for left in (first, last) for top in tops), (first, min(max(y1, 0), lowest))]
    candidates = [(left, top, left + width, top + height) for left, top in corners]
    return min(candidates, key=lambda one: sum(_shared_area(one, other) for other in taken))


def _shared_area(first: Rectangle, second: Rectangle) -> int:
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    return max(width, 0) * max(height, 0)
