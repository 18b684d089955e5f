"""Detections in files of other people's formats: COCO results, the devkit's comp4."""

import json
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from detection.data.detection_columns import DetectionColumns
from detection.data.json_items import MAX_ITEMS_BYTES, read_entries
from detection.storage import file_stem, write_pieces
from detection.storage.bounded import decode_text, read_limited
from detection.types import Detections

_COCO_KEYS = ("image_id", "category_id", "bbox", "score")
# id, score and four corners of one comp4 line
_COMP4_FIELDS = 6
# Lines of the devkit's files that are in memory together.
_LINES_AT_A_TIME = 10_000
# From half-open corners to 1-based inclusive ones.
TO_INCLUSIVE = np.array([1.0, 1.0, 0.0, 0.0])


def write_coco_results(
    path: Path | str, detections: Iterable[Detections], calibrated: np.ndarray | None = None
) -> None:
    """Write detections as COCO results: a JSON list with one row a detection, atomically.

    A row has image_id (the split's string), category_id (the class's place in the class list from 1), bbox [x, y,
    width, height] in px of the image frame, and score. The numbers are float64 with all digits, width and height the
    float64 differences of float32 corners: what is read back is bit-equal for boxes with 0 <= x1 < x2 and 0 <= y1 < y2
    (both roundings are below 2^-52 of x2, far less than half a float32 step). Records with probabilities have the
    further key "probability". calibrated: (L,) bool; rows of a class that is not have the further key "calibrated":
    false. Raises ValueError for a number that is not finite.
    """
    write_pieces(path, _coco_pieces(detections, calibrated))


def _coco_pieces(detections: Iterable[Detections], calibrated: np.ndarray | None) -> Iterator[str]:
    before = "["
    for one in detections:
        if rows := _coco_rows(one, calibrated):
            yield before + ",\n".join(rows)
            before = ",\n"
    yield "[]\n" if before == "[" else "]\n"


def _coco_rows(detections: Detections, calibrated: np.ndarray | None) -> list[str]:
    _check_finite(detections)
    head = f'{{"image_id": {json.dumps(detections.image_id, ensure_ascii=False)}, "category_id": '
    boxes = detections.boxes.astype(np.float64)
    boxes[:, 2:] -= boxes[:, :2]
    tails = [""] * len(boxes)
    if detections.probabilities is not None:
        tails = [f', "probability": {one}' for one in detections.probabilities.tolist()]
    if calibrated is not None:
        tails = [
            tail + ("" if calibrated[label] else ', "calibrated": false')
            for tail, label in zip(tails, detections.labels, strict=True)
        ]
    rows = zip((detections.labels + 1).tolist(), boxes.tolist(), detections.scores.tolist(), tails, strict=True)
    return [f'{head}{category}, "bbox": {box}, "score": {score}{tail}}}' for category, box, score, tail in rows]


def _check_finite(detections: Detections) -> None:
    if not (np.isfinite(detections.boxes).all() and np.isfinite(detections.scores).all()):
        raise ValueError(f"detections of image {detections.image_id!r}: expected finite boxes and scores")


def read_coco_results(
    path: Path | str, image_ids: Sequence[str] | None = None, class_count: int | None = None
) -> list[Detections]:
    """Read COCO results: one record for every id of `image_ids`, in that order, empty where the file has no row.

    Without `image_ids`, one for every id in the file in the order they appear. Within an image, scores fall and
    equal ones keep the file's order. An id that is a number counts as its digits.
    Raises ValueError naming file and row for what is not a COCO result, an id not in `image_ids`, a category
    outside 1..class_count, and a box that is empty or not finite.
    """
    ids, categories, boxes, scores = read_coco_columns(path)
    ids = list(map(str, ids))
    return group_rows(ids, boxes, scores, categories - 1, image_ids, class_count, row_name(path))


