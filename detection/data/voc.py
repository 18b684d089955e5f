"""A Pascal VOC devkit's folders and files: YEAR/{Annotations,JPEGImages,ImageSets/Main}.

Where a file lies, what a split file and an annotation say, and how an annotation is written. VOC's boxes are
1-based and inclusive; they become half-open here, ``(xmin - 1, ymin - 1, xmax, ymax)``, and go back here.
"""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from xml.sax.saxutils import escape

from detection.data.images import IMAGE_EXTENSIONS
from detection.data.problems import DataError, Problems

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

# Above any real annotation (some 100,000 objects); larger files are refused unread.
MAX_ANNOTATION_BYTES = 2**25
_COORDINATES = ("xmin", "ymin", "xmax", "ymax")
# ImageSets/Main/CLASS_SPLIT.txt: id, blanks, and 1 (has the class), -1 (has not) or 0 (difficult ones only).
_LABELLED_LINE = re.compile(r"(.*\S)\s+(?:-1|0|1)")
_BYTE_ORDER_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


@dataclass(frozen=True)
class VocObject:
    """One object as its file has it. index: its place in the file from 1. box: half-open, float, not clipped."""

    index: int
    name: str
    box: tuple[float, float, float, float]
    difficult: bool


@dataclass(frozen=True)
class VocAnnotation:
    """What one annotation file says. size: its (height, width), or None where it gives none."""

    path: Path
    size: tuple[int, int] | None
    objects: tuple[VocObject, ...]


class VocFolder:
    """The files of one year folder of a devkit."""

    def __init__(self, root: Path | str, year: str) -> None:
        self.path = Path(root) / year
        self._listings: dict[Path, list[Path]] = {}

    def split_path(self, split: str) -> Path:
        """Where the list of a split's images lies."""
        return self.path / "ImageSets" / "Main" / f"{split}.txt"

    def image_path(self, image_id: str) -> Path | None:
        """The image of an id that may hold folders and its extension; None where there is none.

        Extensions are tried in the order of IMAGE_EXTENSIONS, first in small letters, then in any case.
        """
        base = self.path / "JPEGImages" / image_id
        if base.suffix.lower() in IMAGE_EXTENSIONS and _is_file(base):
            return base
        usual = base.with_name(base.name + IMAGE_EXTENSIONS[0])
        return usual if _is_file(usual) else self._look_for(base)

    def annotation_path(self, image_id: str) -> Path:
        """The annotation file of an id, whether or not it exists."""
        base = self.path / "Annotations" / image_id
        path = base.with_name(base.name + ".xml")
        if base.suffix.lower() in IMAGE_EXTENSIONS and not _is_file(path):
            return base.with_suffix(".xml")
        return path

    def _look_for(self, base: Path) -> Path | None:
        if base.parent not in self._listings:
            self._listings[base.parent] = sorted(base.parent.iterdir()) if base.parent.is_dir() else []
        named = {base.stem, base.name} if base.suffix.lower() in IMAGE_EXTENSIONS else {base.name}
        found = [
            path
            for path in self._listings[base.parent]
            if path.stem in named and path.suffix.lower() in IMAGE_EXTENSIONS and _is_file(path)
        ]
        return min(found, key=lambda path: (IMAGE_EXTENSIONS.index(path.suffix.lower()), path.name), default=None)


def read_split_file(folder: VocFolder, split: str, problems: Problems) -> list[str]:
    """The image ids of a split, in order, each once.

    Blank lines, a byte order mark and Windows line ends are passed over. Where every line ends in 1, -1 or 0,
    and no image has a whole line's name, that column is the class label of a ``CLASS_SPLIT.txt`` and is dropped.
    An id that would leave the folder, and one listed again, is left out and counted.
    Raises ValueError for an empty split or a file that is not text.
    """
    path = folder.split_path(split)
    lines = [line for line in map(str.strip, _read_text(path).split("\n")) if line]
    if not lines:
        raise ValueError(f"{path}: expected one image id a line, got an empty split")
    labelled = [_LABELLED_LINE.fullmatch(line) for line in lines]
    if all(labelled) and not any(_stays_inside(line) and folder.image_path(line) for line in lines):
        lines = [match[1] for match in labelled]
    ids: dict[str, None] = {}
    for line in lines:
        if not _stays_inside(line):
            problems.skip("image id that leaves the folder", path, f"expected a relative path without .., got {line!r}")
        elif line in ids:
            problems.skip("image id listed again", path, repr(line))
        else:
            ids[line] = None
    return list(ids)


def read_annotation(path: Path, problems: Problems) -> VocAnnotation:
    """Read one annotation file; objects that cannot be used are left out, swapped corners mended, all counted.

    A document type declaration is refused, and with it every XML entity, internal or external: they have no use
    here, and are how a small file becomes a huge one or pulls in others.
    Raises DataError for a file that is missing, too large, not XML or not an annotation.
    """
    root = _parse(path)
    if root.tag != "annotation":
        raise DataError("malformed annotation", path, f"expected the root <annotation>, got <{root.tag}>")
    objects = []
    for index, element in enumerate(root.findall("object"), start=1):
        try:
            objects.append(_read_object(element, index, path, problems))
        except DataError as error:
            problems.skip_error(error)
    return VocAnnotation(path, _read_size(root), tuple(objects))


def clean_name(name: str) -> str:
    """A class name without blanks around it and with single ones inside."""
    return " ".join(name.split())


