"""Results of any detector: COCO results json, text files of the devkit, of Detectron2 or of YOLO, found by looking.

Unlike the readers of a run's own detections these take what other programs write: other names and numbers of classes
and images, and boxes without area, which official tools count as false positives.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

import numpy as np

from detection.data import yolo_results
from detection.data.detections import comp4_columns, group_rows, parsed_lines, read_coco_columns, row_name
from detection.data.files import head_text
from detection.data.matching_ids import images_by_ids
from detection.data.problems import Problems
from detection.data.yolo_results import LARGEST_SHARE, WRONG_SHARE
from detection.types import AnnotatedImage, Detections

ResultFormat = Literal["coco", "devkit", "classes", "yolo"]
# comp4_det_test_cat.txt, and py-faster-rcnn's comp4_SALT_det_test_cat.txt (lib/datasets/pascal_voc.py).
_DEVKIT_NAME = re.compile(r"comp\d(?:_.+?)?_det_(?P<rest>.+)\.txt")
# Above this part of boxes with a negative side the numbers are no corner, width and height.
_MOST_NEGATIVE = 0.1
# Text files beside YOLO's results that are none.
_OTHER_TEXTS = ("classes.txt", "labels.txt", "requirements.txt", "readme.txt")


@dataclass(frozen=True)
class ResultFiles:
    """The results at a path.

    files: split and class as the name tells (devkit), class (Detectron2's, format "classes"), image id (YOLO), or ""
    -> file.
    """

    path: Path
    format: ResultFormat
    files: Mapping[str, Path]

    def classes(self, split: str | None) -> tuple[str, ...] | None:
        """The classes that the files' names tell, sorted; None for the other formats."""
        return tuple(sorted(self.of_split(split))) if self.format in ("devkit", "classes") else None

    def of_split(self, split: str | None) -> dict[str, Path]:
        """Class -> file of the results for a split; of whatever split they are where none is of that one."""
        if self.format == "classes":
            return dict(self.files)
        prefix = f"{split}_"
        named = {rest.removeprefix(prefix): path for rest, path in self.files.items() if rest.startswith(prefix)}
        return named or {rest.split("_", 1)[-1]: path for rest, path in self.files.items()}


def find_results(path: Path | str, split: str | None = None, image_ids: Collection[str] = ()) -> ResultFiles:
    """The results in a file or folder: ``.json`` is COCO results, ``comp4_det_SPLIT_CLASS.txt`` the devkit's, any other
    ``.txt`` one image's YOLO results, or, where its lines begin with ids of images, one class's. A run folder stands
    for its detections.

    image_ids: of the annotations, by which files of classes are told from files of images. split: of several COCO
    results in a folder, ``SPLIT.json`` is meant. Raises ValueError where there is nothing of the kind, or several and
    none of that name.
    """
    path = Path(path)
    if not path.exists():
        raise ValueError(f"{path}: expected detections, found nothing there")
    folder = path / "detections" if path.is_dir() and (path / "detections").is_dir() else path
    files = sorted(folder.rglob("*")) if folder.is_dir() else [path]
    texts = [one for one in files if one.suffix.lower() == ".txt" and one.is_file()]
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
    return ResultFiles(path, "classes" if _are_of_classes(yolo, image_ids) else "yolo", yolo)


def _are_of_classes(files: Mapping[str, Path], image_ids: Collection[str]) -> bool:
    """Whether text files begin their lines with ids of images, and are not called after images, as Detectron2's are."""
    known = set(image_ids)
    names = [Path(name).name for name in files]
    named = len(images_by_ids(names, known, {}))
    begun = [line.rsplit(maxsplit=yolo_results.FIELDS - 1) for one in files.values() if (line := _first_line(one))]
    ids = [fields[0].strip() for fields in begun if len(fields) == yolo_results.FIELDS]
    meant = images_by_ids(ids, known, {})
    return sum(one in meant for one in ids) > max(named, len(begun) // 2)


def _first_line(path: Path) -> str:
    """The first line that is not blank, "" where there is none among the first letters."""
    return next((line for line in head_text(path).split("\n") if line.strip()), "")


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

    A box without area, or of negative sides, becomes one of the least area: it can be nothing but a false positive, as
    in official tools. Detections of a name that is not in `classes` are left out. Both are counted in `problems`.
    Raises ValueError naming file and line for what cannot be read, where class numbers have no name, and where boxes
    are in px and should be in shares, or the other way round, or have many negative sides.
    """
    readers = {"coco": _read_coco, "devkit": _read_devkit, "classes": _read_devkit, "yolo": _read_yolo}
    rows = readers[found.format](found, images, numbers, split, problems)
    rows = replace(rows, ids=_image_ids(rows.ids, images, source_ids or {}))
    if found.format != "yolo":
        _refuse_shares(found.path, rows, images)
    boxes = _with_area(found.path, rows, problems)
    places = {name: place for place, name in enumerate(classes)}
    labels = np.array([places.get(name, -1) for name in rows.names], dtype=np.int64)
    for name, count in sorted(Counter(rows.names[row] for row in np.flatnonzero(labels < 0)).items()):
        problems.skip(f"detections of the unknown class {name!r}", found.path, f"{count} detections")
    kept = np.flatnonzero(labels >= 0)
    ids = [rows.ids[row] for row in kept]
    return group_rows(
        ids, boxes[kept], rows.scores[kept], labels[kept], None, len(classes), lambda row: rows.where(int(kept[row]))
    )


@dataclass(frozen=True)
class _Rows:
    """Detections as files have them. boxes: (N, 4) float64 half-open corners. where: names a row in a message."""

    ids: list[str] | list[str | int]
    names: list[str]
    boxes: np.ndarray
    scores: np.ndarray
    where: Callable[[int], str]


def _image_ids(ids: Sequence[str | int], images: Sequence[AnnotatedImage], source_ids: Mapping[str, str]) -> list[str]:
    """The images that the ids of results mean; one that means none stays, told apart from every name."""
    known = {one.image_id for one in images}
    meant = images_by_ids(ids, known, {number: image_id for image_id, number in source_ids.items()})
    rest = {one: f"number {one}" if str(one) in known else str(one) for one in set(ids) - set(meant)}
    names = {**meant, **rest}
    return [names[one] for one in ids]


def _refuse_shares(path: Path, rows: _Rows, images: Sequence[AnnotatedImage]) -> None:
    """Raise ValueError where most boxes end within LARGEST_SHARE px of the corner of images that are larger."""
    large = {one.image_id for one in images if min(one.size) > 4 * LARGEST_SHARE}
    inside = np.array([one in large for one in rows.ids], dtype=bool)
    tiny = inside & (np.abs(rows.boxes).max(axis=1, initial=0) <= LARGEST_SHARE)
    if inside.any() and tiny.sum() > WRONG_SHARE * inside.sum():
        row = int(np.flatnonzero(tiny)[0])
        raise ValueError(
            f"{path}: {tiny.sum()} of {inside.sum()} boxes end within {LARGEST_SHARE:g} px of the image's corner, the "
            f"first at {rows.where(row)}: {rows.boxes[row].tolist()}. They seem to be shares of the image, and px are "
            "expected here: multiply by its width and height"
        )


def _with_area(path: Path, rows: _Rows, problems: Problems) -> np.ndarray:
    """(N, 4) float32 corners, those of boxes without width or height one step of float32 apart."""
    with np.errstate(over="ignore"):
        boxes = rows.boxes.astype(np.float32)
    negative = (rows.boxes[:, :2] > rows.boxes[:, 2:]).any(axis=1)
    if negative.sum() > max(1, _MOST_NEGATIVE * len(negative)):
        row = int(np.flatnonzero(negative)[0])
        raise ValueError(
            f"{rows.where(row)}: expected boxes of positive width and height, got one that ends before it begins, as "
            f"{negative.sum()} of {len(negative)} in {path} do: {rows.boxes[row].tolist()}. The four numbers may be in "
            "another order: COCO results have x, y, width, height, the devkit's files corners"
        )
    for low, high in ((0, 2), (1, 3)):
        empty = (rows.boxes[:, low] >= rows.boxes[:, high]) | (boxes[:, low] == boxes[:, high])
        for row in np.flatnonzero(empty):
            kind = "detection without area, a false positive"
            problems.repair(kind, rows.where(int(row)), f"{rows.boxes[row].tolist()}")
        boxes[empty, high] = np.nextafter(boxes[empty, low], np.float32(np.inf))
    return boxes


def _read_coco(found: ResultFiles, images, numbers, split, problems) -> _Rows:
    path = found.files[""]
    ids, categories, boxes, scores = read_coco_columns(path)
    where = row_name(path)
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


def _read_devkit(found: ResultFiles, images, numbers, split, problems) -> _Rows:
    names, ids, boxes, scores, where = comp4_columns(found.of_split(split).items())
    return _Rows(ids, names, boxes, scores, where)


def _read_yolo(found: ResultFiles, images, numbers, split, problems) -> _Rows:
    known = {one.image_id for one in images}
    counts = Counter(one.path.stem for one in images)
    by_stem = {one.path.stem: one.image_id for one in images if counts[one.path.stem] == 1}
    ids = (name if name in known else by_stem.get(Path(name).name, name) for name in found.files)
    ids, rows, where = parsed_lines(zip(ids, found.files.values(), strict=True), yolo_results.parse_line)
    columns = np.array([values for _, values in rows]).reshape(-1, yolo_results.FIELDS - 1)
    yolo_results.refuse_px(columns, where)
    meant = dict(zip(ids, _image_ids(ids, images, {}), strict=True))
    by_id = {one.image_id: one for one in images}
    layout = yolo_results.find_layout(columns, [meant[one] for one in ids], by_id, found.path)
    if layout is not yolo_results.LAYOUTS[0]:
        usual = yolo_results.LAYOUTS[0].name
        problems.repair(f"columns read as {layout.name!r}", found.path, f"the usual ones are {usual!r}")
    sizes = {one.image_id: one.size[::-1] for one in images}
    width_height = np.array([sizes.get(meant[one], (1, 1)) for one in ids], dtype=np.float64).reshape(-1, 2)
    boxes, names = layout.boxes(columns, width_height), _names([number for number, _ in rows], numbers, where)
    return _Rows(ids, names, boxes, columns[:, layout.score], where)
