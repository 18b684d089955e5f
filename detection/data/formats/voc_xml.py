"""Pascal VOC's annotation files. Their boxes are 1-based and inclusive; they become half-open here,
``(xmin - 1, ymin - 1, xmax, ymax)``, and go back here.
"""

import math
import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import NoReturn
from xml.parsers import expat
from xml.sax.saxutils import escape

from detection.data.files import MAX_LABEL_BYTES, read_small
from detection.data.formats.label_format import image_file_name, simple_extras
from detection.data.labels import (
    Box,
    ImageLabels,
    ImageObjects,
    LabelledObject,
    class_name,
    fits_float32,
    read_each,
)
from detection.data.problems import DataError, Problems
from detection.storage import error_text, shortened, write_text
from detection.storage.bounded import decode_text

# Some 50,000 objects of ten elements each; they take a few seconds and 200 MB.
MAX_ELEMENTS = 500_000
MAX_DEPTH = 32
_COORDINATES = ("xmin", "ymin", "xmax", "ymax")
_TAG = re.compile(r"[A-Za-z_][\w.-]*")
# An XML that says it is in anything but UTF-8.
_OTHER_ENCODING = re.compile(rb"""<\?xml[^>]*encoding\s*=\s*["'](?!utf-?8["'])""", re.IGNORECASE)
# Elements that are known in any case: some tools write <Object>.
_KNOWN_TAGS = frozenset(
    [*_COORDINATES, "annotation", "filename", "size", "width", "height", "object", "name", "difficult", "bndbox"]
)
# Elements of an object that are written from the record itself.
_OWN_TAGS = frozenset(["name", "difficult", "bndbox", "segmentation", "part"])


def read_annotation(path: Path, problems: Problems) -> ImageLabels:
    """Read one annotation file; objects that cannot be used are left out, swapped corners repaired, all counted.

    A document type declaration is refused, and with it every XML entity, internal or external: they have no use
    here, and are how a small file becomes a huge one or pulls in others.
    Raises DataError for a file that is missing, too large, not XML or not an annotation.
    """
    root = _parse(path)
    if root.tag != "annotation":
        raise DataError("malformed annotation", path, f"expected the root <annotation>, got <{root.tag}>")
    elements = enumerate(root.iter("object"), start=1)
    boxes = [(*one, *box) for one in elements for box in enumerate(_boxes_of(*one, path, problems), start=1)]
    objects = tuple(read_each(boxes, lambda one: _read_object(*one, path, problems), problems))
    return ImageLabels(path, _read_size(root, path, problems), objects, found=len(boxes))


def _boxes_of(index: int, element: "_Element", path: Path, problems: Problems) -> list["_Element | None"]:
    """The boxes of an object, [None] where it has none; each of several is an object of its name."""
    found = list(_own_boxes(element))
    for further in found[1:]:
        message = f"object {index} ({shortened(element.findtext('name') or '')}): read as an object of its own"
        problems.repair("further box in an object", path, message, further.line)
    return found or [None]


def _own_boxes(element: "_Element") -> Iterator["_Element"]:
    """The boxes in an element that are not of its parts, nor of objects in it."""
    for child in element:
        if child.tag == "bndbox":
            yield child
        elif child.tag not in ("part", "object"):
            yield from _own_boxes(child)


def photo_name(path: Path) -> str | None:
    """The name of the photo that an annotation file says it is of, without folders; None where it says none."""
    try:
        name = _parse(path).findtext("filename") or ""
    except DataError:  # told where the file is read
        return None
    return name.strip().replace("\\", "/").rpartition("/")[2] or None


def annotation_xml(
    filename: str,
    size: tuple[int, int],
    objects: Iterable[tuple[str, Sequence[float], bool] | tuple[str, Sequence[float], bool, Mapping[str, object]]],
    folder: str = "VOC2007",
    source: str = "",
) -> str:
    """The text of an annotation file for (name, half-open box in px, difficult) objects; size is (height, width).

    Whole coordinates are written as integers, others with all their digits, so that `read_annotation` gives the
    same float32 boxes for coordinates that are 0 or at least 2^-29. A fourth member of an object: what else is said of
    it, tag -> text. source: where the image is from.
    """
    lines = ["<annotation>", f"  <folder>{escape(folder)}</folder>", f"  <filename>{escape(filename)}</filename>"]
    if source:
        lines.append(f"  <source><image>{escape(source)}</image></source>")
    lines.append(f"  <size><width>{size[1]}</width><height>{size[0]}</height><depth>3</depth></size>")
    for name, (x1, y1, x2, y2), difficult, *rest in objects:
        corners = zip(_COORDINATES, (float(x1) + 1, float(y1) + 1, float(x2), float(y2)), strict=True)
        box = "".join(f"<{tag}>{_number(value)}</{tag}>" for tag, value in corners)
        lines.append(
            f"  <object><name>{escape(name)}</name>{_tags({'truncated': 0, **(rest[0] if rest else {})})}"
            f"<difficult>{int(difficult)}</difficult><bndbox>{box}</bndbox></object>"
        )
    return "\n".join([*lines, "</annotation>", ""])