def annotation_xml(
    filename: str,
    size: tuple[int, int],
    objects: Iterable[tuple[str, Sequence[float], bool]],
    folder: str = "VOC2007",
    source: str = "",
) -> str:
    """The text of an annotation file for (name, half-open box in px, difficult) objects; size is (height, width).

    Whole coordinates are written as integers, others with all their digits, so that `read_annotation` gives the
    same float32 boxes for coordinates that are 0 or at least 2^-29. source: where the image is from.
    """
    lines = ["<annotation>", f"  <folder>{escape(folder)}</folder>", f"  <filename>{escape(filename)}</filename>"]
    if source:
        lines.append(f"  <source><image>{escape(source)}</image></source>")
    lines.append(f"  <size><width>{size[1]}</width><height>{size[0]}</height><depth>3</depth></size>")
    for name, (x1, y1, x2, y2), difficult in objects:
        corners = zip(_COORDINATES, (float(x1) + 1, float(y1) + 1, float(x2), float(y2)), strict=True)
        box = "".join(f"<{tag}>{_number(value)}</{tag}>" for tag, value in corners)
        lines.append(
            f"  <object><name>{escape(name)}</name><truncated>0</truncated>"
            f"<difficult>{int(difficult)}</difficult><bndbox>{box}</bndbox></object>"
        )
    return "\n".join([*lines, "</annotation>", ""])


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name too long for the file system
        return False


def _stays_inside(image_id: str) -> bool:
    windows = PureWindowsPath(image_id)
    parts = (*PurePosixPath(image_id).parts, *windows.parts)
    return not (image_id.startswith(("/", "\\")) or windows.anchor or ".." in parts or "\0" in image_id)


def _read_text(path: Path) -> str:
    content = path.read_bytes()
    try:
        return content.decode(_BYTE_ORDER_MARKS.get(content[:2], "utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: expected UTF-8 text, got {error}") from error


class _BuilderWithoutDoctype(ElementTree.TreeBuilder):
    def doctype(self, name: str, *_: object) -> None:
        raise DataError("malformed annotation", "", f"expected no document type declaration, got <!DOCTYPE {name}>")


def _parse(path: Path) -> ElementTree.Element:
    try:
        if path.stat().st_size > MAX_ANNOTATION_BYTES:
            raise DataError("annotation too large", path, f"expected at most {MAX_ANNOTATION_BYTES} bytes")
        content = path.read_bytes().lstrip()
    except FileNotFoundError as error:
        raise DataError("missing annotation", path, "no such file") from error
    except OSError as error:
        raise DataError("unreadable annotation", path, str(error)) from error
    try:
        return ElementTree.fromstring(content, ElementTree.XMLParser(target=_BuilderWithoutDoctype()))
    except DataError as error:
        raise DataError(error.kind, path, error.message) from None
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise DataError("malformed annotation", path, f"expected XML, got {error}") from error


def _read_size(root: ElementTree.Element) -> tuple[int, int] | None:
    height, width = root.findtext("size/height"), root.findtext("size/width")
    if height is None or width is None:
        return None
    try:
        return int(float(height)), int(float(width))
    except (ValueError, OverflowError):
        return 0, 0


def _read_object(element: ElementTree.Element, index: int, path: Path, problems: Problems) -> VocObject:
    raw_name = element.findtext("name") or ""
    name = clean_name(raw_name)
    if not name:
        raise DataError("object without a name", path, f"object {index}")
    if name != raw_name:
        problems.mend("blanks in a class name", path, f"object {index}: {raw_name!r}, read as {name!r}")
    box = _read_box(element, f"object {index} ({name})", path, problems)
    return VocObject(index, name, box, _read_difficult(element, f"object {index} ({name})", path, problems))


def _read_box(
    element: ElementTree.Element, what: str, path: Path, problems: Problems
) -> tuple[float, float, float, float]:
    if element.find("bndbox") is None:
        raise DataError("object without a box", path, what)
    texts = [element.findtext(f"bndbox/{side}") for side in _COORDINATES]
    try:
        corners = [float(text) for text in texts]
    except (TypeError, ValueError):
        corners = [math.nan]
    if not all(map(math.isfinite, corners)):
        raise DataError("box that is not four numbers", path, f"{what}: {dict(zip(_COORDINATES, texts, strict=True))}")
    (x1, x2), x_swapped = _half_open(corners[0], corners[2])
    (y1, y2), y_swapped = _half_open(corners[1], corners[3])
    if x_swapped or y_swapped:
        problems.mend("box with swapped corners", path, f"{what}: {corners}")
    if not (x1 < x2 and y1 < y2):
        raise DataError("empty box", path, f"{what}: {corners}")
    return x1, y1, x2, y2


def _half_open(low: float, high: float) -> tuple[tuple[float, float], bool]:
    """(low - 1, high) of a 1-based inclusive interval, whose length is high - low + 1; swapped if that is < 0."""
    swapped = high - low + 1 < 0
    low, high = (high, low) if swapped else (low, high)
    return (low - 1, high), swapped


def _read_difficult(element: ElementTree.Element, what: str, path: Path, problems: Problems) -> bool:
    text = (element.findtext("difficult") or "0").strip()
    if text not in ("0", "1"):
        problems.mend("difficult neither 0 nor 1", path, f"{what}: {text!r}, read as 0")
    return text == "1"
