"""Which format a data set has, found by looking or as told, and the reader of one of its splits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from detection.data.files import images_below
from detection.data.formats.coco import CocoReader, coco_files, file_split, looks_like_coco
from detection.data.formats.folder import FolderReader, split_folders
from detection.data.formats.voc import VocFolder, VocReader
from detection.data.formats.yolo import NAME_FILES, YoloReader, YoloSet, find_yaml, looks_like_labels
from detection.data.labels import ImageLabels, LabelReader
from detection.data.problems import DataError, Problems
from detection.data.splitting import split_images
from detection.storage import file_fingerprint

Format = Literal["auto", "voc", "folder", "coco", "yolo"]
FORMATS: tuple[Format, ...] = ("voc", "coco", "yolo", "folder")
# The splits that are asked for where a user names none, and what stands for them in sets with other names.
TRAIN_SPLIT, TEST_SPLIT = "trainval", "test"
_TRAIN_NAMES = ("train", "training")
_VALIDATION_NAMES = ("val", "valid", "validation")
# Of several year folders below a root, the one that is meant where none is named.
_USUAL_YEAR = "VOC2007"
_ANNOTATION_FOLDERS = ("annotations", "labels")
# XML and text files that are looked at.
_PROBED = 20


@dataclass(frozen=True)
class FoundSet:
    """A data set whose format is known. path: its folder, COCO json or data.yaml. told: found by looking, or set.

    also: other formats it might be. splits: name -> reader; none where the set is not split.
    """

    format: Format
    path: Path
    also: tuple[Format, ...]
    splits: Mapping[str, Callable[[], LabelReader]]
    whole: Callable[[], LabelReader] | None

    def __str__(self) -> str:
        also = f"; could be {' or '.join(self.also)} too: dataset.format says which" if self.also else ""
        return f"{self.path}: format {self.format}{also}"


def find_set(path: Path | str, wanted: Format = "auto", images: Path | None = None) -> FoundSet:
    """The data set at a path: a year folder of a VOC devkit or the folder that holds it, a folder of images with XML,
    a COCO json or a folder with some, a data.yaml or a YOLO folder.

    images: the folder of a COCO set's images, looked for where None. Raises ValueError saying what was looked for and
    what is there, DataError for a COCO json that cannot be read.
    """
    path = Path(path)
    if not path.exists():
        raise ValueError(f"{path}: expected a data set, found nothing there")
    found = possible_formats(path)
    if wanted != "auto":
        return _OPENERS[wanted](path, (), images)
    if not found:
        raise ValueError(
            f"{path}: expected a data set: ImageSets/Main (VOC), a COCO json, a data.yaml with names (YOLO), or images "
            f"with XML beside them; {content(path)}.{_hint(path)}"
        )
    return _OPENERS[found[0]](path, tuple(found[1:]), images)


def _hint(path: Path) -> str:
    """Where below a set lies, for a message."""
    below = [one for one in sorted(path.iterdir()) if one.is_dir() and possible_formats(one)] if path.is_dir() else []
    return f" Did you mean {below[0]}?" if below else " dataset.format says which it is"


def possible_formats(path: Path) -> list[Format]:
    """The formats that a file or folder looks like, the by descending score."""
    if path.is_file():
        suffix = path.suffix.lower()
        return ["coco"] if suffix == ".json" else ["yolo"] if suffix in (".yaml", ".yml") else []
    checks = {
        "voc": lambda: year_folder(path) is not None,
        "coco": lambda: coco_files(path),
        "yolo": lambda: _is_yolo(path),
        "folder": lambda: _has_xml(path),
    }
    found = [name for name in FORMATS if checks[name]()]
    # The XML of a devkit, and what a tool has put beside the labels, is no second format.
    return [one for one in found if not (one == "folder" and len(found) > 1)]


def year_folder(path: Path) -> Path | None:
    """The year folder that a path is, or the one it holds, VOC2007 of several; None where there is none.

    Raises ValueError for several others.
    """
    if VocFolder(path, "").splits():
        return path
    found = [one for one in sorted(path.iterdir()) if one.is_dir() and VocFolder(one, "").splits()]
    usual = [one for one in found if one.name == _USUAL_YEAR]
    if len(found) > 1 and not usual:
        raise ValueError(f"{path}: expected one year, got {', '.join(one.name for one in found)}; year says which")
    return (usual or found or [None])[0]


def _is_yolo(path: Path) -> bool:
    if find_yaml(path) or any((path / name).is_file() for name in NAME_FILES):
        return True
    texts = [one for folder in (path / "labels", path) for one in sorted(folder.glob("*.txt"))[:_PROBED]]
    return any(map(looks_like_labels, texts))


def _has_xml(path: Path) -> bool:
    """Whether there are images and XML below, and no devkit, whose lists would be passed over."""
    devkits = [one for pattern in ("*/ImageSets/Main", "*/*/ImageSets/Main") for one in path.glob(pattern)]
    return not devkits and next(path.rglob("*.xml"), None) is not None and bool(images_below(path))


def _open_voc(path: Path, also: tuple[Format, ...], _: Path | None) -> FoundSet:
    year = year_folder(path) if path.is_dir() else None
    if year is None:
        raise ValueError(f"{path}: expected ImageSets/Main with lists of images (VOC); {content(path)}")
    folder = VocFolder(year, "")
    for name in ("Annotations", "JPEGImages"):
        if not (folder.path / name).is_dir():
            raise ValueError(f"{folder.path / name}: expected a folder, found none; {content(folder.path)}")
    splits = {name: lambda name=name: VocReader(folder, name) for name in folder.splits()}
    return FoundSet("voc", year, also, splits, None)


def _open_folder(path: Path, also: tuple[Format, ...], _: Path | None) -> FoundSet:
    if not path.is_dir():
        raise ValueError(f"{path}: expected a folder of images with XML, got a file")
    splits = {
        name: lambda folder=folder: FolderReader(path, folder)
        for name, folder in split_folders(path).items()
        if images_below(folder)
    }
    return FoundSet("folder", path, also, splits, lambda: FolderReader(path))


def _open_coco(path: Path, also: tuple[Format, ...], images: Path | None) -> FoundSet:
    files = [path] if path.is_file() else coco_files(path)
    root = path
    if path.is_file():
        # The usual layout has the file in a folder beside those of the images.
        root = path.parent.parent if path.parent.name.lower() in _ANNOTATION_FOLDERS else path.parent
    if not files or not all(map(looks_like_coco, files)):
        others = [one.relative_to(root).as_posix() for one in [*root.glob("*.json"), *root.glob("*/*.json")]]
        seen = f"; not so: {', '.join(sorted(others)[:_LISTED])}" if others else ""
        raise ValueError(f"{path}: expected a COCO json with images, annotations and categories; {content(path)}{seen}")
    named = {file_split(one): one for one in files}
    if len(named) < len(files):
        named = {one.relative_to(root).with_suffix("").as_posix(): one for one in files}
    openers = {name: lambda file=file: CocoReader(file, root, images) for name, file in named.items()}
    whole = next(iter(openers.values())) if len(openers) == 1 else None
    return FoundSet("coco", path, also, openers, whole)


def _open_yolo(path: Path, also: tuple[Format, ...], _: Path | None) -> FoundSet:
    data = YoloSet(path)
    splits = {name: lambda places=places: YoloReader(data, places) for name, places in data.splits.items()}
    return FoundSet("yolo", path, also, splits, lambda: YoloReader(data, None))


_OPENERS = {"voc": _open_voc, "folder": _open_folder, "coco": _open_coco, "yolo": _open_yolo}


def open_split(found: FoundSet, split: str, problems: Problems, held_out: float, seed: int) -> list[LabelReader]:
    """The readers of a split, joined in this order: one, or train and val together for "trainval".

    A split is meant by its name, by another usual one (val for "test" where there is no test, train for "trainval"),
    or, in a set that is not split, or has one split of another name, by a division of its images: `held_out` of them
    are "test", the others "trainval". "all" is the whole of a set that is not split or has one split.
    What was done is noted in `problems`. Raises ValueError naming the splits that are there.
    """
    splits = found.splits
    if split in splits:
        return [splits[split]()]
    train, val, test = (_named(splits, names) for names in (_TRAIN_NAMES, _VALIDATION_NAMES, (TEST_SPLIT,)))
    whole = next(iter(splits.values())) if len(splits) == 1 else None if splits else found.whole
    if split == "all" and whole is not None:
        return [whole()]
    if found.format != "voc" and split in (TRAIN_SPLIT, TEST_SPLIT):
        if split == TRAIN_SPLIT and train and (val or test):
            chosen = [train, *([val] if val and test else [])]
        elif split == TEST_SPLIT and train and val:
            chosen = [val]
        elif whole is not None and not {TRAIN_SPLIT, TEST_SPLIT} & set(splits):
            return [_divided(whole(), split, problems, held_out, seed)]
        else:
            chosen = []
        if chosen:
            problems.note(f"{found.path}: {split} is {' and '.join(chosen)}")
            return [splits[one]() for one in chosen]
    there = ", ".join(splits) or "none"
    raise ValueError(f"{found.path}: format {found.format}: expected the split {split!r}, got the splits: {there}")


def _named(splits: Mapping[str, object], names: Sequence[str]) -> str | None:
    return next((one for one in splits if one.lower() in names), None)


def _divided(reader: LabelReader, split: str, problems: Problems, held_out: float, seed: int) -> LabelReader:
    quiet = Problems()  # the same faults come when the images are loaded
    names: dict[str, list[str]] = {}
    contents = {}
    for image_id in reader.image_ids(quiet):
        path = reader.image_path(image_id)
        try:
            if path is None:
                continue
            names[image_id] = [item.name for item in reader.labels(image_id, None, quiet).objects]
            contents[image_id] = file_fingerprint(path)
        except (DataError, OSError):
            continue
    kept, out = split_images(names, held_out, seed, contents)
    problems.note(
        f"{reader.path}: has no splits: {len(kept)} images are {TRAIN_SPLIT}, {len(out)} are held out as {TEST_SPLIT} "
        f"(dataset.held_out {held_out:g}, dataset.seed {seed}; tools/dataset.py split makes a lasting split)"
    )
    # What cannot be read belongs to training, where its faults are told.
    chosen = set(out)
    return _Part(reader, lambda image_id: (image_id in chosen) == (split == TEST_SPLIT))


class _Part:
    """Some images of a reader."""

    def __init__(self, reader: LabelReader, has: Callable[[str], bool]) -> None:
        self._reader, self._has = reader, has
        self.format, self.path, self.list_path = reader.format, reader.path, reader.list_path
        self.image_folder = reader.image_folder
        self.classes, self.source_ids = reader.classes, reader.source_ids
        self.category_ids = reader.category_ids

    def image_ids(self, problems: Problems) -> list[str]:
        return [one for one in self._reader.image_ids(problems) if self._has(one)]

    def image_path(self, image_id: str) -> Path | None:
        return self._reader.image_path(image_id)

    def labels(self, image_id: str, size: tuple[int, int] | None, problems: Problems) -> ImageLabels:
        return self._reader.labels(image_id, size, problems)


# Names of a folder's content in an error message.
_LISTED = 10


def content(folder: Path) -> str:
    """What a folder holds, for a message."""
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"{folder} holds: {', '.join(names[:_LISTED]) or 'nothing'}{more}"
