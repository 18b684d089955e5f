"""COCO json of boxes: {"images": [...], "annotations": [...], "categories": [...]}.

A bbox is x, y, width, height of the half-open box in px from 0, as inside the program. A crowd is read as difficult:
both are objects that neither count as missed nor make a detection false.
"""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from detection.data.files import ImageFinder, stays_inside
from detection.data.formats.folder import image_ids_of
from detection.data.json_items import Item, read_items
from detection.data.labels import Box, ImageLabels, LabelledObject, checked_name, fits_float32, ordered_box, shortened
from detection.data.problems import DataError, Problem, Problems

_LISTS = ("images", "annotations", "categories")
# COCO's own numbers have two decimals: x + width may be off by one of each.
ROUNDING = 0.02
# Images that are looked for in each folder where they may lie.
_PROBED = 50
# The names of files and folders: instances_train2017.json, train2017, train/_annotations.coco.json.
_FILE_NAME = re.compile(r"(?:instances_)?(?P<split>[A-Za-z]+)(?:19|20)\d\d|instances_(?P<other>\w+)")
_FLAGS = ("iscrowd", "difficult", "ignore")
_OWN_KEYS = frozenset(["id", "image_id", "category_id", "bbox", "area", "segmentation", *_FLAGS])


@dataclass(frozen=True)
class CocoTable:
    """A file's content as columns; what cannot be used is left out and told in `faults`.

    names: class names in the file's order. categories: their ids. image_names: file names; image_numbers: ids, as
    text; sizes: (N, 2) int64 (height, width), 0 where the file has none; lines: (N,) where an image's entry begins.
    Of annotations, by image: starts (N + 1,), boxes (A, 4) float64 x1, y1, x2, y2, labels (A,) int64 place in `names`,
    difficult (A,) bool, areas (A,) float64 px^2, NaN where the file has none, index (A,) place in the file from 1,
    annotation_lines (A,); extras: index -> what else it says.
    """

    names: tuple[str, ...]
    categories: tuple[int, ...]
    image_names: tuple[str, ...]
    image_numbers: tuple[str, ...]
    sizes: np.ndarray
    lines: np.ndarray
    starts: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    difficult: np.ndarray
    areas: np.ndarray
    index: np.ndarray
    annotation_lines: np.ndarray
    extras: Mapping[int, Mapping[str, Any]]
    faults: tuple[Problem, ...]


def read_table(path: Path) -> CocoTable:
    """The content of a COCO json; read once while the file is the same.

    Raises DataError naming file and line where it is no JSON, and for lists that are missing or no such lists.
    """
    try:
        state = path.stat()
    except OSError as error:
        raise DataError("missing file", path, str(error)) from error
    return _read_table(path.absolute(), path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=4)
def _read_table(_: Path, path: Path, *state: int) -> CocoTable:
    return _Builder(path).table()