def read_coco_columns(path: Path | str) -> tuple[list[str | int], np.ndarray, np.ndarray, np.ndarray]:
    """Columns of COCO results: image ids as they stand, category ids (N,), boxes x1, y1, x2, y2 and scores float64.

    Raises ValueError naming file and row for what is not a COCO result.
    """
    ids: list[str | int] = []
    # A row's strings and numbers take ten times the memory of these.
    names, numbers, categories = {}, array("d"), array("q")
    is_list, rows = read_entries(Path(path), finite=False)
    if not is_list:
        raise ValueError(f"{path}: expected a JSON list of COCO results, got no list")
    for _, _, _, row in rows:
        if problem := _coco_row_problem(row):
            raise ValueError(f"{row_name(path)(len(ids))}: expected a COCO result, got {problem}")
        ids.append(names.setdefault(row["image_id"], row["image_id"]))
        categories.append(row["category_id"])
        numbers.extend((*row["bbox"], row["score"]))
    columns = np.frombuffer(numbers, np.float64).reshape(-1, 5)
    boxes = columns[:, :4].copy()
    boxes[:, 2:] += boxes[:, :2]
    return ids, np.array(categories, dtype=np.int64), boxes, columns[:, 4].copy()


def row_name(path: Path | str) -> Callable[[int], str]:
    """What names a row of a file in a message."""
    return lambda index: f"{path}: row {index + 1}"


def _coco_row_problem(row: Any) -> str | None:
    if not isinstance(row, dict):
        return type(row).__name__
    if missing := [key for key in _COCO_KEYS if key not in row]:
        return f"no {', '.join(missing)}"
    image_id, category, box, score = (row[key] for key in _COCO_KEYS)
    if type(image_id) not in (str, int):
        return f"image_id {image_id!r}"
    if type(category) is not int or abs(category) >= 2**31:
        return f"category_id {category!r}"
    if type(box) is not list or len(box) != 4 or not all(type(value) in (int, float) for value in box):
        return f"bbox {box!r}"
    return None if type(score) in (int, float) else f"score {score!r}"


def group_rows(
    ids: Sequence[str],
    boxes: np.ndarray,
    scores: np.ndarray,
    labels: np.ndarray,
    image_ids: Sequence[str] | None,
    class_count: int | None,
    where: Callable[[int], str],
) -> list[Detections]:
    """Rows of a file as one record an image. where: names a row of the file in an error.

    image_ids, class_count: as in `read_coco_results`.
    """
    places = {image_id: place for place, image_id in enumerate(dict.fromkeys(ids) if image_ids is None else image_ids)}
    with np.errstate(over="ignore"):
        boxes, scores = boxes.astype(np.float32), scores.astype(np.float32)
    unknown = next((row for row, image_id in enumerate(ids) if image_id not in places), None)
    if unknown is not None:
        raise ValueError(f"{where(unknown)}: expected an image of the split, got {ids[unknown]!r}")
    _check_rows(boxes, scores, labels, class_count, where)
    image_of = np.array([places[image_id] for image_id in ids], dtype=np.int64)
    order = np.lexsort((-scores, image_of))
    limits = np.searchsorted(image_of[order], np.arange(len(places) + 1))
    groups = (order[start:end] for start, end in pairwise(limits))
    return [Detections(one, boxes[rows], scores[rows], labels[rows]) for one, rows in zip(places, groups, strict=True)]


def _check_rows(
    boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray, class_count: int | None, where: Callable[[int], str]
) -> None:
    finite = np.isfinite(boxes).all(axis=1) & np.isfinite(scores)
    sound = finite & (boxes[:, 0] < boxes[:, 2]) & (boxes[:, 1] < boxes[:, 3])
    if not sound.all():
        row = int(np.flatnonzero(~sound)[0])
        raise ValueError(
            f"{where(row)}: expected a finite score and box of positive area, "
            f"got score {scores[row]} and corners {boxes[row].tolist()}"
        )
    known = (labels >= 0) & (labels < (np.inf if class_count is None else class_count))
    if not known.all():
        row = int(np.flatnonzero(~known)[0])
        most = "" if class_count is None else f" and at most {class_count}"
        raise ValueError(f"{where(row)}: expected a class number of at least 1{most}, got {int(labels[row]) + 1}")


def comp4_path(folder: Path | str, split: str, class_name: str) -> Path:
    """Where the devkit's results of one class lie (VOCcode/VOCinit.m); odd characters are percent-encoded."""
    return Path(folder) / f"comp4_det_{file_stem(split)}_{file_stem(class_name)}.txt"


