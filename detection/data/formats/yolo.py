"""YOLO folders: images, one text file of boxes an image, and a data.yaml with the class names and the splits.

A line is ``class x y width height``: the class's number from 0, the box's centre and sides in shares of the upright
image's width and height. A line ``class x1 y1 x2 y2 x3 y3 ...`` is a polygon and is read as its box.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from detection.data.files import (
    MAX_LABEL_BYTES,
    ImageFinder,
    decode_text,
    images_below,
    is_file,
    read_small,
    stays_inside,
)
from detection.data.formats.folder import IMAGE_FOLDERS, image_ids_of, split_folders
from detection.data.labels import MAX_NAME, Box, ImageLabels, LabelledObject, clean_name, ordered_box, shortened
from detection.data.problems import DataError, Problems

SPLIT_KEYS = ("train", "val", "test")
# Where class names lie in place of a data.yaml: LabelImg, darknet and CVAT.
NAME_FILES = ("classes.txt", "labels/classes.txt", "obj.names")
# Tools write six decimals: what reaches outside by no more than that rounding, in shares of the image, is clipped
# without a word.
ROUNDING = 1e-5
# Coordinates in px are rounded to a multiple of this: far below a pixel, far above the error of share x side in
# float64, so that float32 boxes with coordinates that are 0 or at least 2^-7 px come back bit-equal.
_GRID = 2.0**-30
# Above this a number is no share of an image: a box in px.
_LARGEST_SHARE = 2.0
# YAML is read slowly, and this holds some 50,000 names.
_MAX_YAML_BYTES = 2**20
_BOX_FIELDS = 5
_NO_EXTRAS: dict[str, int] = {}
_LEAST_POLYGON = 7


class YoloSet:
    """What a set's data.yaml, or what stands in its place, says.

    root: the folder that holds all its files. file: the data.yaml or file of names. names: the classes by number.
    splits: name -> places of images: folders, or text files that list them; each inside `root`. A split whose place is
    not there, or leads out of `root`, is left out; ValueError naming file and key where none is left, and for names
    that cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self.file = path if path.is_file() else _names_file(path)
        self.root = path.parent if path.is_file() else path
        self.keypoints = False
        if self.file.suffix.lower() in (".yaml", ".yml"):
            content = read_yaml_mapping(self.file)
            self.keypoints = "kpt_shape" in content
            self.names = _class_names(content.get("names"), self.file)
            self.splits = self._splits_of(content)
        else:
            lines = decode_text(read_small(self.file, MAX_LABEL_BYTES, "class names"), self.file).split("\n")
            self.names = _class_names([name for name in map(clean_name, lines) if name], self.file)
            self.splits = {}
        if not self.splits:
            self.splits = {name: [folder] for name, folder in split_folders(self.root).items()}

    def _splits_of(self, content: Mapping[str, Any]) -> dict[str, list[Path]]:
        base = content.get("path")
        found: dict[str, list[Path]] = {}
        absent: list[ValueError] = []
        for key in SPLIT_KEYS:
            values = content.get(key)
            values = values if isinstance(values, list) else [] if values in (None, "") else [values]
            try:
                places = [self._inside(key, value, base) for value in values]
            except ValueError as error:
                absent.append(error)  # many a data.yaml names a split that was not downloaded
                continue
            if places:
                found[key] = places
        if absent and not found:
            raise absent[0]
        return found

    def _inside(self, key: str, value: Any, base: Any) -> Path:
        """The place that a key names. Raises ValueError where it is not there, or not inside the set."""
        if not isinstance(value, str):
            raise ValueError(f"{self.file}: {key}: expected a path, got {value!r}")
        for name in _readings(value, base):
            place = Path(name)
            if not place.is_absolute() and not stays_inside(name):
                continue
            place = place if place.is_absolute() else self.root / place
            if _is_below(place, self.root) and _exists(place):
                return _image_folder(place)
        raise ValueError(
            f"{self.file}: {key}: expected a folder or list of images inside {self.root}, got {shortened(value)!r}"
            + (f" with path {shortened(str(base))!r}" if base is not None else "")
        )


