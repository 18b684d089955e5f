"""Boxes with labels on a copy of an image, which is enlarged where it is too small for them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw

from detection.geometry import clip
from detection.talking import percent
from detection.types import Detections
from detection.visualization.colours import Colour, class_colour, text_colour
from detection.visualization.labels import Rectangle, fit, label_size, load_font, padding, place, printable

Style = Literal["solid", "dashed", "crossed"]


@dataclass(frozen=True)
class DrawingSettings:
    """Sizes, in parts of the side of a square with the image's area, so that they suit every image.

    Args:
        line: width of a solid line, in parts of that side (2 px on a 500x375 photo); a dashed one is half
            as wide.
        text: height of the letters, in parts of that side (14 px on a 500x375 photo).
        min_text: px under which letters are not readable; a text that does not fit at this size is shortened.
    """

    line: float = 0.005
    text: float = 0.032
    min_text: int = 10

    def __post_init__(self) -> None:
        for key in ("line", "text", "min_text"):
            if not getattr(self, key) > 0:
                raise ValueError(f"drawing {key}: expected a number > 0, got {getattr(self, key)!r}")


_DEFAULT = DrawingSettings()
# px of the longer side from which labels leave room for the picture.
_LEAST_SIDE = 128


def draw_boxes(
    rgb: np.ndarray,
    boxes: np.ndarray,
    texts: Sequence[str],
    colours: Sequence[Colour],
    style: Style | Sequence[Style] = "solid",
    settings: DrawingSettings = _DEFAULT,
) -> np.ndarray:
    """A copy of an image with boxes and labels on it; the first box lies on top.

    rgb: (H, W, 3) uint8. boxes: (N, 4) float32, image frame, clipped here; a box that is then empty is not drawn.
    texts: N labels, "" for none; each is kept inside the image, and left out where not even a shortened one fits.
    colours: N RGB triples. style: "solid", "dashed" and thinner, e.g. for ground truth, or "crossed": solid with thin
    diagonals, e.g. for what is false; of all boxes, or one each.
    Returns (H, W, 3) uint8. Raises ValueError where shapes or lengths do not fit.
    """
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or 0 in rgb.shape:
        raise ValueError(f"image: expected uint8 of shape (H, W, 3), got {rgb.dtype} of shape {rgb.shape}")
    styles = [style] * len(boxes) if isinstance(style, str) else style
    if boxes.ndim != 2 or boxes.shape[1] != 4 or not len(boxes) == len(texts) == len(colours) == len(styles):
        raise ValueError(
            f"draw_boxes: expected (N, 4) boxes with N texts, colours and styles, "
            f"got boxes of shape {boxes.shape}, {len(texts)} texts, {len(colours)} colours, {len(styles)} styles"
        )
    size = rgb.shape[0], rgb.shape[1]
    side = math.sqrt(size[0] * size[1])
    clipped = clip(boxes, size)
    drawn = np.flatnonzero((clipped[:, 2:] > clipped[:, :2]).all(axis=1)).tolist()
    outlines = np.concatenate([clipped[:, :2], np.ceil(clipped[:, 2:])], axis=1).astype(int).tolist()

    result = rgb.copy()
    for i in reversed(drawn):
        width = max(1, round(settings.line * side / (2 if styles[i] == "dashed" else 1)))
        if styles[i] == "crossed":
            result = _cross(result, outlines[i], colours[i], max(1, width // 2))
        _frame(result, outlines[i], colours[i], width, 4 * width if styles[i] == "dashed" else 0)
    labels: list[tuple[str, int, Rectangle, Colour]] = []
    for i in drawn:
        fitting = fit(printable(texts[i]), max(settings.min_text, round(settings.text * side)), settings.min_text, size)
        if texts[i] and fitting:
            spot = place(outlines[i], label_size(*fitting), size, [label[2] for label in labels])
            labels.append((*fitting, spot, colours[i]))
    return _write(result, labels) if labels else result


def draw_detections(
    rgb: np.ndarray,
    detections: Detections,
    classes: Sequence[str],
    min_score: float = -math.inf,
    settings: DrawingSettings = _DEFAULT,
    rough: np.ndarray | None = None,
) -> np.ndarray:
    """A copy of an image with its detections of at least `min_score` on it, the highest-scoring on top.

    rgb: (H, W, 3) uint8. classes: names in the order of the labels, shown with the probability in percent, or with the
    score where the detections have none. Each class has the colour of its place in the list (`class_colour`). rough:
    (L,) bool, classes whose probabilities are not calibrated: ~ stands before them. Returns (H, W, 3) uint8. Raises
    ValueError for a label outside the class list.
    """
    if len(detections.labels) and not 0 <= detections.labels.min() <= detections.labels.max() < len(classes):
        raise ValueError(
            f"labels of image {detections.image_id!r}: expected 0 to {len(classes) - 1}, "
            f"got {int(detections.labels.min())} to {int(detections.labels.max())}"
        )
    shown = detections.chosen(detections.scores >= min_score)
    if shown.probabilities is None:
        values = [f"{score:.2f}" for score in shown.scores]
    else:
        signs = np.where(np.zeros(len(classes), bool) if rough is None else rough, "~", "")[shown.labels]
        values = [f"{sign}{percent(chance)}" for sign, chance in zip(signs, shown.probabilities, strict=True)]
    texts = [f"{classes[label]} {value}" for label, value in zip(shown.labels, values, strict=True)]
    return draw_boxes(rgb, shown.boxes, texts, [class_colour(int(i)) for i in shown.labels], "solid", settings)


def enlarge(rgb: np.ndarray, found: Detections) -> tuple[np.ndarray, Detections]:
    """An image and its detections, a whole number of times larger where the image is too small for labels.

    rgb: (H, W, 3) uint8, each pixel of which is repeated until the longer side has 128 px. Larger images, and their
    detections, come back as they are.
    """
    factor = -(-_LEAST_SIDE // max(rgb.shape[:2]))
    if factor == 1:
        return rgb, found
    boxes = (found.boxes * factor).astype(np.float32)
    return rgb.repeat(factor, axis=0).repeat(factor, axis=1), replace(found, boxes=boxes)


def _frame(rgb: np.ndarray, box: Rectangle, colour: Colour, width: int, dash: int) -> None:
    """Draw into `rgb`: the line inside the box, and around it a rim that shows on a ground of any colour."""
    x1, y1, x2, y2 = box
    rim = max(1, width // 2)
    # A line may be wider than the box.
    right, left, lower, upper = min(x1 + width, x2), max(x2 - width, x1), min(y1 + width, y2), max(y2 - width, y1)
    pieces = [(a, top, b, bottom) for a, b in _dashes(x1, x2, dash) for top, bottom in ((y1, lower), (upper, y2))]
    pieces += [(start, a, end, b) for a, b in _dashes(y1, y2, dash) for start, end in ((x1, right), (left, x2))]
    for a, b, c, d in pieces:
        rgb[max(b - rim, 0) : d + rim, max(a - rim, 0) : c + rim] = text_colour(colour)
    for a, b, c, d in pieces:
        rgb[b:d, a:c] = colour


def _cross(rgb: np.ndarray, box: Rectangle, colour: Colour, width: int) -> np.ndarray:
    """A copy with both diagonals of a box, and a rim around them."""
    image, (x1, y1, x2, y2) = Image.fromarray(rgb), box
    draw = ImageDraw.Draw(image)
    for ink, thickness in ((text_colour(colour), width + 2), (colour, width)):
        for ends in ((x1, y1, x2 - 1, y2 - 1), (x1, y2 - 1, x2 - 1, y1)):
            draw.line(ends, fill=ink, width=thickness)
    return np.array(image)


def _dashes(start: int, stop: int, dash: int) -> list[tuple[int, int]]:
    """The drawn parts of a side; all of it where dash is 0."""
    return [(at, min(at + dash, stop)) for at in range(start, stop, 2 * dash)] if dash else [(start, stop)]


def _write(rgb: np.ndarray, labels: Sequence[tuple[str, int, Rectangle, Colour]]) -> np.ndarray:
    image = Image.fromarray(rgb)
    draw = ImageDraw.Draw(image)
    for text, size, (x1, y1, x2, y2), colour in reversed(labels):
        draw.rectangle((x1, y1, x2 - 1, y2 - 1), fill=colour)
        draw.text((x1 + padding(size), y1 + padding(size)), text, text_colour(colour), load_font(size, text.isascii()))
    return np.array(image)
