"""What all pictures of a report are: a part of a photo with boxes drawn on it, as a small JPEG."""

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
from PIL import Image

from detection.data import DataError, read_image
from detection.evaluation.errors import Box
from detection.types import AnnotatedImage
from detection.visualization import Colour, DrawingSettings, draw_boxes
from detection.visualization.drawing import Style

# A picture is enlarged so many times at most.
_ENLARGEMENT = 4.0
_JPEG_QUALITY = 78
# Bytes of HTML that a byte of words can take: twice in the page, and & is &amp;.
_ESCAPED = 10


@dataclass(frozen=True)
class Picture:
    """A picture of the page: its JPEG bytes, their size in px, and what it shows in words."""

    data: bytes
    height: int
    width: int
    alt: str

    @property
    def source(self) -> str:
        """The picture as a data URI."""
        return f"data:image/jpeg;base64,{base64.b64encode(self.data).decode()}"

    @property
    def html_bytes(self) -> int:
        """Most bytes of HTML that it takes: base64, and the words in the caption and for those who cannot see it."""
        return len(self.data) * 4 // 3 + _ESCAPED * len(self.alt.encode("utf-8", "replace")) + 400


P = TypeVar("P", bound=Picture)


class Layer(NamedTuple):
    """A box in the photo's frame, and how it is drawn."""

    box: Box
    text: str
    colour: Colour
    style: Style


def readable(image: AnnotatedImage) -> np.ndarray | None:
    """A photo as (H, W, 3) uint8; None where it cannot be read any more, and is left out."""
    try:
        return read_image(image.path, image.size)
    except DataError:
        return None


def drawn(
    rgb: np.ndarray, part: tuple[int, int, int, int], layers: Sequence[Layer], side: int, settings: DrawingSettings
) -> tuple[bytes, int, int]:
    """A part of a photo with boxes, the first on top: JPEG bytes, height and width in px, the longer one `side`.

    rgb: (H, W, 3) uint8. part: x1, y1, x2, y2 in whole px. The boxes are drawn at the picture's size, so that lines and
    labels are as thick whatever the photo's.
    """
    x1, y1, x2, y2 = part
    piece = Image.fromarray(np.ascontiguousarray(rgb[y1:y2, x1:x2]))
    scale = min(side / max(piece.size), _ENLARGEMENT)
    width, height = (max(1, round(length * scale)) for length in piece.size)
    piece = piece.resize((width, height), Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC)
    factors = np.array([width / (x2 - x1), height / (y2 - y1)] * 2)
    boxes = np.array([one.box for one in layers], dtype=np.float64).reshape(-1, 4)
    moved = ((boxes - [x1, y1, x1, y1]) * factors).astype(np.float32)
    texts, colours, styles = ([getattr(one, name) for one in layers] for name in ("text", "colour", "style"))
    data = io.BytesIO()
    final = draw_boxes(np.array(piece), moved, texts, colours, styles, settings)
    Image.fromarray(final).save(data, "JPEG", quality=_JPEG_QUALITY, optimize=True)
    return data.getvalue(), height, width


def fitting(pictures: Iterable[P], budget: int) -> list[P]:
    """The first pictures that take `budget` bytes of HTML at most; no more are made."""
    kept, used = [], 0
    for one in pictures:
        used += one.html_bytes
        if used > budget:
            break
        kept.append(one)
    return kept