def _readings(value: str, base: Any) -> list[str]:
    """What a path in a data.yaml may mean, best first: below `path`, below the set's folder, and, as Roboflow writes
    ``../train/images``, without the leading ``..``.
    """
    value = value.replace("\\", "/")
    found = [f"{base}/{value}".replace("\\", "/")] if isinstance(base, str) and base.strip() else []
    found += [value]
    while value.startswith(("../", "./")):
        value = value.partition("/")[2]
        found.append(value)
    return [PurePosixPath(one).as_posix() if one not in ("", ".") else "images" for one in found]


def _is_below(place: Path, root: Path) -> bool:
    """By name alone: what a link points to is the user's own affair."""
    place, root = Path(place).absolute(), root.absolute()
    return ".." not in place.parts and place.is_relative_to(root)


def _exists(place: Path) -> bool:
    try:
        return place.exists()
    except (OSError, ValueError):
        return False


def _image_folder(place: Path) -> Path:
    """``split/images`` for a folder ``split`` that has one: some write the split's folder itself."""
    return next((place / name for name in IMAGE_FOLDERS if (place / name).is_dir()), place)


def find_yaml(folder: Path) -> Path | None:
    """The YAML file of a folder that has class names, None where there is none. Raises ValueError for several."""
    found = []
    for path in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]):
        try:
            if isinstance(read_yaml_mapping(path).get("names"), (list, dict)):
                found.append(path)
        except ValueError:
            continue
    usual = [path for path in found if path.stem == "data"]
    if len(found) > 1 and not usual:
        raise ValueError(f"{folder}: expected one data.yaml, got {', '.join(path.name for path in found)}; name one")
    return (usual or found or [None])[0]


def _names_file(folder: Path) -> Path:
    found = find_yaml(folder) or next((folder / name for name in NAME_FILES if is_file(folder / name)), None)
    if found is None:
        raise ValueError(f"{folder}: expected class names in data.yaml (names: ...) or in {', '.join(NAME_FILES)}")
    return found


