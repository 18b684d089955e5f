"""Results of any detector: COCO results json, the devkit's text files, or YOLO text files, found by looking.

Unlike the readers of a run's own detections these take what other programs write: other names and numbers of classes
and images, and boxes without area, which official tools count as false positives.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

import numpy as np

from detection.data.detections import comp4_columns, group_rows, parsed_lines, read_coco_columns, row_name
from detection.data.problems import Problems
from detection.types import AnnotatedImage, Detections

ResultFormat = Literal["coco", "devkit", "yolo"]
# comp4_det_test_cat.txt, and py-faster-rcnn's comp4_SALT_det_test_cat.txt (lib/datasets/pascal_voc.py).
_DEVKIT_NAME = re.compile(r"comp\d(?:_.+?)?_det_(?P<rest>.+)\.txt")
_YOLO_FIELDS = 6
# Text files beside YOLO's results that are none.
_OTHER_TEXTS = ("classes.txt", "labels.txt", "requirements.txt", "readme.txt")


@dataclass(frozen=True)
class ResultFiles:
    """The results at a path. files: class and split as the name tells (devkit), image id (YOLO), or "" -> file."""

    path: Path
    format: ResultFormat
    files: Mapping[str, Path]

    def classes(self, split: str | None) -> tuple[str, ...] | None:
        """The classes that the devkit's names tell, sorted; None for the other formats."""
        return tuple(sorted(self.of_split(split))) if self.format == "devkit" else None

    def of_split(self, split: str | None) -> dict[str, Path]:
        """Class -> file of the devkit's results for a split; of whatever split they are where none is of that one."""
        prefix = f"{split}_"
        named = {rest.removeprefix(prefix): path for rest, path in self.files.items() if rest.startswith(prefix)}
        return named or {rest.split("_", 1)[-1]: path for rest, path in self.files.items()}


def find_results(path: Path | str, split: str | None = None) -> ResultFiles:
    """The results in a file or folder: ``.json`` is COCO results, ``comp4_det_SPLIT_CLASS.txt`` the devkit's, any other
    ``.txt`` one image's YOLO results. A run folder stands for its detections.

    split: of several COCO results in a folder, ``SPLIT.json`` is meant. Raises ValueError where there is nothing of the
    kind, or several and none of that name.
    """
    path = Path(path)
    if not path.exists():
        raise ValueError(f"{path}: expected detections, found nothing there")
    folder = path / "detections" if path.is_dir() and (path / "detections").is_dir() else path
    texts = sorted(folder.rglob("*.txt")) if folder.is_dir() else [path] if path.suffix.lower() == ".txt" else []
    # Odd characters of a name are percent-encoded by `comp4_path`.
    devkit = {unquote(found["rest"]): one for one in texts if (found := _DEVKIT_NAME.fullmatch(one.name))}
    jsons = sorted(folder.glob("*.json")) if folder.is_dir() else [path] if path.suffix.lower() == ".json" else []
    if len(jsons) > 1 and split is not None:
        jsons = [one for one in jsons if one.stem == split] or jsons
    if len(jsons) == 1:
        return ResultFiles(path, "coco", {"": jsons[0]})
    if len(jsons) > 1:
        raise ValueError(f"{path}: expected one json of COCO results, got {', '.join(one.name for one in jsons)}")
    if devkit:
        return ResultFiles(path, "devkit", devkit)
    base = folder if folder.is_dir() else folder.parent
    yolo = {
        one.relative_to(base).with_suffix("").as_posix(): one for one in texts if one.name.lower() not in _OTHER_TEXTS
    }
    if not yolo:
        raise ValueError(
            f"{path}: expected COCO results (.json), comp4_det_SPLIT_CLASS.txt, or YOLO text files, found none"
        )
    return ResultFiles(path, "yolo", yolo)


def read_results(
    found: ResultFiles,
    images: Sequence[AnnotatedImage],
    classes: Sequence[str],
    numbers: Mapping[int, str] | None,
    split: str | None,
    problems: Problems,
    source_ids: Mapping[str, str] | None = None,
) -> list[Detections]:
    """The detections, one record an image that has some, labels being places in `classes`.

    images: to place YOLO's shares in px, and to know their ids. numbers: class numbers of the files -> names; the
    devkit's files need none. split: of the devkit's files. source_ids: image id -> the number by which results may
    call it (COCO). An image that is not among `images` keeps its id; its YOLO boxes stay in shares.

    A box without area becomes one of the least area: it can be nothing but a false positive, as in official tools.
    Detections of a name that is not in `classes` are left out. Both are counted in `problems`. Raises ValueError naming
    file and line for what cannot be read, and where class numbers have no name.
    """
    reader = {"coco": _read_coco, "devkit": _read_devkit, "yolo": _read_yolo}[found.format]
    rows = reader(found, images, numbers, split, source_ids or {})
    boxes = _with_area(rows, problems)
    places = {name: place for place, name in enumerate(classes)}
    labels = np.array([places.get(name, -1) for name in rows.names], dtype=np.int64)
    for name in sorted({rows.names[row] for row in np.flatnonzero(labels < 0)}):
        count = rows.names.count(name)
        problems.skip(f"detections of the unknown class {name!r}", found.path, f"{count} detections")
    kept = np.flatnonzero(labels >= 0)
    ids = [rows.ids[row] for row in kept]
    return group_rows(
        ids, boxes[kept], rows.scores[kept], labels[kept], None, len(classes), lambda row: rows.where(int(kept[row]))
    )


