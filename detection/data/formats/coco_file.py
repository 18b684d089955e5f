"""The content of a COCO json of boxes: images with their objects, classes, and what of it cannot be used."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from detection.data.json_items import Item, read_items
from detection.data.labels import Box, LabelledObject, class_name, fits_float32, ordered_box
from detection.data.problems import DataError, Problem, Problems

LISTS = ("images", "annotations", "categories")
FLAGS = ("iscrowd", "difficult", "ignore")
_OWN_KEYS = frozenset(["id", "image_id", "category_id", "bbox", "area", "segmentation", *FLAGS])
# Where the name of an image stands, the usual place first.
_NAME_KEYS = ("file_name", "coco_url", "flickr_url", "url")
# A number as JSON has it; longer ones are no ids.
_NUMBER = re.compile(r"-?[1-9]\d{0,17}|0")
# Shared by the many annotations that say no more.
_MASK: dict[str, Any] = {"segmentation": True}
_NONE: dict[str, Any] = {}
# Of a mask, px^2; more is damage.
_LARGEST = 1e30


@dataclass(frozen=True)
class CocoImage:
    """An image of a file. name: as the file has it, with slashes. number: its id, as text. size: (height, width), None
    where the file has none. line: where it begins. found: annotations that name it, usable or not. faults: of those
    that are not.
    """

    name: str
    number: str
    size: tuple[int, int] | None
    objects: list[LabelledObject]
    line: int
    found: int = 0
    faults: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class CocoContent:
    """A file's content; what cannot be used is left out and told in `faults`, its own or those of its image.

    classes: class name -> id, in the file's order. images: in the file's order, with their objects. stray_objects:
    annotations that name none of them.
    """

    classes: dict[str, Any]
    images: tuple[CocoImage, ...]
    faults: tuple[Problem, ...]
    stray_objects: int = 0


def read_content(path: Path) -> CocoContent:
    """The content of a COCO json; read once while the file is the same.

    Raises DataError naming file and line where it is no JSON, and for lists that are missing or no such lists.
    """
    return _read_content(path.absolute(), path, *file_state(path))


def file_state(path: Path) -> tuple[int, ...]:
    """What differs where another file is at the path, or it was written over. Raises DataError where there is none."""
    try:
        state = path.stat()
    except OSError as error:
        raise DataError("missing file", path, str(error)) from error
    return state.st_mtime_ns, state.st_size, state.st_ino


def forget_content() -> None:
    """Read every file anew: one was written, perhaps within a tick of the disk's clock."""
    _read_content.cache_clear()


@lru_cache(maxsize=4)
def _read_content(_: Path, path: Path, *state: int) -> CocoContent:
    return _Parser(path).content()