def _tags(values: Mapping[str, object]) -> str:
    return "".join(f"<{tag}>{escape(str(value))}</{tag}>" for tag, value in values.items())


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)


class _Element(ElementTree.Element):
    """An element that knows its line."""

    line = 0


def _tree(content: bytes, first_line: int) -> _Element:
    """The root of an XML text that begins below first_line lines.

    Raises DataError for a document type declaration, and beyond MAX_ELEMENTS and MAX_DEPTH.
    """
    builder, parser = ElementTree.TreeBuilder(element_factory=_Element), expat.ParserCreate()
    count = depth = 0

    def known(tag: str) -> str:
        return small if (small := tag.lower()) in _KNOWN_TAGS else tag

    def refuse(message: str) -> NoReturn:
        raise DataError("malformed annotation", "", message, parser.CurrentLineNumber + first_line)

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal count, depth
        count, depth = count + 1, depth + 1
        if count > MAX_ELEMENTS:
            refuse(f"expected at most {MAX_ELEMENTS:,} elements (an object has some ten), got more")
        if depth > MAX_DEPTH:
            refuse(f"expected elements at most {MAX_DEPTH} deep, got deeper ones")
        builder.start(known(tag), attributes).line = parser.CurrentLineNumber + first_line

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(known(tag))

    def refuse_doctype(name: str, *_: object) -> None:
        refuse(f"expected no document type declaration, got <!DOCTYPE {shortened(name)}>")

    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = builder.data, refuse_doctype
    parser.Parse(content, True)
    return builder.close()


def _parse(path: Path) -> _Element:
    stored = read_small(path, MAX_LABEL_BYTES, "annotation")
    content = stored.lstrip()
    try:
        return _tree(content, stored[: len(stored) - len(content)].count(b"\n"))
    except DataError as error:
        raise DataError(error.kind, path, error.message, error.line) from None
    except expat.ExpatError as error:
        message = f"expected XML, got {expat.ErrorString(error.code)}, column {error.offset}"
        if not _OTHER_ENCODING.match(content):
            try:
                decode_text(stored, path)
            except ValueError as not_text:
                message += f"; {str(not_text).removeprefix(f'{path}: ')}"
        raise DataError("malformed annotation", path, message, error.lineno) from error
    except (LookupError, ValueError) as error:
        raise DataError(
            "malformed annotation", path, f"expected XML, got {error_text(error)}; save the file as UTF-8"
        ) from error


def _read_size(root: _Element, path: Path, problems: Problems) -> tuple[int, int] | None:
    height, width = root.findtext("size/height"), root.findtext("size/width")
    if height is None or width is None:
        return None
    try:
        size = int(float(height)), int(float(width))
    except (ValueError, OverflowError):
        message = f"expected numbers, got {shortened(height)!r} and {shortened(width)!r}; the image's size is used"
        problems.repair("image size that is not the image's", path, message, root.find("size").line)
        return None
    return size if any(size) else None  # LabelImg writes 0 for what it does not know


def _read_object(
    index: int, element: _Element, number: int, box: _Element | None, path: Path, problems: Problems
) -> LabelledObject:
    """The object of the box of this number, from 1, of an element."""
    raw_name, line = element.findtext("name") or "", element.line
    which = f"object {index}" if number == 1 else f"object {index}, box {number}"
    if len(names := {(one.text or "").strip() for one in element.findall("name")}) > 1:
        message = f"{which}: expected one, got {shortened(', '.join(sorted(names)))}"
        raise DataError("object of several names", path, message, line)
    name = class_name(raw_name, path, which, line, problems)
    what = f"{which} ({name})"
    if box is None:
        raise DataError("object without a box", path, what, line)
    corners = _read_box(box, what, path, problems)
    difficult = _read_difficult(element, what, path, problems)
    return LabelledObject(index, name, corners, difficult, line, extras=_extras(element))


