"""Values as colours: heat next to or over an image, with its scale."""

import cv2
import numpy as np
from PIL import Image, ImageDraw

from detection.visualization.colours import BLACK, WHITE
from detection.visualization.labels import label_size, load_font

# Width of a scale's bar, and of the gap to its numbers, in letter heights.
_BAR, _GAP = 0.9, 0.35
_TABLE = cv2.applyColorMap(np.arange(256, dtype=np.uint8), cv2.COLORMAP_VIRIDIS).reshape(256, 3)[:, ::-1]


def heat_colours(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Values (...) as RGB (..., 3) uint8 by the map viridis, dark for `low` and less, light for `high` and more.

    Where `low` is not below `high` every value has the darkest colour. Raises ValueError for values that are not
    finite.
    """
    if not np.isfinite(values).all():
        raise ValueError("heat_colours: expected finite values, got others")
    if not low < high:
        return np.broadcast_to(_TABLE[0], (*np.shape(values), 3)).copy()
    shares = np.clip((np.asarray(values, np.float64) - low) / (high - low), 0, 1)
    return _TABLE[np.rint(255 * shares).astype(np.uint8)]


def overlay_heat(rgb: np.ndarray, values: np.ndarray, limit: float, opacity: float = 0.85) -> np.ndarray:
    """Heat over a grey copy of an image: rgb (H, W, 3) uint8, values (H, W) -> (H, W, 3) uint8.

    limit: the colours of `heat_colours` run from -limit to limit; where a value is 0 the image shows, where it is as
    large as `limit` the heat has `opacity`.
    """
    if values.shape != rgb.shape[:2]:
        raise ValueError(f"overlay_heat: expected values of shape {rgb.shape[:2]}, got {values.shape}")
    grey = np.asarray(Image.fromarray(rgb).convert("L").convert("RGB"), np.float64)
    share = np.clip(np.abs(values) / limit, 0, 1) if limit > 0 else np.zeros(values.shape)
    # The root lets small values show too.
    weight = (opacity * np.sqrt(share))[:, :, None]
    return np.rint(grey * (1 - weight) + heat_colours(values, -limit, limit) * weight).astype(np.uint8)


def heat_scale(height: int, low: float, high: float, text: int) -> np.ndarray:
    """The scale of `heat_colours`: a bar `height` px high with its ends and middle as numbers, (height, W, 3) uint8.

    text: height of the letters in px.
    """
    marks = [f"{value:.3g}" for value in (high, (low + high) / 2, low)]
    bar = max(round(_BAR * text), 1)
    width = bar + round(_GAP * text) + max(label_size(mark, text)[1] for mark in marks)
    canvas = np.full((height, width, 3), WHITE, np.uint8)
    canvas[:, :bar] = heat_colours(np.linspace(high, low, height), low, high)[:, None]
    image = Image.fromarray(canvas)
    draw, font, left = ImageDraw.Draw(image), load_font(text, True), bar + round(_GAP * text)
    for mark, place, anchor in zip(marks, (0, height / 2, height - 1), ("la", "lm", "ld"), strict=True):
        draw.text((left, place), mark, fill=BLACK, font=font, anchor=anchor)
    return np.asarray(image)
