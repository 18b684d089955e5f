"""YOLO folders: images, one text file of boxes an image, and a data.yaml with the class names and the splits.

A line is ``class x y width height``: the class's number from 0, the box's centre and sides in shares of the upright
image's width and height. A line ``class x1 y1 x2 y2 x3 y3 ...`` is a polygon and is read as its box.
"""

import json
import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from detection.data.files import (
    ImageFinder,
    files_below,
    head_text,
    images_below,
    inside,
    is_file,
    is_image_name,
    read_text,
)
from detection.data.formats.folder import image_ids_of
from detection.data.formats.label_format import FoundSet, LabelFormat, NewSet, simple_extras
from detection.data.formats.pairing import Pairs, pair_labels
from detection.data.formats.yolo_set import (
    YoloSet,
    ends_of,
    find_names,
    find_yaml,
    is_data_file,
    label_files,
    usual_label,
)
from detection.data.images import to_upright
from detection.data.labels import (
    Box,
    ImageLabels,
    ImageObjects,
    LabelledObject,
    LabelReader,
    ordered_box,
    read_each,
)
from detection.data.problems import DataError, Problems
from detection.data.split_names import SPLIT_NAMES, split_kind
from detection.storage import shortened, write_text

# The keys of splits that go by another name elsewhere; "test" is its val where the set has no other.
_KEYS = {"trainval": "train", "all": "train"}
# Values of an object's properties that are no loss: what tools write where nobody has said anything.
_SAY_NOTHING = ("0", "", "Unspecified")
# Text files that are looked at.
_PROBED = 20
# Tools write six decimals: what reaches outside by no more than that rounding, in shares of the image, is clipped
# without a word.
ROUNDING = 1e-5
# Coordinates in px are rounded to a multiple of this: far below a pixel, far above the error of share x side in
# float64, so that float32 boxes with coordinates that are 0 or at least 2^-7 px come back bit-equal.
_GRID = 2.0**-30
# Above this a number is no share of an image: a box in px.
_LARGEST_SHARE = 2.0
_BOX_FIELDS = 5
_NO_EXTRAS: dict[str, int] = {}
_LEAST_POLYGON = 7