def _extras(element: _Element) -> dict[str, str]:
    """What an object says beyond name, box and difficult; of a part, which has a box of its own, just that it is."""
    return {
        child.tag: (child.text or "").strip() if len(child) == 0 else "..."
        for child in element
        if child.tag not in ("name", "bndbox", "difficult") and (len(child) or (child.text or "").strip())
    }


def _read_box(found: _Element, what: str, path: Path, problems: Problems) -> Box:
    texts = [found.findtext(side) for side in _COORDINATES]
    try:
        corners = [float(text) for text in texts]
    except (TypeError, ValueError):
        corners = [math.nan]
    if not fits_float32(corners):
        shown = {side: text and shortened(text) for side, text in zip(_COORDINATES, texts, strict=True)}
        raise DataError("box that is not four numbers", path, f"{what}: {shown}", found.line)
    (x1, x2), x_swapped = _half_open(corners[0], corners[2])
    (y1, y2), y_swapped = _half_open(corners[1], corners[3])
    if x_swapped or y_swapped:
        problems.repair("box with swapped corners", path, f"{what}: {corners}", found.line)
    if not (x1 < x2 and y1 < y2):
        raise DataError("empty box", path, f"{what}: {corners}", found.line)
    return x1, y1, x2, y2


def _half_open(low: float, high: float) -> tuple[tuple[float, float], bool]:
    """(low - 1, high) of a 1-based inclusive interval, whose length is high - low + 1; swapped if that is < 0."""
    swapped = high - low + 1 < 0
    low, high = (high, low) if swapped else (low, high)
    return (low - 1, high), swapped


def _read_difficult(element: _Element, what: str, path: Path, problems: Problems) -> bool:
    text = (element.findtext("difficult") or "0").strip()
    if text not in ("0", "1"):
        message = f"{what}: {shortened(text)!r}, read as 0"
        problems.repair("difficult neither 0 nor 1", path, message, element.find("difficult").line)
    return text == "1"


def image_xml(image: ImageObjects, folder: str, lost: Counter[str]) -> str:
    """The annotation of an image with all that is said of its objects; what it cannot hold is counted in `lost`."""
    objects = []
    for item in image.objects:
        extras = simple_extras(item, lost)
        for name in [name for name in extras if not _TAG.fullmatch(name) or name in _OWN_TAGS]:
            lost[name] += 1
            del extras[name]
        objects.append((item.name, item.box, item.difficult, extras))
    return annotation_xml(Path(image_file_name(image)).name, image.size, objects, folder=folder)


def save_annotation(path: Path, image: ImageObjects, unchanged: Collection[int]) -> None:
    """``LabelReader.save`` of an annotation file; whatever else it says stays."""
    if not path.exists():
        write_text(path, image_xml(image, path.parent.name, Counter()), durable=True)
        return
    root = _parse(path)
    before = list(root.iter("object"))
    objects = [_edited(before, item, item.index in unchanged) for item in image.objects]
    for parent in list(root.iter()):
        for child in [one for one in parent if one.tag == "object"]:
            parent.remove(child)
    root.extend(objects)
    size = _child(root, "size")
    for tag, value in zip(("height", "width"), image.size, strict=True):
        _child(size, tag).text = str(value)
    ElementTree.indent(root)
    write_text(path, f"{ElementTree.tostring(root, 'unicode')}\n", durable=True)


def _edited(before: Sequence[ElementTree.Element], item: LabelledObject, is_unchanged: bool) -> ElementTree.Element:
    """The element of an object: that of its index in the file, with the name and box it has now, or a new one."""
    text = annotation_xml("", (1, 1), [(item.name, item.box, item.difficult)])
    new = ElementTree.fromstring(text).find("object")
    if not item.index:
        return new
    element = deepcopy(before[item.index - 1])
    boxes = list(_own_boxes(element))
    boxes = [] if is_unchanged and len(boxes) == 1 else boxes
    for parent in list(element.iter()):
        for child in [one for one in parent if one in boxes or one.tag == "object"]:
            parent.remove(child)
    if boxes:
        for tag in ("name", "difficult"):
            _child(element, tag).text = new.findtext(tag)
        element.append(new.find("bndbox"))
    return element


def _child(parent: ElementTree.Element, tag: str) -> ElementTree.Element:
    """The first child of a tag, a new one where there is none."""
    found = parent.find(tag)
    return ElementTree.SubElement(parent, tag) if found is None else found
