"""Boxes by image id in JSON and CSV: a user's own, and what such files of other programs have in common."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from detection.data.files import read_text
from detection.data.json_items import MAX_ITEMS_BYTES, read_entries
from detection.storage import error_text

CSV_HEADER = ("image_id", "x1", "y1", "x2", "y2")


def read_csv(path: Path | str) -> Iterator[tuple[str, str, list[float]]]:
    """(what names the line in a message, image id, numbers) of the lines of a CSV file; blank ones are passed over.

    A first line whose second field is no number is a header. A line with the id alone, or with its other fields empty,
    has no numbers. Raises ValueError naming file and line for anything else.
    """
    text = read_text(Path(path), "file", MAX_ITEMS_BYTES)
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        for place, fields in enumerate(reader):
            where = f"{path}: line {reader.line_num}"
            image_id, *texts = fields or [""]
            try:
                numbers = [float(text) for text in texts if any(map(str.strip, texts))]
            except ValueError as error:
                if place > 0:
                    shown = f"{','.join(fields)!r:.80}"
                    raise ValueError(f"{where}: expected {','.join(CSV_HEADER)}, got {shown}") from error
                continue
            if numbers or image_id.strip():
                yield where, image_id, numbers
    except csv.Error as error:
        raise ValueError(f"{path}: line {reader.line_num}: expected CSV, got {error_text(error)}") from error


def read_boxes(path: Path | str) -> dict[str, np.ndarray]:
    """A user's own boxes: image id -> (R, 4) float32, half-open, image frame (px of the original image).

    ``.json``: {image_id: [[x1, y1, x2, y2], ...]}. Anything else is CSV with rows image_id,x1,y1,x2,y2 and,
    if wanted, that line as header. Ids and boxes keep the file's order; an id may have no box (JSON).
    Raises ValueError naming file and key or line for anything else, and for a box that is empty or not finite.
    """
    path = Path(path)
    boxes: dict[str, list[list[float]]] = {}
    if path.suffix.lower() == ".json":
        is_list, pairs = read_entries(path, finite=False)
        if is_list:
            raise ValueError(f"{path}: expected {{image_id: [[x1, y1, x2, y2], ...]}}, got list")
        for image_id, _, _, rows in pairs:
            if not isinstance(rows, list):
                raise ValueError(f"{path}: image {image_id!r}: expected a list of boxes, got {type(rows).__name__}")
            for index, row in enumerate(rows, start=1):
                _check_box(row, f"{path}: image {image_id!r}, box {index}")
            boxes[image_id] = rows
    else:
        for where, image_id, numbers in read_csv(path):
            _check_box(numbers, where)
            boxes.setdefault(image_id.strip(), []).append(numbers)
    return {image_id: np.array(rows, np.float32).reshape(-1, 4) for image_id, rows in boxes.items()}


def _check_box(box: Any, where: str) -> None:
    sound = isinstance(box, list) and len(box) == 4 and all(type(value) in (int, float) for value in box)
    if sound:
        with np.errstate(over="ignore"):
            x1, y1, x2, y2 = np.array(box, dtype=np.float64).astype(np.float32)
        sound = bool(np.isfinite([x1, y1, x2, y2]).all() and x1 < x2 and y1 < y2)
    if not sound:
        raise ValueError(f"{where}: expected finite x1, y1, x2, y2 with x1 < x2 and y1 < y2, got {box!r}")
