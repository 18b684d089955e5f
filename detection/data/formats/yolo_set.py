"""What a YOLO set says of itself: class names and splits, in a data.yaml or what stands in its place."""

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from detection.data.files import MAX_LABEL_BYTES, decode_text, is_below, is_file, read_small, stays_inside
from detection.data.formats.folder import IMAGE_FOLDERS, split_folders
from detection.data.labels import class_name, shortened
from detection.data.split_names import SPLIT_NAMES, in_usual_order
from detection.storage.yaml_text import keep_text

# Where class names lie in place of a data.yaml: LabelImg, darknet and CVAT.
NAME_FILES = ("classes.txt", "labels/classes.txt", "obj.names")
# YAML is read slowly, and this holds some 50,000 names.
_MAX_YAML_BYTES = 2**20


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
            self.names = _class_names(list(filter(str.strip, lines)), self.file)
            self.splits = {}
        if not self.splits:
            self.splits = {name: [folder] for name, folder in split_folders(self.root).items()}

    def _splits_of(self, content: Mapping[str, Any]) -> dict[str, list[Path]]:
        base = content.get("path")
        found: dict[str, list[Path]] = {}
        absent: list[ValueError] = []
        for key in in_usual_order(key for key in content if isinstance(key, str) and key.lower() in SPLIT_NAMES):
            values = content[key]
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
            if is_below(place, self.root) and os.path.exists(place):
                # Some name the folder that holds the folder of images.
                return next((place / one for one in IMAGE_FOLDERS if (place / one).is_dir()), place)
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
    """A YAML file's mapping, read without running anything in it; `names` are the text as written.

    Raises ValueError naming the file.
    """
    text = decode_text(read_small(path, _MAX_YAML_BYTES, "YAML file"), path)
    try:
        loader = _PlainLoader(text)
        root = loader.get_single_node()
        keep_text(root, "names")
        content = None if root is None else loader.construct_document(root)
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
        if type(number) is not int or number < 0:
            raise ValueError(f"{path}: names: expected numbers from 0 and names, got {number!r}: {name!r:.80}")
        names[number] = class_name(name, path, f"names: {number}")
    repeated = [name for name, count in Counter(names.values()).items() if count > 1]
    if not names or repeated:
        raise ValueError(f"{path}: names: expected class names, each once, got {repeated or 'none'}")
    return names