class YoloReader(LabelReader):
    """A split of a YOLO set; `places` None is every image of the set."""

    tells_polygons = True

    def __init__(self, data: YoloSet, places: Sequence[Path] | None) -> None:
        self.data, self.path, self.image_folder = data, data.root, data.root
        self.classes = tuple(data.names[number] for number in sorted(data.names))
        self.category_ids = tuple(sorted(data.names))
        self._places = [data.root] if places is None else list(places)
        self.list_path = self._places[0] if len(self._places) == 1 else data.file
        self._images: dict[str, str] = {}
        self._paired: set[str] = set()
        self._dropped: set[str] = set()
        self._pairs = Pairs()

    def image_ids(self, problems: Problems) -> list[str]:
        """The ids of the split's images; a line of a list that leaves the set, or names no image, is left out."""
        problems.extend(self.data.faults)
        named: dict[str, str] = {}
        listed: dict[str, None] = {}
        for place in self._places:
            if place.is_dir():
                below = place.relative_to(self.path)
                named |= {(below / name).as_posix(): name for name in images_below(place)}
            else:
                listed |= self._listed(place, problems)
        named |= {one: one for one in listed}
        if named.keys() != self._paired:  # it takes a while for 100,000 images
            self._paired = set(named)
            self._pairs = pair_labels(named, *label_files(self.data, named), lambda _: None)
        pairs = self._pairs
        # A picture that a list names is a photo; of those that were found, one that has no labels of its own is none.
        self._dropped = set(pairs.passed_over) - set(listed)
        named = {one: name for one, name in named.items() if one not in self._dropped}
        paths = dict(zip(named.values(), named, strict=True))
        if len(paths) < len(named):  # the same name below two places
            paths = {one: one for one in named}
        self._images = {one: paths[name] for one, name in image_ids_of(paths).items()}
        return list(self._images)

    def _listed(self, place: Path, problems: Problems) -> dict[str, None]:
        """The images that a list names, as posix paths below the set's folder."""
        finder, beside = ImageFinder(self.path), place.parent.relative_to(self.path)
        lines = read_text(place, "list of images").split("\n")
        found: dict[str, None] = {}
        by_end = []
        for number, line in enumerate(map(str.strip, lines), start=1):
            name = inside(line, self.path)
            path = (finder.find(name) or finder.find((beside / name).as_posix())) if line and name else None
            if line and path is None and (path := next(filter(None, map(finder.find, ends_of(line))), None)):
                by_end.append(f"{shortened(line)!r} as {path.relative_to(self.path).as_posix()}")
            if path is not None and (path := path.relative_to(self.path).as_posix()) not in found:
                found[path] = None
            elif path is not None:
                problems.skip("image id listed again", place, shortened(line), number)
            elif line and name is None:
                message = f"expected a path inside {self.path}, got {shortened(line)!r}"
                problems.skip("image id that leaves the folder", place, message, number)
            elif line:
                problems.skip("missing image", place, shortened(line), number)
        if by_end:
            problems.note(f"{place}: images of {len(by_end)} lines are found by the ends of their paths: {by_end[0]}")
        return found

    def image_path(self, image_id: str) -> Path | None:
        """The image of an id."""
        return self.path / self._images[image_id]

    def label_path(self, image_id: str) -> Path:
        """The text file of an id; where it would lie if there is none."""
        name = self._images[image_id]
        return self.path / (self._pairs.labels.get(name) or usual_label(name))

    def label_file(self, image_id: str) -> Path | None:
        """The text file of an id, there or not; None where it is not sure which."""
        unsure = {**self._pairs.unsure, **self._pairs.passed_over}
        return None if self._images[image_id] in unsure else self.label_path(image_id)

    def save(self, image: ImageObjects, unchanged: Collection[int] = ()) -> None:
        """See `LabelReader.save`. Raises ValueError for a class without a number in the set's list."""
        path, number = self.label_path(image.image_id), {name: one for one, name in self.data.names.items()}
        before = read_text(path, "label file").split("\n") if path.exists() else []
        lines = []
        for item in image.objects:
            if item.name not in number:
                raise ValueError(
                    f"{self.data.file}: expected one of the classes {', '.join(number)}, got {item.name!r}: add it "
                    "there first, with the next number"
                )
            rest = before[item.index - 1].split()[_BOX_FIELDS:] if item.index and self.data.keypoints else []
            line = yolo_line(number[item.name], *to_upright(image.path, image.size, item.box))
            lines.append(before[item.index - 1] if item.index in unchanged else " ".join([line, *rest]))
        write_text(path, "".join(f"{one}\n" for one in lines), durable=True)
        self._pairs.labels[self._images[image.image_id]] = path.relative_to(self.path).as_posix()

    def passed_over(self) -> dict[Path, str]:
        """Masks and previews beside photos; text files that hold no labels, as lists and read-me files do."""
        found = {self.path / one: why for one, why in self._pairs.passed_over.items() if one in self._dropped}
        files = files_below(self.path)
        # A text of an image's name is for labels, whatever it holds.
        stems = {PurePosixPath(one).stem.casefold() for one in files if is_image_name(one)}
        own = {self.data.file, *self._places}
        for text in (one for one in files if one.lower().endswith(".txt")):
            path = self.path / text
            if path.stem.casefold() not in stems and is_file(path) and path.stat().st_size and not _has_labels(path):
                found[path] = "a list or names" if path in own else "not a file of labels"
        return found

    def labels(self, image_id: str, size: tuple[int, int] | None, problems: Problems) -> ImageLabels:
        """The boxes of an id; an image without a text file has none. Raises DataError."""
        path, name = self.label_path(image_id), self._images[image_id]
        if name not in self._pairs.labels:
            if why := self._pairs.unsure.get(name) or self._pairs.passed_over.get(name):
                raise DataError("image without annotation", self.path / name, why)
            return ImageLabels(path, None, ())
        height, width = size or (1, 1)
        lines = enumerate(read_text(path, "label file").split("\n"), start=1)
        found = [(number, line.split()) for number, line in lines if line.strip()]
        objects = read_each(found, lambda one: self._object(*one, (height, width), path, problems), problems)
        # No size: the file gives none. Boxes are in the frame of the upright image.
        rounding = ROUNDING * max(height, width) if size else 0.0
        return ImageLabels(path, None, tuple(objects), rounding, len(found))

    def _object(
        self, line: int, fields: list[str], size: tuple[int, int], path: Path, problems: Problems
    ) -> LabelledObject:
        try:
            numbers = [float(field) for field in fields]
        except ValueError:
            numbers = [math.nan]
        if not all(map(math.isfinite, numbers)) or len(numbers) < _BOX_FIELDS:
            message = f"expected 'class x y width height', got {_shown(fields)}"
            raise DataError("box that is not four numbers", path, message, line)
        name = self.data.names.get(numbers[0])
        if name is None:
            message = f"expected one of {_span(self.data.names)} (names in {self.data.file.name}), got {fields[0]:.80}"
            raise DataError("class number without a name", path, message, line)
        polygon = len(numbers) >= _LEAST_POLYGON and len(numbers) % 2 == 1 and not self.data.keypoints
        if not polygon and len(numbers) != _BOX_FIELDS and not self.data.keypoints:
            message = f"expected {_BOX_FIELDS} numbers, or a polygon of 7, 9, ...: {_shown(fields)}"
            raise DataError("box that is not four numbers", path, message, line)
        if max(map(abs, numbers[1:])) > _LARGEST_SHARE:
            message = f"expected shares of the image from 0 to 1, got {_shown(fields)}; are they px?"
            raise DataError("box in px", path, message, line)
        corners = _polygon_box(numbers[1:]) if polygon else _corners(numbers[1:_BOX_FIELDS])
        if not (corners[0] < corners[2] and corners[1] < corners[3]):
            corners = ordered_box(corners, f"{name}: {_shown(fields)}", path, line, problems)
        extras = {"segmentation": (len(numbers) - 1) // 2} if polygon else _NO_EXTRAS
        return LabelledObject(line, name, _in_px(corners, size), False, line, extras)


def _shown(fields: Sequence[str]) -> str:
    return repr(shortened(" ".join(fields)))


def _corners(numbers: Sequence[float]) -> Box:
    x, y, width, height = numbers
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _polygon_box(numbers: Sequence[float]) -> Box:
    xs, ys = numbers[::2], numbers[1::2]
    return min(xs), min(ys), max(xs), max(ys)


def _in_px(shares: Box, size: tuple[int, int]) -> Box:
    x1, y1, x2, y2 = shares
    height, width = size[0] / _GRID, size[1] / _GRID
    return round(x1 * width) * _GRID, round(y1 * height) * _GRID, round(x2 * width) * _GRID, round(y2 * height) * _GRID


def _span(names: Mapping[int, str]) -> str:
    return f"0 to {max(names)}" if len(names) == max(names) + 1 else f"{len(names)} numbers up to {max(names)}"


def yolo_line(number: int, box: Sequence[float], size: tuple[int, int]) -> str:
    """A label line of a half-open float32 box in an image of (height, width) px, with all digits; see `_GRID`."""
    x1, y1, x2, y2 = map(float, box)
    height, width = size
    values = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height)
    return " ".join([str(number), *map(repr, values)])


