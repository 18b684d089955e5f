"""Data sets in the formats of other programs, each one `LabelFormat` in a file of its own; this is the list of them."""

from detection.data.formats.coco import COCO
from detection.data.formats.folder import FOLDER
from detection.data.formats.label_format import FoundSet, LabelFormat, NewSet
from detection.data.formats.voc import VOC
from detection.data.formats.yolo import YOLO

__all__ = ["FORMATS", "FoundSet", "LabelFormat", "NewSet", "label_format", "register_format"]

# Name -> format; of several that a set looks like, the first is meant.
FORMATS: dict[str, LabelFormat] = {one.name: one for one in (VOC, COCO, YOLO, FOLDER)}


def register_format(label_format: LabelFormat) -> None:
    """Add a format for this process: sets of it are then found, read, checked and written as of any other."""
    FORMATS[label_format.name] = label_format


def label_format(name: str) -> LabelFormat:
    """The format of a name. Raises ValueError for an unknown one."""
    if name not in FORMATS:
        raise ValueError(f"format: expected one of {', '.join(FORMATS)}, got {name!r}")
    return FORMATS[name]
