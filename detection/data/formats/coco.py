"""COCO json of boxes: {"images": [...], "annotations": [...], "categories": [...]}.

A bbox is x, y, width, height of the half-open box in px from 0, as inside the program. A crowd is read as difficult:
both are objects that neither count as missed nor make a detection false.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote

from detection.data.files import (
    ImageFinder,
    content,
    head_text,
    images_below,
    inside,
    is_image_name,
    shown_names,
    stays_inside,
)
from detection.data.formats.coco_file import CocoContent, CocoImage, file_state, read_content
from detection.data.formats.coco_writing import save_objects, write_coco
from detection.data.formats.folder import image_ids_of
from detection.data.formats.label_format import FoundSet, LabelFormat, NewSet
from detection.data.formats.other_tools import own_kind, own_kind_in
from detection.data.labels import ImageLabels, ImageObjects, LabelReader
from detection.data.problems import DataError, Problems
from detection.data.split_names import is_split_name, parts_of_others, without_year
from detection.storage import shortened

# COCO's own numbers have two decimals: x + width may be off by one of each.
ROUNDING = 0.02
# Images that are looked for in each folder where they may lie.
_PROBED = 50
_ANNOTATION_FOLDERS = ("annotations", "labels")
# A file begins as an object with a list of images or annotations; a large one may have its categories first.
_HEAD_BYTES = 2**16
_HEAD = re.compile(r'\s*\{.*"(images|annotations|categories)"\s*:\s*\[', re.DOTALL)


def file_split(path: Path) -> str:
    """The split that a file's name tells, or its folder's where it tells none: train of instances_train2017.json,
    lvis_v1_train.json and train/_annotations.coco.json.
    """
    words = map(without_year, re.split(r"[^A-Za-z0-9]+", path.stem))
    named = [word for word in words if is_split_name(word)]
    if len(named) == 1:
        return named[0]
    if path.name.lower() == "_annotations.coco.json" or is_split_name(path.parent.name):
        return path.parent.name
    return without_year(path.stem.removeprefix("instances_"))


def _is_coco(path: Path) -> bool:
    """Whether a JSON file begins as an object with one of COCO's lists; the rest is not read."""
    try:
        match = _HEAD.match(head := head_text(path, _HEAD_BYTES))
        # Label Studio's YOLO export has a notes.json of categories.
        is_large = path.stat().st_size > _HEAD_BYTES
        usual = match is not None and (match[1] != "categories" or '"images"' in head or is_large)
        return usual and own_kind(path) is None
    except OSError:
        return False


def coco_files(folder: Path) -> list[Path]:
    """The COCO json files of a set, in the folder or one level below; those of boxes where it has others beside."""
    places = [folder, *sorted(one for one in folder.iterdir() if one.is_dir() and not one.name.startswith("."))]
    jsons = (path for place in places for path in sorted(place.iterdir()) if path.suffix.lower() == ".json")
    found = [path for path in jsons if _is_coco(path)]
    boxes = [path for path in found if path.stem.startswith("instances_") or path.name == "_annotations.coco.json"]
    return boxes or [path for path in found if not path.stem.startswith("image_info")]


class _Place(NamedTuple):
    """Where an image lies: a name in a folder. by_end: found by the last part of what the file has."""

    finder: ImageFinder
    name: str
    by_end: bool = False