def _has_labels(path: Path) -> bool:
    """Whether a text file begins with a line of YOLO labels."""
    try:
        fields = head_text(path).partition("\n")[0].split()
        return len(fields) >= _BOX_FIELDS and all(math.isfinite(float(field)) for field in fields)
    except (OSError, ValueError):
        return False


def _looks_like(path: Path) -> bool:
    if path.is_file():
        return path.suffix.lower() in (".yaml", ".yml") or is_data_file(path)
    if not path.is_dir():
        return False
    if find_yaml(path) or is_data_file(names := find_names(path) or path):
        return True
    if names != path:
        # A list of classes is of YOLO labels, or of none: there are such lists beside XML, too.
        files = files_below(path)
        labels = (path / one for one in files if one.lower().endswith(".txt"))
        return any(map(_has_labels, labels)) or not any(one.lower().endswith(".xml") for one in files)
    return any(_has_labels(one) for folder in (path / "labels", path) for one in sorted(folder.glob("*.txt"))[:_PROBED])


def _open(path: Path, _: Path | None) -> FoundSet:
    data = YoloSet(path)
    splits = {name: partial(YoloReader, data, places) for name, places in data.splits.items()}
    return FoundSet(path, splits, partial(YoloReader, data, None), ".txt")


def _write(new: NewSet) -> None:
    number = {one: place for place, one in enumerate(new.classes)}
    keys = {split: _KEYS.get(split, split_kind(split)) for split in new.splits}
    if "test" in keys and "val" not in keys.values():
        keys["test"] = "val"
    if len(set(keys.values())) < len(keys):
        keys = {split: split for split in new.splits}
    if len(keys) == 1 and not set(keys.values()) & set(SPLIT_NAMES):
        keys = dict.fromkeys(keys, "train")
    new.written_as |= keys
    for split, images in new.splits.items():
        place = new.folder / "images" / keys[split]
        place.mkdir(parents=True, exist_ok=True)
        for image in images:
            new.put_image(image, place)
            lines = "".join(f"{one}\n" for one in _label_lines(image, number, new.lost))
            write_text(new.folder / "labels" / keys[split] / f"{image.image_id}.txt", lines)
    lines = "".join(f"{key}: images/{key}\n" for key in keys.values())
    listed = "".join(f"  {place}: {json.dumps(one, ensure_ascii=False)}\n" for one, place in number.items())
    write_text(new.folder / "data.yaml", f"path: .\n{lines}nc: {len(new.classes)}\nnames:\n{listed}")


def _label_lines(image: ImageObjects, number: Mapping[str, int], lost: Counter[str]) -> Iterator[str]:
    for item in image.objects:
        for name, value in simple_extras(item, lost).items():
            lost[name] += str(value) not in _SAY_NOTHING
        lost["difficult"] += item.difficult
        box, size = to_upright(image.path, image.size, item.box)
        yield yolo_line(number[item.name], box, size)


YOLO = LabelFormat("yolo", "a data.yaml with names (YOLO)", _looks_like, _open, _write, needs_classes=True)
