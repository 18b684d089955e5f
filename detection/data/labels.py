"""What label files say, whatever their format: boxes already half-open, names as they stand, nothing filtered yet."""

import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np

from detection.data.problems import DataError, Problems
from detection.storage import shortened

# Letters of a class name; longer ones are damage, and would fill messages and file names.
MAX_NAME = 200
_BYTE_ORDER_MARK = "\ufeff"
_NO_CHARACTERS = "\ufffe\uffff"
# Below this every number is finite in float32: no need to convert it.
_SURELY_FITS = 1e30

Box = tuple[float, float, float, float]
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class LabelledObject:
    """One object as its file has it.

    index: its place in the file from 1. name: its class. box: half-open x1, y1, x2, y2 in px, not clipped. line: its
    line in the file, 0 where that is not known. extras: what else the file says of it (pose, truncated, ...).
    area: px^2 of its mask, None where the file gives none.
    """

    index: int
    name: str
    box: Box
    difficult: bool
    line: int = 0
    extras: Mapping[str, Any] = field(default_factory=dict)
    area: float | None = None


@dataclass(frozen=True)
class ImageLabels:
    """What a label file says of one image.

    size: (height, width) as the file has it, None where it gives none. rounding: px by which boxes may reach outside
    the image because the format rounds its numbers. found: objects that the file has of the image, counted before any
    of them is read: those that could not be used are in it; None where the format does not count.
    """

    path: Path
    size: tuple[int, int] | None
    objects: tuple[LabelledObject, ...]
    rounding: float = 0.0
    found: int | None = None


@dataclass(frozen=True)
class ImageObjects:
    """An image and its objects after the policy for faulty data: boxes inside the image and of positive area.

    size: (height, width) in px of the frame the boxes are in. labels: the file that they are from.
    """

    image_id: str
    path: Path
    size: tuple[int, int]
    objects: tuple[LabelledObject, ...]
    labels: Path


class LabelReader:
    """One split of a data set in one format.

    path: the file or folder to name in messages. list_path: the file that lists the images, or the folder they are
    listed from. image_folder: where they are looked for. classes: the names that the set itself declares, in its order;
    None where it declares none. source_ids: image id -> the id that results files for this set use, where that is
    another (COCO's numbers). category_ids: the numbers that results files use for `classes`, None for their places.
    tells_polygons: whether it is noted how many polygons were read as their boxes. stray_objects: objects of the file
    that belong to none of its images.
    """

    path: Path
    list_path: Path
    image_folder: Path
    classes: tuple[str, ...] | None = None
    source_ids: Mapping[str, str] = MappingProxyType({})
    category_ids: tuple[int, ...] | None = None
    tells_polygons = False
    stray_objects = 0

    def image_ids(self, problems: Problems) -> list[str]:
        """The ids of the split's images in order, each once."""
        raise NotImplementedError

    def image_path(self, image_id: str) -> Path | None:
        """The image of an id, None where there is none."""
        raise NotImplementedError

    def labels(self, image_id: str, size: tuple[int, int] | None, problems: Problems) -> ImageLabels:
        """What is said of an image whose upright size is (height, width). Raises DataError.

        size: None where only names are wanted: boxes may then be in any unit.
        """
        raise NotImplementedError

    def label_file(self, image_id: str) -> Path | None:
        """The file of an image's labels alone, there or not; None where there is no such file, or it is not sure which
        it is.
        """
        return None

    def renew(self) -> None:
        """Read again what was read once for all images, where the file has changed since. Raises DataError."""

    def save(self, image: ImageObjects, unchanged: Collection[int] = ()) -> None:
        """Write an image's objects, atomically, in place of those that its labels hold.

        An object with an index takes the place of that object of the file, and what else the file says of it stays; one
        of index 0 is new. unchanged: the indices of those that stay as the file has them. Raises ValueError where the
        format cannot hold them, DataError for a file that cannot be read.
        """
        raise ValueError(f"{self.path}: labels of {image.image_id!r} cannot be written: the format has no way to")

    def passed_over(self) -> Mapping[Path, str]:
        """Files that a folder of the split holds, that look like photos or labels and are meant to be neither, as masks
        and read-me files are; file -> why it is passed over.
        """
        return {}