class _Parser:
    """Takes the lists of a file in any order; annotations find their image and class when all is read."""

    def __init__(self, path: Path) -> None:
        self.path, self.problems = path, Problems()
        self.names: dict[Any, str] = {}
        self.known: set[str] = set()
        self.images: dict[Any, CocoImage] = {}
        # Ids that two images or two classes have: what is said of them belongs to neither.
        self.shared: dict[str, set] = {"images": set(), "categories": set()}
        self.annotations: list[tuple] = []
        # By the id of their image.
        self.found: Counter[Any] = Counter()
        self.left_out: dict[Any, Problems] = {}

    def content(self) -> CocoContent:
        parsers = {"images": self._image, "annotations": self._annotation, "categories": self._category}
        for item in read_items(self.path, LISTS):
            try:
                parsers[item.key](item)
            except DataError as error:
                if item.key == "annotations":
                    self._leave_out(_image_key(item.value), error)
                else:
                    self.problems.skip_error(error)
        # Photos alone need no classes.
        if not self.images or (self.found and not self.names):
            missing = "categories" if self.images else "images"
            reasons = "".join(f"; {line}" for line in self.problems.summary()[:1])
            raise DataError("malformed COCO json", self.path, f"expected {missing}, got none{reasons}")
        for number in self.shared["images"]:
            image = self.images.pop(number)
            message = f"image {image.name!r:.80}: another image has its id {image.number:.80}"
            self.problems.skip("id given again", self.path, message, image.line)
        self.annotations.reverse()
        while self.annotations:
            annotation = self.annotations.pop()
            try:
                self._assign(*annotation)
            except DataError as error:
                self._leave_out(annotation[0], error)
        classes: dict[str, Any] = {}
        for number, name in self.names.items():
            classes.setdefault(name, number)
        images = tuple(self._counted(number, one) for number, one in self.images.items())
        for others in self.left_out.values():
            self.problems.extend(others)
        return CocoContent(classes, images, self.problems.records, self.found.total())

    def _leave_out(self, image_id: Any, error: DataError) -> None:
        self.left_out.setdefault(image_id, Problems()).skip_error(error, objects=1)

    def _counted(self, image_id: Any, image: CocoImage) -> CocoImage:
        faults = self.left_out.pop(image_id, Problems()).records
        return replace(image, found=self.found.pop(image_id, 0), faults=faults)

    def _fields(self, item: Item) -> tuple[dict[str, Any], str]:
        what = f"{item.key.removesuffix('s') if item.key != 'categories' else 'category'} {item.index}"
        if not isinstance(item.value, dict):
            raise self._error("malformed COCO json", item, f"{what}: expected an object, got {item.value!r:.80}")
        number = item.value.get("id")
        if id_key(number) is None:
            if item.key != "annotations" or number is not None:
                raise self._error("entry without an id", item, f"{what}: expected a number or text, got {number!r:.80}")
            return item.value, what
        return item.value, f"{what} (id {number!r:.80})"

    def _error(self, kind: str, item: Item, message: str) -> DataError:
        return DataError(kind, self.path, message, item.line)

    def _category(self, item: Item) -> None:
        value, what = self._fields(item)
        name = class_name(value.get("name"), self.path, what, item.line, self.problems)
        number = id_key(value["id"])
        if self._is_again(number, name, self.names.get(number), item, what):
            return
        if name in self.known:
            self.problems.repair("class listed again", self.path, f"{what}: {name!r}: taken as one class", item.line)
        self.names[number] = name
        self.known.add(name)

    def _is_again(self, number: Any, name: str, first: str | None, item: Item, what: str) -> bool:
        """Whether an entry says again what another has said. Raises DataError where it says something else."""
        if first is not None and first != name:
            self.shared[item.key].add(number)
            raise self._error("id given again", item, f"{what}: {name!r:.80}: it is {first!r:.80} already")
        return first is not None

    def _image(self, item: Item) -> None:
        value, what = self._fields(item)
        # LVIS has addresses alone.
        names = (value.get(key) for key in _NAME_KEYS)
        name = next((one for one in names if isinstance(one, str) and one), value.get("file_name"))
        if not isinstance(name, str):
            raise self._error("image without a file name", item, f"{what}: file_name: {value.get('file_name')!r:.80}")
        name, number = name.replace("\\", "/"), id_key(value["id"])
        first = self.images.get(number)
        if self._is_again(number, name, first and first.name, item, what):
            return
        sides = [value.get(side) for side in ("height", "width")]
        usual = all(type(side) in (int, float) and 1 <= side < 2**31 for side in sides)
        size = (int(sides[0]), int(sides[1])) if usual else None
        self.images[number] = CocoImage(name, str(value["id"]), size, [], item.line)

    def _annotation(self, item: Item) -> None:
        self.found[_image_key(item.value)] += 1
        value, what = self._fields(item)
        box, area = value.get("bbox"), value.get("area")
        if box is None:
            raise self._error("object without a box", item, what)
        corners = _corners(box)
        if corners is None:
            raise self._error("box that is not four numbers", item, f"{what}: {box!r:.80}")
        difficult = any(value.get(flag) in (1, True) for flag in FLAGS) or _marked(value)
        area = float(area) if type(area) in (int, float) and 0 <= area < _LARGEST else None
        owners = (_image_key(value), id_key(value.get("category_id")))
        self.annotations.append((*owners, item.index, item.line, corners, difficult, area, _extras(value)))

    def _assign(self, image_id, category_id, index, line, corners, difficult, area, extras) -> None:
        for key, number in (("images", image_id), ("categories", category_id)):
            if number in self.shared[key]:
                message = f"annotation {index}: id {number!r:.80} is that of several {key}"
                raise DataError("annotation of an id given again", self.path, message, line)
        if image_id not in self.images:
            message = f"annotation {index}: image_id {image_id!r:.80}"
            raise DataError("annotation of no image", self.path, message, line)
        if category_id not in self.names:
            message = f"annotation {index}: category_id {category_id!r:.80}"
            raise DataError("annotation of no class", self.path, message, line)
        name = self.names[category_id]
        box = ordered_box(corners, f"annotation {index} ({name})", self.path, line, self.problems)
        self.images[image_id].objects.append(LabelledObject(index, name, box, difficult, line, extras, area))


def _corners(box: Any) -> Box | None:
    """Half-open corners of x, y, width, height; None where it is not four numbers that float32 can hold."""
    if type(box) is not list or len(box) != 4 or not all(type(one) in (int, float) for one in box):
        return None
    try:
        x, y, width, height = map(float, box)
    except OverflowError:
        return None
    corners = (x, y, x + width, y + height)
    return corners if fits_float32(corners) else None


def id_key(value: Any) -> Any:
    """An id: a number, also where it stands as text ("7") or as 7.0, or other text; None for anything else."""
    if type(value) is str:
        return int(value) if _NUMBER.fullmatch(value) else value
    return int(value) if type(value) is int or (type(value) is float and value.is_integer()) else None


def _image_key(annotation: Any) -> Any:
    """The id of an annotation's image, None where it names none."""
    return id_key(annotation.get("image_id")) if isinstance(annotation, dict) else None


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
    return extras or _NONE