@dataclass(frozen=True)
class _Rows:
    """Detections as files have them. boxes: (N, 4) float64 half-open corners. where: names a row in a message."""

    ids: list[str]
    names: list[str]
    boxes: np.ndarray
    scores: np.ndarray
    where: Callable[[int], str]


def _with_area(rows: _Rows, problems: Problems) -> np.ndarray:
    """(N, 4) float32 corners, those of boxes without width or height one step of float32 apart."""
    with np.errstate(over="ignore"):
        boxes = rows.boxes.astype(np.float32)
    for low, high in ((0, 2), (1, 3)):
        empty = (rows.boxes[:, low] <= rows.boxes[:, high]) & (boxes[:, low] == boxes[:, high])
        for row in np.flatnonzero(empty):
            kind = "detection without area, a false positive"
            problems.repair(kind, rows.where(int(row)), f"{rows.boxes[row].tolist()}")
        boxes[empty, high] = np.nextafter(boxes[empty, low], np.float32(np.inf))
    return boxes


def _read_coco(found: ResultFiles, images, numbers, split, source_ids) -> _Rows:
    path = found.files[""]
    ids, categories, boxes, scores = read_coco_columns(path)
    where = row_name(path)
    known = {one.image_id for one in images}
    own = {number: image_id for image_id, number in source_ids.items()}
    if any(image_id not in known for image_id in ids):
        ids = [own.get(image_id, image_id) for image_id in ids]
    return _Rows(ids, _names(categories.tolist(), numbers, where), boxes, scores, where)


def _names(values: list[int], numbers: Mapping[int, str] | None, where: Callable[[int], str]) -> list[str]:
    if numbers is None and values:
        raise ValueError(
            f"{where(0)}: the class is number {values[0]}, and nothing says what that is; --classes FILE names the "
            "classes in the order of their numbers, one a line"
        )
    for row, value in enumerate(values):
        if value not in numbers:
            raise ValueError(f"{where(row)}: expected a class number of {_span(numbers)}, got {value}")
    return [numbers[value] for value in values]


def _span(numbers: Mapping[int, str]) -> str:
    return f"{min(numbers)} to {max(numbers)}" if numbers else "no class"


def _read_devkit(found: ResultFiles, images, numbers, split, source_ids) -> _Rows:
    names, ids, boxes, scores, where = comp4_columns(found.of_split(split).items())
    return _Rows(ids, names, boxes, scores, where)


def _read_yolo(found: ResultFiles, images, numbers, split, source_ids) -> _Rows:
    sizes = {one.image_id: one.size for one in images}
    counts = Counter(one.path.stem for one in images)
    by_stem = {one.path.stem: one.image_id for one in images if counts[one.path.stem] == 1}
    ids = (name if name in sizes else by_stem.get(Path(name).name, name) for name in found.files)
    ids, rows, where = parsed_lines(zip(ids, found.files.values(), strict=True), _yolo_line)
    columns = np.array([values for _, values in rows], dtype=np.float64).reshape(-1, _YOLO_FIELDS - 1)
    width_height = np.array([sizes.get(one, (1, 1))[::-1] for one in ids], dtype=np.float64).reshape(-1, 2)
    centres, halves = columns[:, :2] * width_height, columns[:, 2:4] * width_height / 2
    boxes = np.concatenate([centres - halves, centres + halves], axis=1)
    return _Rows(ids, _names([number for number, _ in rows], numbers, where), boxes, columns[:, 4], where)


def _yolo_line(line: str, place: str) -> tuple[int, list[float]]:
    fields = line.split()
    try:
        number, values = int(fields[0]), [float(field) for field in fields[1:]]
    except ValueError:
        number, values = -1, []
    if number < 0 or len(fields) != _YOLO_FIELDS or not all(map(math.isfinite, values)):
        hint = "; the confidence is missing (Ultralytics: save_conf=True)" if len(fields) == _YOLO_FIELDS - 1 else ""
        raise ValueError(f"{place}: expected 'class x y width height confidence', got {line.strip()!r:.80}{hint}")
    return number, values
