"""Lines of YOLO's results: a class, four numbers of a box in shares of the image, and a confidence, in any usual order.

`LAYOUTS` lists the orders. Nothing in a file names the one that it has; its numbers tell, with the objects.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from detection.data.problems import DataError
from detection.geometry import iou
from detection.types import AnnotatedImage

FIELDS = 6
# A box that has a number above this is in px; where this part of the boxes are, the file is.
LARGEST_SHARE = 2.0
WRONG_SHARE = 0.5
# Shares by which a box may reach out of its image, as unclipped ones do.
_OUTSIDE = 0.02
# Boxes in their image, as a part of all: a layout that has so much less of them than another is not meant.
_FEWER = 0.25
# Lines that are looked at, spread over all, and what makes a box one of an object.
_PROBED = 2000
_HIT = 0.5


@dataclass(frozen=True)
class Layout:
    """An order of the columns behind the class. box: their four numbers, each in a unit of its own, -> corners (N, 4).

    score: the column of the confidence.
    """

    name: str
    score: int
    box: Callable[[np.ndarray], np.ndarray]

    def boxes(self, columns: np.ndarray, width_height: np.ndarray) -> np.ndarray:
        """Half-open corners (N, 4) float64 in px of columns (N, 5), of images of (N, 2) px."""
        return self.box(np.delete(columns, self.score, axis=1) * np.tile(width_height, 2))


def _of_centres(numbers: np.ndarray) -> np.ndarray:
    centres, halves = numbers[:, :2], numbers[:, 2:] / 2
    return np.concatenate([centres - halves, centres + halves], axis=1)


def _of_left_top(numbers: np.ndarray) -> np.ndarray:
    return np.concatenate([numbers[:, :2], numbers[:, :2] + numbers[:, 2:]], axis=1)


_KINDS = (
    ("x y width height", _of_centres),
    ("left top right bottom", np.copy),
    ("left top width height", _of_left_top),
)
# The usual order first.
LAYOUTS = tuple(
    Layout(f"class {name} confidence" if score else f"class confidence {name}", score, box)
    for score in (4, 0)
    for name, box in _KINDS
)


def parse_line(line: str, place: str) -> tuple[int, list[float]]:
    """(class, five numbers) of a line. place: names it. Raises ValueError."""
    fields = line.split()
    try:
        number, values = int(fields[0]), [float(field) for field in fields[1:]]
    except ValueError:
        number, values = -1, []
    if number < 0 or len(fields) != FIELDS or not all(map(math.isfinite, values)):
        hint = ""
        if len(fields) == FIELDS - 1:
            hint = "; the confidence is missing (Ultralytics: save_conf=True)"
        elif number < 0 and len(fields) == FIELDS:
            hint = "; the class is its number, from 0"
        raise ValueError(f"{place}: expected '{LAYOUTS[0].name}', got {line.strip()!r:.80}{hint}")
    return number, values


def refuse_px(columns: np.ndarray, where: Callable[[int], str]) -> None:
    """Raise ValueError where most boxes have a number that is no share of an image; columns (N, 5)."""
    wrong = np.abs(columns[:, :4]).max(axis=1, initial=0) > LARGEST_SHARE
    if wrong.sum() <= WRONG_SHARE * len(columns):
        return
    row = int(np.flatnonzero(wrong)[0])
    is_padilla = ((columns[wrong, 0] >= 0) & (columns[wrong, 0] <= 1) & (columns[wrong, 4] > 1)).all()
    order = "class confidence left top right bottom" if is_padilla else "class x y width height confidence"
    raise ValueError(
        f"{where(row)}: expected shares of the image, got {columns[row].tolist()} behind the class, as {wrong.sum()} "
        f"of {len(columns)} lines have: these are px, and seem to be {order!r}. Give boxes in px as COCO results, or "
        "'class x y width height confidence' in shares: x, width by the image's width, y, height by its height"
    )


def find_layout(columns: np.ndarray, ids: Sequence[str], images: Mapping[str, AnnotatedImage], path: object) -> Layout:
    """The layout of lines with the numbers (N, 5) behind their class, of the images of these ids.

    Those are possible under which most boxes lie in their image. Of several the usual one is taken, unless under
    another more than twice as many boxes are of an object; where the usual one is not possible, the one with most such
    boxes. path: names the files. Raises DataError where two of these have equally many.
    """
    rows = np.unique(np.linspace(0, len(columns) - 1, min(len(columns), _PROBED)).astype(np.int64))
    columns, ids = columns[rows], [ids[row] for row in rows]
    inside = [_inside(one, columns) for one in LAYOUTS]
    possible = [one for one, part in zip(LAYOUTS, inside, strict=True) if part > max(inside) - _FEWER]
    if len(possible) == 1 or not len(columns):
        return possible[0]
    hits = {one: _hits(one, columns, ids, images) for one in possible}
    best = max(possible, key=hits.__getitem__)  # of equal ones the first
    if LAYOUTS[0] in possible:
        return best if hits[best] > 2 * hits[LAYOUTS[0]] else LAYOUTS[0]
    if hits[best] > sorted(hits.values())[-2]:
        return best
    names = " or ".join(f"'{one.name}'" for one in possible)
    message = f"expected '{LAYOUTS[0].name}' in shares of the image; the lines may be {names}, and the objects do not "
    raise DataError("unknown order of columns", path, f"{message}tell which: write the columns in the expected order")


def _inside(layout: Layout, columns: np.ndarray) -> float:
    """The part of the boxes that lie in their image, under a layout."""
    boxes = layout.boxes(columns, np.ones((len(columns), 2)))
    inside = ((boxes >= -_OUTSIDE) & (boxes <= 1 + _OUTSIDE)).all(axis=1) & (boxes[:, :2] < boxes[:, 2:]).all(axis=1)
    scores = columns[:, layout.score]
    inside &= (layout.score == 4) | ((scores >= 0) & (scores <= 1))
    return inside.sum() / max(len(columns), 1)


def _hits(layout: Layout, columns: np.ndarray, ids: Sequence[str], images: Mapping[str, AnnotatedImage]) -> int:
    """How many boxes are of an object, whatever its class, under a layout."""
    rows: dict[str, list[int]] = {}
    for row, one in enumerate(ids):
        if one in images and len(images[one].boxes):
            rows.setdefault(one, []).append(row)
    hits = 0
    for one, of_image in rows.items():
        height, width = images[one].size
        boxes = layout.boxes(columns[of_image], np.tile([float(width), float(height)], (len(of_image), 1)))
        whole = boxes[(boxes[:, :2] < boxes[:, 2:]).all(axis=1)]
        hits += int((iou(whole.astype(np.float32), images[one].boxes) >= _HIT).any(axis=1).sum())
    return hits