class _Builder:
    def __init__(self, path: Path) -> None:
        self.path, self.problems = path, Problems()
        self.known_names: set[str] = set()
        self.names: dict[Any, str] = {}
        self.images: dict[Any, tuple[str, int, int, int]] = {}
        self.image_ids: list[Any] = []
        self.category_ids: list[Any] = []
        self.boxes, self.index, self.lines, self.difficult = array("d"), array("q"), array("q"), bytearray()
        self.areas = array("d")
        self.extras: dict[int, dict[str, Any]] = {}

    def table(self) -> CocoTable:
        makers = {"images": self._image, "annotations": self._annotation, "categories": self._category}
        for item in read_items(self.path, _LISTS):
            try:
                makers[item.key](item)
            except DataError as error:
                self.problems.skip_error(error)
        if not self.names or not self.images:
            missing = "categories" if not self.names else "images"
            reasons = "".join(f"; {line}" for line in self.problems.summary()[:1])
            raise DataError("malformed COCO json", self.path, f"expected {missing}, got none{reasons}")
        return self._columns()

    def _fields(self, item: Item) -> tuple[dict[str, Any], str]:
        what = f"{item.key.removesuffix('s') if item.key != 'categories' else 'category'} {item.index}"
        if not isinstance(item.value, dict):
            raise self._error("malformed COCO json", item, f"{what}: expected an object, got {item.value!r:.80}")
        number = item.value.get("id")
        if type(number) not in (int, str):
            if item.key != "annotations" or number is not None:
                raise self._error("entry without an id", item, f"{what}: expected a number or text, got {number!r:.80}")
            return item.value, what
        return item.value, f"{what} (id {number!r:.80})"

    def _error(self, kind: str, item: Item, message: str) -> DataError:
        return DataError(kind, self.path, message, item.line)

    def _category(self, item: Item) -> None:
        value, what = self._fields(item)
        if not isinstance(value.get("name"), str):
            raise self._error("object without a name", item, f"{what}: name: {value.get('name')!r:.80}")
        name = checked_name(value["name"], what, self.path, item.line, self.problems)
        if value["id"] in self.names:
            raise self._error("id given again", item, f"{what}: it is {self.names[value['id']]!r} already")
        if name in self.known_names:
            self.problems.repair("class listed again", self.path, f"{what}: {name!r}: taken as one class", item.line)
        self.names[value["id"]] = name
        self.known_names.add(name)

    def _image(self, item: Item) -> None:
        value, what = self._fields(item)
        name = value.get("file_name")
        if not isinstance(name, str):
            raise self._error("image without a file name", item, f"{what}: file_name: {name!r:.80}")
        name = name.replace("\\", "/")
        if not stays_inside(name):
            message = f"{what}: expected a relative path without .., got {shortened(name)!r}"
            raise self._error("image id that leaves the folder", item, message)
        if value["id"] in self.images:
            raise self._error("id given again", item, f"{what}: it is {self.images[value['id']][0]!r} already")
        sides = [value.get(side) for side in ("height", "width")]
        usual = all(type(side) in (int, float) and 0 <= side < 2**31 for side in sides)
        height, width = map(int, sides) if usual else (0, 0)
        self.images[value["id"]] = (name, height, width, item.line)

    def _annotation(self, item: Item) -> None:
        value, what = self._fields(item)
        box = value.get("bbox")
        if box is None:
            raise self._error("object without a box", item, what)
        corners = self._corners(box)
        if corners is None:
            raise self._error("box that is not four numbers", item, f"{what}: {box!r:.80}")
        self.boxes.extend(corners)
        self.image_ids.append(_key(value.get("image_id")))
        self.category_ids.append(_key(value.get("category_id")))
        self.index.append(item.index)
        self.lines.append(item.line)
        area = value.get("area")
        self.areas.append(area if type(area) in (int, float) and 0 <= area < _LARGEST else math.nan)
        self.difficult.append(any(value.get(flag) in (1, True) for flag in _FLAGS) or _marked(value))
        if extras := _extras(value):
            self.extras[item.index] = extras

    @staticmethod
    def _corners(box: Any) -> Box | None:
        if type(box) is not list or len(box) != 4 or not all(type(one) in (int, float) for one in box):
            return None
        try:
            x, y, width, height = map(float, box)
        except OverflowError:
            return None
        corners = (x, y, x + width, y + height)
        return corners if max(map(abs, corners)) < _LARGEST or fits_float32(corners) else None

    def _columns(self) -> CocoTable:
        place_of = {number: place for place, number in enumerate(self.images)}
        names = tuple(dict.fromkeys(self.names.values()))
        place_of_name = {name: place for place, name in enumerate(names)}
        label_of = {number: place_of_name[name] for number, name in self.names.items()}
        number_of = {name: number for number, name in reversed(self.names.items())}
        owner = np.array([place_of.get(one, -1) for one in self.image_ids], dtype=np.int64)
        labels = np.array([label_of.get(one, -1) for one in self.category_ids], dtype=np.int64)
        index, lines = np.array(self.index, dtype=np.int64), np.array(self.lines, dtype=np.int64)
        for row in np.flatnonzero((owner < 0) | (labels < 0)).tolist():
            kind, key, value = ("annotation of no image", "image_id", self.image_ids[row])
            if owner[row] >= 0:
                kind, key, value = ("annotation of no class", "category_id", self.category_ids[row])
            self.problems.skip(kind, self.path, f"annotation {index[row]}: {key} {value!r:.80}", int(lines[row]))
        kept = np.flatnonzero((owner >= 0) & (labels >= 0))
        kept = kept[np.argsort(owner[kept], kind="stable")]
        files = list(self.images.values())
        return CocoTable(
            names=names,
            categories=tuple(number_of[one] for one in names),
            image_names=tuple(one[0] for one in files),
            image_numbers=tuple(map(str, self.images)),
            sizes=np.array([one[1:3] for one in files], dtype=np.int64),
            lines=np.array([one[3] for one in files], dtype=np.int64),
            starts=np.searchsorted(owner[kept], np.arange(len(files) + 1)),
            boxes=np.array(self.boxes, dtype=np.float64).reshape(-1, 4)[kept],
            labels=labels[kept],
            difficult=np.frombuffer(bytes(self.difficult), dtype=bool)[kept],
            areas=np.array(self.areas, dtype=np.float64)[kept],
            index=index[kept],
            annotation_lines=lines[kept],
            extras=self.extras,
            faults=self.problems.records,
        )


# Shared by the many annotations that say no more.
_NONE: dict[str, Any] = {}
_MASK: dict[str, Any] = {"segmentation": True}
# Below this every number is finite in float32: no need to convert it.
_LARGEST = 1e30


def _key(value: Any) -> Any:
    """A number or text as it stands; anything else, which cannot be an id, as None."""
    return value if type(value) in (int, str) else None


def _marked(value: Mapping[str, Any]) -> bool:
    attributes = value.get("attributes")
    return isinstance(attributes, dict) and attributes.get("difficult") in (1, True, "1", "true")


