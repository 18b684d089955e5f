"""A plain folder of images with Pascal VOC XML beside them, or in a folder of annotations."""

import os
from collections import Counter
from collections.abc import Collection, Iterable
from functools import cached_property, partial
from pathlib import Path, PurePosixPath

from detection.data.files import files_below, images_below, is_image_name, without_extension
from detection.data.formats.label_format import FoundSet, LabelFormat, NewSet
from detection.data.formats.other_tools import own_kind
from detection.data.formats.pairing import Pairs, pair_labels
from detection.data.formats.voc_xml import image_xml, photo_name, read_annotation, save_annotation
from detection.data.labels import ImageLabels, ImageObjects, LabelReader
from detection.data.problems import DataError, Problems
from detection.data.split_names import SPLIT_NAMES, is_split_name, split_kind
from detection.storage import write_text

# Folders that hold images, in small letters, and those of annotations, the likeliest first.
IMAGE_FOLDERS = ("images", "jpegimages", "imgs")
_ANNOTATION_FOLDERS = ("annotations", "labels", "xmls", "xml", "annotation", "label")
# Folders of a set that may be links.
_FOLLOWED = (*SPLIT_NAMES, *IMAGE_FOLDERS, *_ANNOTATION_FOLDERS)


def split_folders(root: Path) -> dict[str, Path]:
    """Split -> folder, for the subfolders of `root`, or of its folder of images, that are named as splits are."""
    found = {}
    below = sorted(one for one in root.iterdir() if one.is_dir())
    for parent in (root, *(one for one in below if one.name.lower() in IMAGE_FOLDERS)):
        for child in sorted(parent.iterdir()):
            if is_split_name(child.name) and child.is_dir():
                found.setdefault(child.name, child)
    return found


def deeper_split_folders(root: Path, images: Iterable[str]) -> dict[str, Path]:
    """Split -> folder, where the splits lie in a folder that holds all images, posix paths below `root`."""
    parents = [PurePosixPath(one).parent for one in images]
    top = root / os.path.commonpath(parents) if parents else root
    return {name: one for name, one in split_folders(top).items() if images_below(one)} if top != root else {}


def image_ids_of(names: Iterable[str]) -> dict[str, str]:
    """Image id -> name, in order: the name without its extension, or with it where two differ in nothing else.

    A folder of images at the beginning of all names is no part of the ids.
    """
    names = list(names)
    firsts = {PurePosixPath(name).parts[0] if "/" in name else "" for name in names}
    cut = len(next(iter(firsts))) + 1 if len(firsts) == 1 and next(iter(firsts)).lower() in IMAGE_FOLDERS else 0
    names = {name[cut:]: name for name in names}
    stems = {name: without_extension(name) for name in names}
    counts = Counter(stems.values())
    whole: set[str] = set()
    more = {name for name, stem in stems.items() if counts[stem] > 1}
    while more:  # x.jpg beside x.png is x.jpg, so that x.jpg.jpg cannot be
        whole |= more
        more = {name for name, stem in stems.items() if stem in whole and name not in whole}
    return {name if name in whole else stem: names[name] for name, stem in stems.items()}