def remembering(reader: LabelReader, memory: dict[str, tuple]) -> LabelReader:
    """A reader that reads the labels of an image once, and then has them from `memory`; readers of one split may share
    that. It reads again for another size, but not where only names are wanted.
    """
    read = reader.labels

    def labels(image_id: str, size: tuple[int, int] | None, problems: Problems) -> ImageLabels:
        if image_id not in memory or size not in (None, memory[image_id][0]):
            own = Problems()
            try:
                found = read(image_id, size, own)
            except DataError as error:
                found = error.args
            memory[image_id] = size, found, own.records
        _, found, records = memory[image_id]
        problems.extend(records)
        if not isinstance(found, ImageLabels):
            raise DataError(*found)
        return found

    reader.labels = labels
    return reader


def read_each(items: Iterable[Item], read: Callable[[Item], LabelledObject], problems: Problems) -> Iterator:
    """What `read` makes of each object; those that raise DataError are left out and counted."""
    for item in items:
        try:
            yield read(item)
        except DataError as error:
            problems.skip_error(error, objects=1)


def ordered_box(corners: Box, what: str, path: Path, line: int, problems: Problems) -> Box:
    """A half-open box with its corners in order; swapped ones are repaired. Raises DataError for an empty box."""
    x1, y1, x2, y2 = corners
    if x2 < x1 or y2 < y1:
        problems.repair("box with swapped corners", path, f"{what}: {corners}", line)
        x1, y1, x2, y2 = min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)
    if not (x1 < x2 and y1 < y2):
        raise DataError("empty box", path, f"{what}: {corners}", line)
    return x1, y1, x2, y2


def fits_float32(corners: Box) -> bool:
    """Whether all are finite in float32."""
    if all(-_SURELY_FITS < one < _SURELY_FITS for one in corners):  # ten times faster
        return True
    with np.errstate(over="ignore"):
        return bool(np.isfinite(np.array(corners, dtype=np.float64).astype(np.float32)).all())


def class_name(raw: object, path: object, what: str = "", line: int = 0, problems: Problems | None = None) -> str:
    """A class name as it is known everywhere: the text as written, single blanks in it and none around it.

    Every name that enters the program comes through here: of label files, lists and options. path: the file or option
    it is from. problems: takes what was repaired. No normal form is imposed: names that differ in it alone stay two.
    Raises DataError for what is no text, for none, for one of more than MAX_NAME letters, and for control characters,
    lone surrogates and the codes that are no characters: a list of names, XML or UTF-8 cannot hold those.
    """
    what = f"{what}: " if what else ""
    if not isinstance(raw, str):
        raise DataError("class name that is no text", path, f"{what}expected text, got {shortened(repr(raw))}", line)
    name = " ".join(raw.replace(_BYTE_ORDER_MARK, " ").split())
    if not name:
        raise DataError("object without a name", path, f"{what}expected a class name, got {shortened(raw)!r}", line)
    if len(name) > MAX_NAME:
        message = f"{what}expected at most {MAX_NAME} letters, got {len(name)}: {shortened(name)!r}"
        raise DataError("class name too long", path, message, line)
    if odd := [one for one in name if unicodedata.category(one) in ("Cc", "Cs") or one in _NO_CHARACTERS]:
        message = f"{what}expected letters, digits and signs, got {odd[0]!r} in {shortened(name)!r}"
        raise DataError("class name that no file can hold", path, message, line)
    if name != raw and problems is not None:
        problems.repair("blanks in a class name", path, f"{what}{shortened(raw)!r}, read as {name!r}", line)
    return name
