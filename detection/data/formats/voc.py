"""A Pascal VOC devkit's folders and files: YEAR/{Annotations,JPEGImages,ImageSets/Main}.

Where a file lies, what a split file and an annotation say, and how an annotation is written. VOC's boxes are
1-based and inclusive; they become half-open here, ``(xmin - 1, ymin - 1, xmax, ymax)``, and go back here.
"""

import re
from collections.abc import Collection
from functools import partial
from pathlib import Path, PurePosixPath

from detection.data.files import (
    ImageFinder,
    Tree,
    content,
    head_text,
    is_image_name,
    read_text,
    stays_inside,
    without_extension,
)
from detection.data.formats.folder import IMAGE_FOLDERS
from detection.data.formats.label_format import FoundSet, LabelFormat, NewSet
from detection.data.formats.voc_xml import image_xml, photo_name, read_annotation, save_annotation
from detection.data.labels import ImageLabels, ImageObjects, LabelReader
from detection.data.problems import Problems
from detection.data.split_names import TEST_SPLIT, TRAIN_SPLIT, is_split_name, parts_of_others, split_kind
from detection.storage import shortened, write_text

# The 20 classes in the devkit's order (VOCcode/VOCinit.m).
VOC_CLASSES = (
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)

# ImageSets/Main/CLASS_SPLIT.txt: id, blanks, and 1 (has the class), -1 (has not) or 0 (difficult ones only).
_LABELLED_LINE = re.compile(r"(.*\S)\s+(?:-1|0|1)")
# Where the lists of images lie. Some programs leave the second folder out.
_LISTS = ("ImageSets/Main", "ImageSets")
# Of several year folders below a root, the one that is meant where none is named.
_USUAL_YEAR = "VOC2007"


class VocFolder:
    """The files of one year folder of a devkit; names of folders and files in any case."""

    def __init__(self, root: Path | str, year: str) -> None:
        self.path = Path(root) / year
        self._tree = Tree(self.path)
        folders = filter(None, map(self._tree.find, ("JPEGImages", *IMAGE_FOLDERS)))
        self.image_folder = next(folders, self.path / "JPEGImages")
        self._images = ImageFinder(self.image_folder)

    def path_of(self, name: str) -> Path:
        """Where a folder of the devkit lies, whether or not it exists."""
        return self._tree.find(name) or self.path / name

    def split_path(self, split: str) -> Path:
        """Where the list of a split's images lies."""
        name = f"{self.list_folder}/{split}.txt"
        return self._tree.find(name) or self.path / name

    @property
    def list_folder(self) -> str:
        """The folder of the lists: ImageSets/Main, or ImageSets where lists of splits lie in it, and none in Main."""
        return _LISTS[bool(not self._lists_in(_LISTS[0]) and self._lists_in(_LISTS[1]))]

    def splits(self) -> list[str]:
        """The names of the lists, sorted."""
        return self._lists_in(self.list_folder)

    def _lists_in(self, name: str) -> list[str]:
        found = sorted(one.stem for one in self.path_of(name).glob("*") if one.suffix.lower() == ".txt")
        if name == _LISTS[0]:
            return found
        # Here there may be texts of any kind, also beside labels of another format.
        has_labels = self.path_of("Annotations").is_dir()
        return [one for one in found if has_labels and is_split_name(one.rpartition("_")[2])]

    def image_path(self, image_id: str) -> Path | None:
        """The image of an id that may hold folders and its extension; see `ImageFinder`.

        Of several files of an id without extension, the one that the annotation names.
        """
        found = self._images.find(image_id)
        if found is not None and found.name != PurePosixPath(image_id).name:
            several = self._images.all_of(image_id)
            if len(several) > 1 and (name := photo_name(self.annotation_path(image_id))):
                return next((one for one in several if one.name.casefold() == name.casefold()), found)
        return found

    def same_name(self, image_id: str) -> list[Path]:
        """All pictures that an id may mean."""
        return self._images.all_of(image_id)

    def annotation_path(self, image_id: str) -> Path:
        """The annotation file of an id, whether or not it exists."""
        base = self.path_of("Annotations") / image_id
        name, stem = (f"Annotations/{one}.xml" for one in (image_id, without_extension(image_id)))
        found = self._tree.find(name) or self._tree.find(stem)
        return found or (base.with_suffix(".xml") if is_image_name(base) else base.with_name(base.name + ".xml"))


class VocReader(LabelReader):
    """Some lists of a year folder, joined."""

    def __init__(self, folder: VocFolder, *splits: str) -> None:
        self.folder, self.splits = folder, splits
        self.path, self.list_path = folder.path, folder.split_path(splits[0])
        self.image_folder = folder.image_folder

    def image_ids(self, problems: Problems) -> list[str]:
        """The ids of the lists in order, each once."""
        return list(dict.fromkeys(one for name in self.splits for one in read_split_file(self.folder, name, problems)))

    def image_path(self, image_id: str) -> Path | None:
        """The image of an id, None where there is none."""
        return self.folder.image_path(image_id)

    def labels(self, image_id: str, size: tuple[int, int] | None, problems: Problems) -> ImageLabels:
        """The annotation file of an id. Raises DataError."""
        return read_annotation(self.label_file(image_id), problems)

    def label_file(self, image_id: str) -> Path:
        """The annotation file of an id."""
        return self.folder.annotation_path(image_id)

    def save(self, image: ImageObjects, unchanged: Collection[int] = ()) -> None:
        """See `LabelReader.save`."""
        save_annotation(self.label_file(image.image_id), image, unchanged)

    def passed_over(self) -> dict[Path, str]:
        """Masks and previews: pictures of a listed photo's name."""
        photos = {path: one for one in self.image_ids(Problems()) if (path := self.image_path(one)) is not None}
        same = {other: photo for photo, one in photos.items() for other in self.folder.same_name(one)}
        return {one: f"{photo} is the photo of that name" for one, photo in same.items() if one not in photos}