class _PlainLoader(yaml.SafeLoader):
    """YAML without aliases, which make bombs and are of no use here."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.YAMLError("expected no aliases")
        return super().compose_node(parent, index)


def read_yaml_mapping(path: Path) -> dict[str, Any]:
    """A YAML file's mapping, read without running anything in it. Raises ValueError naming the file."""
    text = decode_text(read_small(path, _MAX_YAML_BYTES, "YAML file"), path)
    try:
        content = yaml.load(text, Loader=_PlainLoader)
    except (yaml.YAMLError, ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: expected YAML, got {shortened(' '.join(str(error).split()))}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected YAML with names:, got {type(content).__name__}")
    return content


def _class_names(value: Any, path: Path) -> dict[int, str]:
    """Number -> name of a list, or of a mapping from number to name. Raises ValueError."""
    pairs = enumerate(value) if isinstance(value, list) else value.items() if isinstance(value, dict) else ()
    names: dict[int, str] = {}
    for number, name in pairs:
        text = clean_name(str(name)) if isinstance(name, (str, int, float)) else ""
        if type(number) is not int or number < 0 or not text or len(text) > MAX_NAME:
            raise ValueError(f"{path}: names: expected numbers from 0 and names, got {number!r}: {name!r:.80}")
        names[number] = text
    repeated = [name for name, count in Counter(names.values()).items() if count > 1]
    if not names or repeated:
        raise ValueError(f"{path}: names: expected class names, each once, got {repeated or 'none'}")
    return names


class YoloReader:
    """A split of a YOLO set as a `LabelReader`; `places` None is every image of the set."""

    format = "yolo"
    source_ids: Mapping[str, str] = {}

    def __init__(self, data: YoloSet, places: Sequence[Path] | None) -> None:
        self.data, self.path, self.image_folder = data, data.root, data.root
        self.classes = tuple(data.names[number] for number in sorted(data.names))
        self.category_ids = tuple(sorted(data.names))
        self._places = [data.root] if places is None else list(places)
        self.list_path = self._places[0] if len(self._places) == 1 else data.file
        self._images: dict[str, Path] = {}

    def image_ids(self, problems: Problems) -> list[str]:
        """The ids of the split's images; a line of a list that leaves the set, or names no image, is left out."""
        images: dict[Path, str] = {}
        for place in self._places:
            if place.is_dir():
                images |= {place / name: name for name in images_below(place)}
            else:
                images |= {path: path.relative_to(self.path).as_posix() for path in self._listed(place, problems)}
        paths = dict(zip(images.values(), images, strict=True))
        if len(paths) < len(images):  # the same name below two places
            paths = {path.relative_to(self.path).as_posix(): path for path in images}
        self._images = {one: paths[name] for one, name in image_ids_of(paths).items()}
        return list(self._images)

    def _listed(self, place: Path, problems: Problems) -> Iterable[Path]:
        finder = ImageFinder(self.path)
        lines = decode_text(read_small(place, MAX_LABEL_BYTES, "list of images"), place).split("\n")
        found: dict[Path, None] = {}
        for number, line in enumerate(map(str.strip, lines), start=1):
            name = _without_root(line.replace("\\", "/"), self.path)
            if not name:
                continue
            if not stays_inside(name):
                message = f"expected a path inside {self.path}, got {shortened(line)!r}"
                problems.skip("image id that leaves the folder", place, message, number)
                continue
            path = finder.find(name) or finder.find(f"{place.parent.relative_to(self.path).as_posix()}/{name}")
            if path is None:
                problems.skip("missing image", place, shortened(line), number)
            elif path in found:
                problems.skip("image id listed again", place, shortened(line), number)
            else:
                found[path] = None
        return found

    def image_path(self, image_id: str) -> Path | None:
        """The image of an id."""
        return self._images[image_id]

    def label_path(self, image_id: str) -> Path:
        """The text file of an id: below ``labels`` where the image lies below ``images``, else beside it."""
        image = self._images[image_id]
        parts = list(image.relative_to(self.path).parts)
        beside = image.with_suffix(".txt")
        places = [place for place, part in enumerate(parts[:-1]) if part in IMAGE_FOLDERS]
        candidates = [self.path.joinpath(*parts[:one], "labels", *parts[one + 1 :]) for one in reversed(places)]
        candidates += [] if places else [self.path.joinpath(*parts[:-1], "labels", parts[-1])]
        candidates = [one.with_suffix(".txt") for one in candidates]
        found = [one for one in [*candidates, beside] if is_file(one)]
        return found[0] if found else (candidates[0] if places else beside)

    def labels(self, image_id: str, size: tuple[int, int] | None, problems: Problems) -> ImageLabels:
        """The boxes of an id; an image without a text file has none. Raises DataError."""
        path = self.label_path(image_id)
        if not is_file(path):
            return ImageLabels(path, None, ())
        height, width = size or (1, 1)
        try:
            text = decode_text(read_small(path, MAX_LABEL_BYTES, "label file"), path)
        except DataError:
            raise
        except ValueError as error:
            raise DataError("malformed label file", path, str(error).removeprefix(f"{path}: ")) from error
        objects = []
        for number, line in enumerate(text.split("\n"), start=1):
            if line.strip():
                try:
                    objects.append(self._object(line.split(), number, (height, width), path, problems))
                except DataError as error:
                    problems.skip_error(error)
        # No size: the file gives none. Boxes are in the frame of the upright image.
        return ImageLabels(path, None, tuple(objects), ROUNDING * max(height, width) if size else 0.0)

    def _object(
        self, fields: list[str], line: int, size: tuple[int, int], path: Path, problems: Problems
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


def _without_root(line: str, root: Path) -> str:
    """A line of a list relative to the set: ``./images/a.jpg``, or an absolute path inside the set."""
    absolute = f"{root.absolute().as_posix()}/"
    while line.startswith("./"):
        line = line[2:]
    return line.removeprefix(absolute)


def yolo_line(number: int, box: Sequence[float], size: tuple[int, int]) -> str:
    """A label line of a half-open float32 box in an image of (height, width) px, with all digits; see `_GRID`."""
    x1, y1, x2, y2 = map(float, box)
    height, width = size
    values = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height)
    return " ".join([str(number), *map(repr, values)])


def looks_like_labels(path: Path) -> bool:
    """Whether a text file begins with a line of YOLO labels."""
    try:
        fields = path.open("rb").read(4096).split(b"\n")[0].split()
        return len(fields) >= _BOX_FIELDS and all(math.isfinite(float(field)) for field in fields)
    except (OSError, ValueError):
        return False