def _extras(value: Mapping[str, Any]) -> dict[str, Any]:
    """What an annotation says beyond box, class and crowd; of a mask just that there is one."""
    extras = {key: one for key, one in value.items() if key not in _OWN_KEYS and key != "attributes"}
    attributes = value.get("attributes")
    if isinstance(attributes, dict):
        extras |= {str(key): one for key, one in attributes.items() if key != "difficult"}
    if value.get("segmentation"):
        return {**extras, "segmentation": True} if extras else _MASK
    return extras


def file_split(path: Path) -> str:
    """The split that a file's name tells: train of instances_train2017.json and of train/_annotations.coco.json."""
    if path.name.lower() == "_annotations.coco.json":
        return path.parent.name
    match = _FILE_NAME.fullmatch(path.stem)
    return (match["split"] or match["other"]) if match else path.stem


def looks_like_coco(path: Path) -> bool:
    """Whether a JSON file begins as an object with one of COCO's lists; the rest is not read."""
    try:
        with path.open("rb") as file:
            head = file.read(2**16)
    except OSError:
        return False
    return bool(re.match(rb"[\xef\xbb\xbf\s]*\{", head)) and bool(
        re.search(rb'"(images|annotations|categories)"\s*:\s*\[', head)
    )


def coco_files(folder: Path) -> list[Path]:
    """The COCO json files of a set, in the folder or one level below; those of boxes where it has others beside."""
    places = [folder, *sorted(one for one in folder.iterdir() if one.is_dir() and not one.name.startswith("."))]
    found = [path for place in places for path in sorted(place.glob("*.json")) if looks_like_coco(path)]
    boxes = [path for path in found if path.stem.startswith("instances_") or path.name == "_annotations.coco.json"]
    return boxes or [path for path in found if not path.stem.startswith("image_info")]


class CocoReader:
    """A COCO json as a `LabelReader`. images: the folder of the images; null: looked for near the file."""

    format = "coco"

    def __init__(self, path: Path, root: Path, images: Path | None = None) -> None:
        self.path = self.list_path = path
        self.table = read_table(path)
        self.classes = self.table.names
        self.category_ids = self.table.categories
        self._place = {one: place for place, one in enumerate(image_ids_of(_distinct(self.table.image_names)))}
        self.source_ids = dict(zip(self._place, self.table.image_numbers, strict=True))
        self.image_folder = images or self._find_images(root)
        self._finder = ImageFinder(self.image_folder)

    def _find_images(self, root: Path) -> Path:
        """The folder near the file that has most of some images; the file's own where none has any."""
        own, split = self.path.parent, file_split(self.path)
        parents = [own, own.parent] if own != root and _is_below(own, root) else [own]
        parts = ["", "images", "JPEGImages", split, f"images/{split}", f"{split}/images", "data"]
        if match := re.search(r"(\w+?(?:19|20)\d\d)$", self.path.stem):
            parts += [match[1].removeprefix("instances_"), f"images/{match[1].removeprefix('instances_')}"]
        finders = [ImageFinder(parent / part) for parent in parents for part in parts]
        names = self.table.image_names
        names = [*names[:: max(1, len(names) // _PROBED)], names[-1]]
        return max(finders, key=lambda finder: sum(finder.find(name) is not None for name in names)).folder

    def image_ids(self, problems: Problems) -> list[str]:
        """The ids of all images in the file's order: file names without extension."""
        problems.extend(self.table.faults)
        return list(self._place)

    def image_path(self, image_id: str) -> Path | None:
        """The image of an id, None where there is none."""
        return self._finder.find(self.table.image_names[self._place[image_id]])

    def labels(self, image_id: str, size: tuple[int, int] | None, problems: Problems) -> ImageLabels:
        """The annotations of an id."""
        table, place = self.table, self._place[image_id]
        rows = slice(table.starts[place], table.starts[place + 1])
        columns = (table.index, table.labels, table.boxes, table.difficult, table.annotation_lines, table.areas)
        objects = []
        for index, label, box, difficult, line, area in zip(*(one[rows].tolist() for one in columns), strict=True):
            name = table.names[label]
            try:
                corners = ordered_box(tuple(box), f"annotation {index} ({name})", self.path, line, problems)
            except DataError as error:
                problems.skip_error(error)
                continue
            own = None if math.isnan(area) else area
            objects.append(LabelledObject(index, name, corners, difficult, line, table.extras.get(index, _NONE), own))
        height, width = table.sizes[place].tolist()
        return ImageLabels(self.path, (height, width) if height and width else None, tuple(objects), ROUNDING)


def _is_below(folder: Path, root: Path) -> bool:
    return folder.absolute().is_relative_to(root.absolute())


def _distinct(names: Sequence[str]) -> list[str]:
    """Names, of which one that comes again has a number behind it: ids are to be unique."""
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return found