class CocoReader(LabelReader):
    """A COCO json. images: the folder of the images; None: looked for near the file."""

    def __init__(self, path: Path, root: Path, images: Path | None = None) -> None:
        self.path = self.list_path = path
        self._state, found = file_state(path), read_content(path)
        self._whole = ImageFinder(root if images is None else images)
        self.image_folder = images or self._find_images(root, [_usual_name(one.name, root) for one in found.images])
        self._finder = ImageFinder(self.image_folder)
        self._take(found)

    def _take(self, found: CocoContent) -> None:
        self.classes, self.category_ids = tuple(found.classes), tuple(found.classes.values())
        self.stray_objects = found.stray_objects
        self._problems = Problems()
        self._problems.extend(found.faults)
        self._images = self._joined(found.images)
        self._names = image_ids_of(self._images)
        self.source_ids = {one: self._images[name][1].number for one, name in self._names.items()}

    def _joined(self, images: Sequence[CocoImage]) -> dict[str, tuple[_Place, CocoImage]]:
        """Name -> place and image; an image that comes again under another id has the objects of both."""
        joined: dict[str, tuple[_Place, CocoImage]] = {}
        by_end: list[str] = []
        for image in images:
            place = self._place(image.name)
            if place is None:
                message = f"id {image.number:.80}: expected an image in {self._whole.folder}, or the last part of just "
                message += f"one's name, got {shortened(image.name)!r}"
                self._problems.skip("image id that leaves the folder", self.path, message, image.line, image.found)
                self.stray_objects += image.found
                continue
            if place.name in joined:
                first = joined[place.name][1]
                message = f"{place.name!r:.80}: {first.number:.80} and {image.number:.80}; the objects of both are its"
                self._problems.repair("image listed under two ids", self.path, message, image.line)
                image = replace(
                    first,
                    objects=[*first.objects, *image.objects],
                    found=first.found + image.found,
                    faults=(*first.faults, *image.faults),
                )
            elif place.by_end:
                by_end.append(f"{shortened(image.name)!r} as {place.name}")
            joined[place.name] = place, image
        if by_end:
            message = f"{len(by_end)} names lead out of the set and are found by their last parts: {by_end[0]}"
            self._problems.repair("image found by its last part", self.path, message)
        return joined

    def _place(self, name: str) -> _Place | None:
        """Where an image of a name in the file lies; None for a name that leads out of the set, and for no name."""
        if _is_usual(name):
            return _Place(self._finder, PurePosixPath(name).as_posix())
        below = _inside(name, self._whole.folder)
        return self._by_last_part(name) if below is None else self._below(below)

    def _below(self, name: str, by_end: bool = False) -> _Place:
        path = self._whole.folder / name
        if path.is_relative_to(self.image_folder):
            return _Place(self._finder, path.relative_to(self.image_folder).as_posix(), by_end)
        return _Place(self._whole, name, by_end)

    def _by_last_part(self, name: str) -> _Place | None:
        """The image of the set that has the last part of a path or address for its name, None where it is not just one.

        Label Studio writes ``/data/local-files/?d=a.jpg`` and ``../../a.jpg``; LVIS has addresses.
        """
        for own in map(_last_part, (name, unquote(name), name.partition("?")[0], unquote(name.partition("?")[0]))):
            if is_image_name(own) and stays_inside(own):
                found = self._by_name.get(own.casefold(), [])
                beside = [one for one in found if (self._whole.folder / one).is_relative_to(self.path.parent)]
                for names in (found, beside):
                    if len(names) == 1:
                        return self._below(names[0], True)
        return None

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        """Name in small letters -> the set's images of that name."""
        found: dict[str, list[str]] = {}
        for one in images_below(self._whole.folder):
            found.setdefault(PurePosixPath(one).name.casefold(), []).append(one)
        return found

    def _find_images(self, root: Path, names: list[str]) -> Path:
        """The folder near the file that has most of some images; the file's own where none has any."""
        own, split = self.path.parent, file_split(self.path)
        parents = [own, own.parent] if own != root and own.is_relative_to(root) else [own]
        parts = ["", "images", "JPEGImages", split, f"images/{split}", f"{split}/images", "data"]
        if match := re.search(r"(\w+?(?:19|20)\d\d)$", self.path.stem):
            parts += [match[1].removeprefix("instances_"), f"images/{match[1].removeprefix('instances_')}"]
        near = {parent / part: None for parent in parents for part in parts}
        near |= {one: None for parent in parents for one in sorted(parent.iterdir()) if one.is_dir()}
        names = [*names[:: max(1, len(names) // _PROBED)], *names[-1:]]
        finders = map(ImageFinder, near)
        return max(finders, key=lambda finder: sum(finder.find(name) is not None for name in names)).folder

    def image_ids(self, problems: Problems) -> list[str]:
        """The ids of all images in the file's order: file names without extension."""
        problems.extend(self._problems)
        return list(self._names)

    def renew(self) -> None:
        """See `LabelReader.renew`."""
        if (state := file_state(self.path)) != self._state:
            self._take(read_content(self.path))
            self._state = state

    def _image(self, image_id: str) -> tuple[_Place, CocoImage]:
        if image_id not in self._names:
            raise DataError("missing image", self.path, f"{image_id!r:.80}: the file names it no more")
        return self._images[self._names[image_id]]

    def image_path(self, image_id: str) -> Path | None:
        """The image of an id, None where there is none."""
        place, _ = self._image(image_id)
        return place.finder.find(place.name)

    def save(self, image: ImageObjects, unchanged: Collection[int] = ()) -> None:
        """See `LabelReader.save`; a class that the file does not list is added to its categories."""
        _, before = self._image(image.image_id)
        save_objects(self.path, self._state, before, image, unchanged)
        self.renew()

    def labels(self, image_id: str, size: tuple[int, int] | None, problems: Problems) -> ImageLabels:
        """The annotations of an id."""
        _, image = self._image(image_id)
        problems.extend(image.faults)
        return ImageLabels(self.path, image.size, tuple(image.objects), ROUNDING, image.found)


def _is_usual(name: str) -> bool:
    """Whether a name is a path in the folder of images."""
    return stays_inside(name) and name != "." and "://" not in name


def _inside(name: str, root: Path) -> str | None:
    """An absolute name relative to the set's folder, None for one that is not in it and for addresses."""
    found = None if "://" in name else inside(name, root)
    return None if found == "." else found


def _last_part(name: str) -> str:
    return re.split(r"[/=]", name)[-1]


def _usual_name(name: str, root: Path) -> str:
    """A name that an image may have in the folder of images, to find that folder by."""
    return name if _is_usual(name) else _inside(name, root) or _last_part(name)


def _looks_like(path: Path) -> bool:
    return path.suffix.lower() == ".json" if path.is_file() else bool(coco_files(path))


def _open(path: Path, images: Path | None) -> FoundSet:
    files = [path] if path.is_file() else coco_files(path)
    root = path
    if path.is_file():
        # The usual layout has the file in a folder beside those of the images.
        root = path.parent.parent if path.parent.name.lower() in _ANNOTATION_FOLDERS else path.parent
    if not files or not all(map(_is_coco, files)):
        others = [one.relative_to(root).as_posix() for one in [*root.glob("*.json"), *root.glob("*/*.json")]]
        seen = f"; not so: {shown_names(others)}" if others else ""
        seen += f". {tool}" if (tool := own_kind_in(path)) else ""
        raise ValueError(f"{path}: expected a COCO json with images, annotations and categories; {content(path)}{seen}")
    named = {file_split(one): one for one in files}
    if len(named) < len(files):
        named = {one.relative_to(root).with_suffix("").as_posix(): one for one in files}
    splits = {name: partial(CocoReader, file, root, images) for name, file in named.items()}
    return FoundSet(path, splits, parts=parts_of_others(splits))


def _write(new: NewSet) -> None:
    for split, images in new.splits.items():
        place = new.folder / "images" / split
        place.mkdir(parents=True, exist_ok=True)
        for image in images:
            new.put_image(image, place)
        write_coco(new.folder / "annotations" / f"instances_{split}.json", images, new.classes, new.lost, new.name)


COCO = LabelFormat("coco", "a COCO json", _looks_like, _open, _write)