def write_comp4(folder: Path | str, split: str, detections: Sequence[Detections], classes: Sequence[str]) -> None:
    """Write the devkit's result files, one a class: lines ``id score xmin ymin xmax ymax``, each file atomically.

    Corners are 1-based and inclusive as the devkit has them (x1 + 1, y1 + 1, x2, y2), unrounded. What is read
    back is bit-equal for coordinates that are 0 or at least 2^-29. A class without detections gets an empty file.
    Raises ValueError for a number that is not finite and a label that is not in `classes`.
    """
    for one in detections:
        _check_finite(one)
        if len(one.labels) and not 0 <= one.labels.min() <= one.labels.max() < len(classes):
            raise ValueError(
                f"detections of image {one.image_id!r}: expected labels below {len(classes)}, "
                f"got {one.labels.min()} to {one.labels.max()}"
            )
    found = DetectionColumns.of(detections)
    by_class = np.argsort(found.labels, kind="stable")
    bounds = np.searchsorted(found.labels[by_class], np.arange(len(classes) + 1))
    for name, (start, end) in zip(classes, pairwise(bounds), strict=True):
        write_pieces(comp4_path(folder, split, name), _comp4_pieces(found, by_class[start:end]))


def _comp4_pieces(found: DetectionColumns, rows: np.ndarray) -> Iterator[str]:
    images = found.images()
    for some in np.split(rows, range(_LINES_AT_A_TIME, len(rows), _LINES_AT_A_TIME)):
        ids = [found.image_ids[image] for image in images[some]]
        boxes = found.boxes[some].astype(np.float64) + TO_INCLUSIVE
        columns = zip(ids, found.scores[some].tolist(), boxes.tolist(), strict=True)
        yield "".join(f"{image_id} {score} {x1} {y1} {x2} {y2}\n" for image_id, score, (x1, y1, x2, y2) in columns)


def read_comp4(
    folder: Path | str, split: str, classes: Sequence[str], image_ids: Sequence[str] | None = None
) -> list[Detections]:
    """Read the devkit's result files of all classes; ids may hold blanks. Records and order as `read_coco_results`.

    Raises FileNotFoundError for a class without a file, ValueError naming file and line for a bad line.
    """
    files = ((label, comp4_path(folder, split, name)) for label, name in enumerate(classes))
    labels, ids, boxes, scores, where = comp4_columns(files)
    return group_rows(ids, boxes, scores, np.array(labels, dtype=np.int64), image_ids, len(classes), where)


def comp4_columns(
    files: Iterable[tuple[Any, Path]],
) -> tuple[list[Any], list[str], np.ndarray, np.ndarray, Callable[[int], str]]:
    """Columns of the devkit's results in (key, path) files: keys, image ids, half-open boxes (N, 4) and scores float64.

    Last what names a row in a message. Raises FileNotFoundError, and ValueError naming file and line.
    """
    keys, rows, where = parsed_lines(files, _comp4_line)
    values = np.array([numbers for _, numbers in rows], dtype=np.float64).reshape(-1, _COMP4_FIELDS - 1)
    return keys, [image_id for image_id, _ in rows], values[:, 1:] - TO_INCLUSIVE, values[:, 0], where


def parsed_lines(
    files: Iterable[tuple[Any, Path]], parse: Callable[[str, str], Any]
) -> tuple[list[Any], list[Any], Callable[[int], str]]:
    """What parse(line, place) makes of every line of (key, path) files that is not blank.

    Returns the keys, what was made, and what names a row in a message: "path: line number", the place.
    """
    keys, rows, places = [], [], []
    for key, path in files:
        text = decode_text(read_limited(path, MAX_ITEMS_BYTES), path)
        for number, line in enumerate(text.split("\n"), start=1):
            if line.strip():
                places.append((path, number))
                keys.append(key)
                rows.append(parse(line, f"{path}: line {number}"))
    return keys, rows, lambda row: "{}: line {}".format(*places[row])


def _comp4_line(line: str, place: str) -> tuple[str, list[float]]:
    """(image id, [score, xmin, ymin, xmax, ymax]) of one line of the devkit's results."""
    fields = line.strip().rsplit(maxsplit=_COMP4_FIELDS - 1)
    try:
        image_id, *numbers = fields
        values = [float(number) for number in numbers]
    except ValueError:
        values = []
    if len(values) != _COMP4_FIELDS - 1:
        raise ValueError(f"{place}: expected 'id score xmin ymin xmax ymax', got {line.strip()!r:.80}")
    return image_id, values
