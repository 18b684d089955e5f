"""A plain folder of images with Pascal VOC XML beside them, or in a folder of annotations."""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from detection.data.files import images_below, is_file, is_image_name, without_extension
from detection.data.formats.label_format import FoundSet, LabelFormat, NewSet
from detection.data.formats.voc_xml import image_xml, read_annotation
from detection.data.labels import ImageLabels, LabelReader
from detection.data.problems import DataError, Problems
from detection.data.split_names import SPLIT_NAMES, split_kind
from detection.storage import write_text

# Folders that hold images, and what may stand in their place for the annotations.
IMAGE_FOLDERS = ("images", "Images", "JPEGImages", "imgs")
_ANNOTATION_FOLDERS = ("Annotations", "annotations", "labels", "xml", "xmls")


def split_folders(root: Path) -> dict[str, Path]:
    """Split -> folder, for the subfolders of `root`, or of its folder of images, that are named as splits are."""
    found = {}
    for parent in (root, *(root / name for name in IMAGE_FOLDERS)):
        for child in sorted(parent.iterdir()) if parent.is_dir() else []:
            if child.name.lower() in SPLIT_NAMES and child.is_dir():
                found.setdefault(child.name, child)
    return found


def image_ids_of(names: Iterable[str]) -> dict[str, str]:
    """Image id -> name, in order: the name without its extension, or with it where two differ in nothing else.

    A folder of images at the beginning of all names is no part of the ids.
    """
    names = list(names)
    firsts = {PurePosixPath(name).parts[0] if "/" in name else "" for name in names}
    cut = len(next(iter(firsts))) + 1 if len(firsts) == 1 and firsts <= set(IMAGE_FOLDERS) else 0
    stems = [without_extension(name[cut:]) for name in names]
    counts = Counter(stems)
    return {name[cut:] if counts[stem] > 1 else stem: name for stem, name in zip(stems, names, strict=True)}


class FolderReader(LabelReader):
    """Images below a folder, each with its XML. root: the set; folder: the split's part of it."""

    def __init__(self, root: Path, folder: Path | None = None) -> None:
        self.root, self.path = root, folder or root
        self.list_path = self.image_folder = self.path
        self._names = image_ids_of(images_below(self.path))

    def image_ids(self, problems: Problems) -> list[str]:
        """The ids of all images, sorted by path."""
        return list(self._names)

    def image_path(self, image_id: str) -> Path | None:
        """The image of an id."""
        return self.path / self._names[image_id]

    def annotation_path(self, image_id: str) -> Path:
        """The XML of an id: beside the image, or in a folder of annotations; beside it where there is none."""
        image = self.path / self._names[image_id]
        places = [self.root / other for other in mirrored(image.relative_to(self.root), _ANNOTATION_FOLDERS)]
        beside = [image.with_suffix(".xml"), image.with_name(f"{image.name}.xml")]
        return next(filter(is_file, [*beside, *(place.with_suffix(".xml") for place in places)]), beside[0])

    def labels(self, image_id: str, size: tuple[int, int] | None, problems: Problems) -> ImageLabels:
        """The XML of an id. Raises DataError; an image without one is left out: it may not be labelled yet."""
        path = self.annotation_path(image_id)
        if not is_file(path):
            message = "no XML beside it; of an image without objects it has no <object>"
            raise DataError("image without annotation", self.path / self._names[image_id], message)
        return read_annotation(path, problems)


def mirrored(name: Path, others: Sequence[str]) -> list[Path]:
    """Where the label file of an image may lie, extension apart: below one of `others` in place of a folder of images.

    The last such folder first. An image below none: in a folder of that name at the top, or beside the image.
    """
    parts = name.parts
    places = [place for place, part in enumerate(parts[:-1]) if part in IMAGE_FOLDERS]
    if places:
        return [Path(*parts[:place], other, *parts[place + 1 :]) for other in others for place in reversed(places)]
    return [one for other in others for one in (Path(other, name), name.parent / other / name.name)]


def _looks_like(path: Path) -> bool:
    """Whether there are images and XML below, and no devkit, whose lists would be passed over."""
    devkits = [one for pattern in ("*/ImageSets/Main", "*/*/ImageSets/Main") for one in path.glob(pattern)]
    return not devkits and next(path.rglob("*.xml"), None) is not None and bool(images_below(path))


def _open(path: Path, _: Path | None) -> FoundSet:
    if not path.is_dir():
        raise ValueError(f"{path}: expected a folder of images with XML, got a file")
    folders = {name: folder for name, folder in split_folders(path).items() if images_below(folder)}
    splits = {name: partial(FolderReader, path, folder) for name, folder in folders.items()}
    return FoundSet(path, splits, partial(FolderReader, path), ".xml")


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
