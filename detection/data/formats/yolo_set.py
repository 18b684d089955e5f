"""What a YOLO set says of itself: class names and splits, in a data.yaml or what stands in its place."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any

from detection.data.files import (
    Tree,
    head_text,
    images_below,
    inside,
    is_file,
    is_image_name,
    read_text,
)
from detection.data.formats.folder import IMAGE_FOLDERS, deeper_split_folders, split_folders
from detection.data.formats.pairing import Nearness
from detection.data.labels import class_name
from detection.data.problems import DataError, Problem
from detection.data.split_names import in_usual_order, is_split_name
from detection.storage import read_yaml, shortened

# A class's number.
_NUMBER = re.compile(r"[0-9]{1,9}")
# Where class names lie in place of a data.yaml: LabelImg, darknet and CVAT, makesense, Roboflow.
NAME_FILES = ("classes.txt", "labels/classes.txt", "obj.names", "labels.txt", "names.txt", "train/_darknet.labels")
# A line of a YAML file or obj.data that is meant to hold class names, whatever else is wrong with it.
_NAMES_LINE = re.compile(r"(?:^|[{,])[ \t]*[\"']?names[\"']?[ \t]*[:=]", re.MULTILINE)


class YoloSet:
    """What a set's data.yaml, or what stands in its place, says.

    root: the folder that holds all its files. file: the data.yaml, darknet's obj.data or the file of names. names: the
    classes by number. splits: name -> places of images: folders, or text files that list them; each inside `root`.
    faults: the splits that are named and whose place is not there, or leads out of `root`. ValueError naming file and
    key where no other is left, and for names that cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self.file = path if path.is_file() else _set_file(path)
        self.root = path.parent if path.is_file() else path
        self.tree = Tree(self.root)
        self.keypoints = False
        self.faults: list[Problem] = []
        kind = self.file.suffix.lower()
        if kind in (".yaml", ".yml"):
            content = read_yaml_mapping(self.file)
            self.keypoints = "kpt_shape" in content
            self.names = _class_names(content.get("names"), self.file)
        else:
            content = _read_data_file(self.file) if kind == ".data" else _lists_beside(self.root)
            names = self.file if kind != ".data" else self._inside("names", content.get("names"), None)
            lines = read_text(names, "class names").split("\n")
            self.names = _class_names(list(filter(str.strip, lines)), names)
        self.splits = self._splits_of(content)
        if not self.splits:
            folders = split_folders(self.root) or deeper_split_folders(self.root, images_below(self.root))
            self.splits = {name: [folder] for name, folder in folders.items()}

    def _splits_of(self, content: Mapping[str, Any]) -> dict[str, list[Path]]:
        base = content.get("path")
        found: dict[str, list[Path]] = {}
        absent: list[DataError] = []
        for key in in_usual_order(key for key in content if isinstance(key, str) and is_split_name(key)):
            values = content[key]
            values = values if isinstance(values, list) else [] if values in (None, "") else [values]
            try:
                places = [self._inside(key, value, base) for value in values]
                self._check_own(key, places, content, found)
            except DataError as error:
                absent.append(error)
                continue
            if places:
                found[key] = places
        if absent and not found:
            raise absent[0]
        self.faults += [Problem("left out", one.kind, one.file, one.message) for one in absent]
        return found

    def _check_own(self, key: str, places: list[Path], content: Mapping[str, Any], found: Mapping[str, list]) -> None:
        """Raise DataError where two splits that are named otherwise are found in one place."""
        for other, taken in found.items():
            if places == taken and content[key] != content[other]:
                message = (
                    f"{key}: expected a place of its own, got {shortened(str(content[key]))!r}, found as {other}'s"
                )
                raise DataError("split that is not there", self.file, message)

    def _inside(self, key: str, value: Any, base: Any) -> Path:
        """The place that a key names. Raises DataError where it is not there, or not inside the set."""
        for name in _readings(value, base) if isinstance(value, str) else ():
            if (name := inside(name, self.root)) is not None and (place := self.tree.find(name)) is not None:
                if place.is_file():
                    return place
                # Some name the folder that holds the folder of images.
                below = (self.tree.find(PurePosixPath(name, one)) for one in IMAGE_FOLDERS)
                return next((one for one in below if one is not None and one.is_dir()), place)
        message = f"{key}: expected a folder or file inside {self.root}, got {shortened(str(value))!r}"
        message += f" with path {shortened(str(base))!r}" if base is not None else ""
        raise DataError("split that is not there", self.file, message)


def _readings(value: str, base: Any) -> list[str]:
    """What a path in a data.yaml may mean, best first: below `path`, below the set's folder, and, as Roboflow writes
    ``../train/images`` and ``NAME-1/train/images``, by its last parts, which name the split where it does.
    """
    value = value.replace("\\", "/")
    found = [f"{base}/{value}".replace("\\", "/")] if isinstance(base, str) and base.strip() else []
    found += [value]
    found += ends_of(value)
    if value in ("..", "../"):
        found.append(".")
    found = [PurePosixPath(one).as_posix() for one in found]
    return [name for one in found for name in (("images", ".") if one == "." else (one,))]


def ends_of(value: str) -> Iterator[str]:
    """The last parts of a path, most of them first, down to the one that names a split, or to the name itself."""
    parts = PurePosixPath(value.replace("\\", "/")).parts
    for start in range(1, len(parts)):
        if is_split_name(parts[start - 1]):
            return
        yield "/".join(parts[start:])