def read_split_file(folder: VocFolder, split: str, problems: Problems) -> list[str]:
    """The image ids of a split, in order, each once.

    Blank lines, a byte order mark and Windows line ends are passed over. Where every line ends in 1, -1 or 0,
    and no image has a whole line's name, that column is the class label of a ``CLASS_SPLIT.txt`` and is dropped.
    An id that would leave the folder, and one listed again, is left out and counted.
    Raises ValueError for an empty split or a file that is not text.
    """
    path = folder.split_path(split)
    lines = [line for line in map(str.strip, read_text(path, "list of images").split("\n")) if line]
    if not lines:
        raise ValueError(f"{path}: expected one image id a line, got an empty split")
    labelled = [_LABELLED_LINE.fullmatch(line) for line in lines]
    if all(labelled) and not any(stays_inside(line) and folder.image_path(line) for line in lines):
        lines = [match[1] for match in labelled]
    ids: dict[str, None] = {}
    for line in lines:
        if not stays_inside(line):
            message = f"expected a relative path without .., got {shortened(line)!r}"
            problems.skip("image id that leaves the folder", path, message)
        elif line in ids:
            problems.skip("image id listed again", path, repr(shortened(line)))
        else:
            ids[line] = None
    return list(ids)


def year_folder(path: Path) -> Path | None:
    """The year folder that a path is, or the one it holds, VOC2007 of several; None where there is none.

    Raises ValueError for several others.
    """
    if not path.is_dir() or VocFolder(path, "").splits():
        return path if path.is_dir() else None
    found = [one for one in sorted(path.iterdir()) if one.is_dir() and VocFolder(one, "").splits()]
    usual = [one for one in found if one.name == _USUAL_YEAR]
    if len(found) > 1 and not usual:
        raise ValueError(f"{path}: expected one year, got {', '.join(one.name for one in found)}; year says which")
    return (usual or found or [None])[0]


def _open(path: Path, _: Path | None) -> FoundSet:
    year = year_folder(path)
    if year is None:
        raise ValueError(f"{path}: expected ImageSets/Main with lists of images (VOC); {content(path)}")
    folder = VocFolder(year, "")
    for path in (folder.path_of("Annotations"), folder.image_folder):
        if not path.is_dir():
            raise ValueError(f"{path}: expected a folder, found none; {content(year)}")
    names = folder.splits()
    splits = {name: partial(VocReader, folder, name) for name in names}
    of_classes = _lists_of_classes(folder)
    for split in dict.fromkeys(of_classes.values()):  # VoTT writes no others
        lists = [name for name, one in of_classes.items() if one == split]
        splits.setdefault(split, partial(VocReader, folder, *lists))
    whole = partial(VocReader, folder, *(name for name in names if name not in of_classes))
    parts = set(of_classes) | parts_of_others(splits)
    kinds = set(map(split_kind, splits))
    # Half a devkit is not the whole of a set to be divided.
    fixed = TRAIN_SPLIT in kinds or (TEST_SPLIT in kinds and "train" not in kinds)
    told = "" if folder.list_folder == _LISTS[0] else f"lists of images in {folder.list_folder}, without Main"
    return FoundSet(year, splits, whole, ".xml", parts, fixed_splits=fixed, told=told)


def _lists_of_classes(folder: VocFolder) -> dict[str, str]:
    """List of the images of a class -> the split it is of: cat_train -> train, and cat_default where it says which
    images have the class.
    """
    names = folder.splits()
    ends = {one: one.rpartition("_")[2] for one in names if one.rpartition("_")[0]}

    def has_labels(name: str) -> bool:
        line = head_text(folder.split_path(name)).partition("\n")[0]
        return _LABELLED_LINE.fullmatch(line.strip()) is not None

    return {one: end for one, end in ends.items() if is_split_name(end) or (end in names and has_labels(one))}


def _write(new: NewSet) -> None:
    images, annotations = new.folder / "JPEGImages", new.folder / "Annotations"
    for folder in (images, annotations):
        folder.mkdir()
    for split, members in new.splits.items():
        ids = "".join(f"{one.image_id}\n" for one in members)
        write_text(new.folder / "ImageSets" / "Main" / f"{split}.txt", ids)
        for image in members:
            path = annotations / f"{image.image_id}.xml"
            if not path.exists():  # of two splits that share it
                new.put_image(image, images)
                write_text(path, image_xml(image, new.name, new.lost))
    # Datumaro takes no other class than those of this list; a colon ends a name there.
    write_text(new.folder / "labelmap.txt", "".join(f"{name}:::\n" for name in new.classes if ":" not in name))
    new.count_unused_classes()


VOC = LabelFormat("voc", "ImageSets/Main (VOC)", lambda path: year_folder(path) is not None, _open, _write)