class FolderSet:
    """All photos below a folder with their XML, found once for all splits. root: the folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @cached_property
    def _files(self) -> list[str]:
        return files_below(self.root, _FOLLOWED)

    @cached_property
    def pairs(self) -> Pairs:
        """The XML of each image: beside it, or in a folder of XML alone that is near it; posix paths below the root."""
        images = [one for one in self._files if is_image_name(one)]
        photo_folders = {PurePosixPath(one.casefold()).parent.parts for one in images}

        def near(image: tuple[str, ...], label: tuple[str, ...]) -> tuple[int, ...] | None:
            # A picture in a folder of annotations is a photo if no other is there.
            photo = not set(image) & set(_ANNOTATION_FOLDERS)
            if image == label:
                return photo, 1, 0, 0, 0
            places = [_ANNOTATION_FOLDERS.index(one) for one in label if one in _ANNOTATION_FOLDERS]
            if label in photo_folders and not places:
                return None  # the XML of a photo that is gone
            usual = bool(set(image) & set(IMAGE_FOLDERS))
            return photo, 0, _equal_ends(image, label), -min(places, default=len(_ANNOTATION_FOLDERS)), usual

        xmls = [one for one in self._files if one.lower().endswith(".xml")]
        return pair_labels(images, xmls, near, lambda one: photo_name(self.root / one))

    @cached_property
    def images(self) -> list[str]:
        """The photos, masks and previews apart, sorted: posix paths below the root."""
        return [one for one in self._files if is_image_name(one) and one not in self.pairs.passed_over]


def _equal_ends(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    """How many folders two paths have in common, from above and from below."""
    head = _equal_heads(one, other)
    return head + _equal_heads(one[head:][::-1], other[head:][::-1])


def _equal_heads(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


class FolderReader(LabelReader):
    """Images below a folder, each with its XML. whole: the set; folder: the split's part of it."""

    def __init__(self, whole: FolderSet, folder: Path | None = None) -> None:
        self.whole, self.path = whole, folder or whole.root
        self.list_path = self.image_folder = self.path
        below = self.path.relative_to(whole.root).as_posix()
        self._prefix = "" if below == "." else f"{below}/"
        names = [one.removeprefix(self._prefix) for one in whole.images if one.startswith(self._prefix)]
        self._names = {one: self._prefix + name for one, name in image_ids_of(names).items()}

    def image_ids(self, problems: Problems) -> list[str]:
        """The ids of all images, sorted by path."""
        return list(self._names)

    def image_path(self, image_id: str) -> Path | None:
        """The image of an id."""
        return self.whole.root / self._names[image_id]

    def labels(self, image_id: str, size: tuple[int, int] | None, problems: Problems) -> ImageLabels:
        """The XML of an id. Raises DataError; an image without one is left out: it may not be labelled yet."""
        name, pairs, path = self._names[image_id], self.whole.pairs, self.label_file(image_id)
        if path is None or not (name in pairs.labels or path.exists()):
            message = "no XML beside it; of an image without objects it has no <object>"
            message = pairs.unsure.get(name, message)
            raise DataError("image without annotation", self.whole.root / name, message)
        return read_annotation(path, problems)

    def label_file(self, image_id: str) -> Path | None:
        """The XML of an id; beside the photo where there is none."""
        name, pairs = self._names[image_id], self.whole.pairs
        if name in pairs.unsure:
            return None
        own = name if is_image_name(image_id) else without_extension(name)
        return self.whole.root / pairs.labels.get(name, f"{own}.xml")

    def save(self, image: ImageObjects, unchanged: Collection[int] = ()) -> None:
        """See `LabelReader.save`."""
        path = self.label_file(image.image_id)
        save_annotation(path, image, unchanged)
        self.whole.pairs.labels[self._names[image.image_id]] = path.relative_to(self.whole.root).as_posix()

    def passed_over(self) -> dict[Path, str]:
        """Masks, previews and drawings below the split's folder."""
        found = self.whole.pairs.passed_over.items()
        return {self.whole.root / one: why for one, why in found if one.startswith(self._prefix)}


def _looks_like(path: Path) -> bool:
    """Whether there are images and XML below, and no devkit, whose lists would be passed over."""
    if any(path.glob("*/ImageSets")) or any(path.glob("*/*/ImageSets")) or not path.is_dir():
        return False
    files = files_below(path, _FOLLOWED)
    xmls = [path / one for one in files if one.lower().endswith(".xml")]
    return any(own_kind(one) is None for one in xmls) and any(map(is_image_name, files))


def _open(path: Path, _: Path | None) -> FoundSet:
    if not path.is_dir():
        raise ValueError(f"{path}: expected a folder of images with XML, got a file")
    whole = FolderSet(path)
    folders = {name: folder for name, folder in split_folders(path).items() if images_below(folder)}
    folders = folders or deeper_split_folders(path, whole.images)
    splits = {name: partial(FolderReader, whole, folder) for name, folder in folders.items()}
    return FoundSet(path, splits, partial(FolderReader, whole), ".xml")


def _write(new: NewSet) -> None:
    for split, images in new.splits.items():
        is_whole = len(new.splits) == 1 and split_kind(split) not in SPLIT_NAMES
        place = new.folder if is_whole else new.folder / split
        place.mkdir(exist_ok=True)
        if is_whole:
            new.written_as[split] = "all"
        for image in images:
            path = new.put_image(image, place)
            # Of an id that ends as images do, the XML keeps that ending.
            name = f"{path.name}.xml" if is_image_name(image.image_id) else f"{path.stem}.xml"
            write_text(path.with_name(name), image_xml(image, new.name, new.lost))
    new.count_unused_classes()


# The XML of a devkit, and what a tool has put beside the labels, is no second format.
FOLDER = LabelFormat("folder", "images with XML beside them", _looks_like, _open, _write, fallback=True)