def label_files(data: YoloSet, images: Iterable[str]) -> tuple[list[str], Nearness]:
    """The label files that may be of images, posix paths below the set's folder, and which folders belong together.

    Labels lie below ``labels`` in place of a folder of images, or beside the images.
    """
    folders = {PurePosixPath(one).parent for one in images}
    # A set without a usual folder of images has labels in place of any.
    usual = any(part.lower() in IMAGE_FOLDERS for one in folders for part in one.parts)
    near: dict[tuple, tuple[int]] = {}
    found: dict[str, None] = {}
    for folder in sorted(folders):
        for rank, other in enumerate(reversed(_label_folders(folder, usual))):
            place = data.tree.find(other)
            if place is None or not place.is_dir():
                continue
            there = place.relative_to(data.root)
            key = tuple(tuple(map(str.casefold, one.parts)) for one in (folder, there))
            near[key] = max(near.get(key, (0,)), (rank,))
            names = chain.from_iterable(data.tree.listing(place).values())
            found |= {(there / name).as_posix(): None for name in names if name.lower().endswith(".txt")}
    return list(found), lambda image, label: near.get((image, label))


def _label_folders(folder: PurePosixPath, usual: bool) -> list[PurePosixPath]:
    """Where the labels of a folder's images may lie, the likeliest first."""
    parts = folder.parts
    places = [place for place, part in enumerate(parts) if part.lower() in IMAGE_FOLDERS]
    if not places and not usual:
        places = list(range(len(parts)))
    found = [PurePosixPath(*parts[:place], "labels", *parts[place + 1 :]) for place in reversed(places)]
    if not any(part.lower() in IMAGE_FOLDERS for part in parts):
        found = [PurePosixPath("labels", folder), folder / "labels", *found]
    return [*found, folder]


def usual_label(image: str) -> str:
    """Where the labels of an image would lie."""
    path = PurePosixPath(image)
    folders = _label_folders(path.parent, usual=True)
    in_place = any(part.lower() in IMAGE_FOLDERS for part in path.parent.parts)
    return (folders[0 if in_place else -1] / f"{path.stem}.txt").as_posix()


def find_yaml(folder: Path) -> Path | None:
    """The YAML file of a folder that is to have class names, None where there is none; ValueError for several."""
    found = [path for path in sorted([*folder.glob("*.y*ml"), *folder.glob("*.Y*ML")]) if _has_names(path)]
    usual = [path for path in found if path.stem == "data"]
    if len(found) > 1 and not usual:
        raise ValueError(f"{folder}: expected one data.yaml, got {', '.join(path.name for path in found)}; name one")
    return (usual or found or [None])[0]


def _has_names(path: Path) -> bool:
    """Whether a YAML file has a line of names, be the rest as it may: what is wrong is told when it is read."""
    try:
        return path.is_file() and _NAMES_LINE.search(read_text(path, "data.yaml")) is not None
    except ValueError:
        return path.stem == "data"


def find_names(folder: Path) -> Path | None:
    """What stands in place of a data.yaml: darknet's obj.data, or a file of names; None where there is none."""
    tree = Tree(folder)
    data = filter(is_data_file, sorted(folder.iterdir()))
    found = [*data, *(path for name in NAME_FILES if (path := tree.find(name)) is not None and is_file(path))]
    return next(iter(found), None)


def is_data_file(path: Path) -> bool:
    """Whether a file is darknet's obj.data, which names lists and the file of names."""
    return path.suffix.lower() == ".data" and _NAMES_LINE.search(head_text(path)) is not None


def _set_file(folder: Path) -> Path:
    found = find_yaml(folder) or find_names(folder)
    if found is None:
        raise ValueError(f"{folder}: expected class names in data.yaml (names: ...) or in {', '.join(NAME_FILES)}")
    return found


def _read_data_file(path: Path) -> dict[str, str]:
    """The values of darknet's obj.data: ``train = data/train.txt``."""
    lines = read_text(path, "data file").splitlines()
    pairs = (line.partition("=") for line in lines if "=" in line)
    return {key.strip(): value.strip() for key, _, value in pairs}


def _lists_beside(root: Path) -> dict[str, str]:
    """Split -> text file that lists its images, of those that are named as splits are."""
    named = [one for one in sorted(root.glob("*.txt")) if is_split_name(one.stem)]
    return {one.stem: one.name for one in named if is_image_name(head_text(one).strip().partition("\n")[0].strip())}


def read_yaml_mapping(path: Path) -> dict[str, Any]:
    """A YAML file's mapping, read without running anything in it; its `names` are the text as written.

    Raises ValueError naming the file.
    """
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected YAML with names:, got {type(content).__name__}")
    if "names" in content:
        content["names"] = read_yaml(path, as_text=True)["names"]
    return content


def _class_names(value: Any, path: Path) -> dict[int, str]:
    """Number -> name of a list, or of a mapping from number, as text, to name. Raises ValueError."""
    if not isinstance(value, (list, dict)):
        raise ValueError(f"{path}: names: expected a list of names, or number: name, got {shortened(str(value))!r}")
    pairs = enumerate(value) if isinstance(value, list) else value.items()
    names: dict[int, str] = {}
    for number, name in pairs:
        if not _NUMBER.fullmatch(str(number)):
            raise ValueError(f"{path}: names: expected numbers from 0 and names, got {number!r:.80}: {name!r:.80}")
        names[int(number)] = class_name(name, path, f"names: {number}")
    repeated = [name for name, count in Counter(names.values()).items() if count > 1]
    if not names or repeated:
        hint = "" if names else "; photos without objects need one, too"
        raise ValueError(f"{path}: names: expected class names, each once, got {repeated or 'none'}{hint}")
    return names
