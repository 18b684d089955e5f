"""What the figures of this room share: images made smaller, cut out and framed."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from detection.visualization import Colour, stacked

GREEN = (0, 190, 60)
# Height of text in a figure, px.
TEXT = 15


def shrink(rgb: np.ndarray, side: int) -> tuple[np.ndarray, float]:
    """(an image with its longer side at most `side` px, its size in parts of the given one)."""
    factor = min(side / max(rgb.shape[:2]), 1.0)
    return (rgb, 1.0) if factor == 1 else (_resized(rgb, factor, Image.Resampling.LANCZOS), factor)


def _resized(rgb: np.ndarray, factor: float, method: Image.Resampling) -> np.ndarray:
    width, height = (max(1, round(one * factor)) for one in rgb.shape[1::-1])
    return np.asarray(Image.fromarray(rgb).resize((width, height), method))


@dataclass(frozen=True)
class Crop:
    """A part of an image, resized. origin (x, y) in px of the image. factor: px of the crop per px of the image."""

    rgb: np.ndarray
    origin: np.ndarray
    factor: float

    def place(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 2) or boxes (..., 4) of the image in px of the crop, float32."""
        shift = np.tile(self.origin, np.shape(points)[-1] // 2)
        return ((np.asarray(points, np.float64) - shift) * self.factor).astype(np.float32)


def crop_around(
    rgb: np.ndarray, box: np.ndarray, margin: float, side: int, method: Image.Resampling = Image.Resampling.LANCZOS
) -> Crop:
    """A box with `margin`, in parts of its longer side, around it; the longer side of the crop has `side` px."""
    x1, y1, x2, y2 = (float(one) for one in box)
    extra = margin * max(x2 - x1, y2 - y1)
    left, top = max(int(x1 - extra), 0), max(int(y1 - extra), 0)
    part = np.ascontiguousarray(rgb[top : int(np.ceil(y2 + extra)), left : int(np.ceil(x2 + extra))])
    factor = side / max(part.shape[:2])
    return Crop(_resized(part, factor, method), np.array([left, top]), factor)


def draw_rectangles(rgb: np.ndarray, boxes: np.ndarray, colour: Colour) -> np.ndarray:
    """A copy of a picture with lines of 1 px around boxes (N, 4); what lies outside it is not drawn."""
    picture = Image.fromarray(rgb)
    draw = ImageDraw.Draw(picture)
    for box in boxes.tolist():
        draw.rectangle(box, outline=colour)
    return np.asarray(picture)


def framed(pictures: list[np.ndarray], gap: int, border: int) -> np.ndarray:
    """Pictures from top to bottom, `gap` px between them, with a white border of `border` px around all of them."""
    return np.pad(stacked(pictures, gap), ((border, border), (border, border), (0, 0)), constant_values=255)
