"""Label files of tools' own kinds, which are not read: what they are, and which export is."""

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

_HEAD_BYTES = 2**16
# Files that are looked at, in a folder and those in it.
_PROBED = 50


class _OwnKind(NamedTuple):
    """name: the tool and its format. extension: of its files. signs: what the beginning of such a file holds, each of
    them. export: what to do for files that are read.
    """

    name: str
    extension: str
    signs: tuple[bytes, ...]
    export: str


_CVAT = "in CVAT: Export task dataset, format 'PASCAL VOC 1.1', 'COCO 1.0' or 'Ultralytics YOLO Detection 1.0'"
_OWN_KINDS = (
    _OwnKind("CVAT's own XML ('CVAT for images')", ".xml", (rb"<annotations\b", rb"<image\b"), _CVAT),
    _OwnKind("CVAT's own XML ('CVAT for video')", ".xml", (rb"<annotations\b", rb"<track\b"), _CVAT),
    _OwnKind("CVAT's own XML", ".xml", (rb"<annotations\b", rb"<meta\b"), _CVAT),
    _OwnKind(
        "VGG Image Annotator's own json",
        ".json",
        (rb'"(_via_img_metadata|file_attributes)"',),
        "in VIA: menu Annotation, Export Annotations (COCO format)",
    ),
    _OwnKind(
        "VoTT's own json",
        ".json",
        (rb'"(visitedAssets|lastVisitedAssetId|asset)"', rb'"(assets|regions|sourceConnection)"'),
        "in VoTT: Export Settings, provider 'Pascal VOC', then Export",
    ),
    _OwnKind("VoTT's own project", ".vott", (rb"\S",), "in VoTT: Export Settings, provider 'Pascal VOC', then Export"),
    _OwnKind(
        "LabelMe's own json",
        ".json",
        (rb'"shapes"\s*:\s*\[', rb'"imagePath"'),
        "with labelme2voc.py or labelme2coco.py, which come with LabelMe",
    ),
    _OwnKind(
        "Label Studio's own json",
        ".json",
        (rb"\A\s*\[", rb'"(result|completions|rectanglelabels|file_upload)"'),
        "in Label Studio: Export, 'COCO', 'Pascal VOC XML' or 'YOLO' with images",
    ),
    _OwnKind(
        "Datumaro's own json",
        ".json",
        (rb'"categories"\s*:\s*\{', rb'"items"\s*:\s*\['),
        "with datum convert -f coco (or voc, yolo) -- --save-media",
    ),
    _OwnKind(
        "CreateML's json",
        ".json",
        (rb"\A\s*\[", rb'"coordinates"\s*:\s*\{'),
        "in Roboflow: Download Dataset, format 'COCO', 'Pascal VOC' or 'YOLOv8'",
    ),
    _OwnKind(
        "FiftyOne's own json",
        ".json",
        (rb'"samples"\s*:\s*\[', rb'"filepath"'),
        "in FiftyOne: dataset.export(dataset_type=fiftyone.types.COCODetectionDataset)",
    ),
)
_EXTENSIONS = {one.extension for one in _OWN_KINDS}


def own_kind(path: Path) -> str | None:
    """What a file is, and how to export one that is read, if it is of a tool's own kind; None for any other."""
    kinds = [one for one in _OWN_KINDS if one.extension == path.suffix.lower()]
    if not kinds:
        return None
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return None
    found = (one for one in kinds if all(re.search(sign, head) for sign in one.signs))
    return next((f"{path.name} is {one.name}, which is not read; export it {one.export}" for one in found), None)


def own_kind_in(path: Path) -> str | None:
    """The same of the first such file that a path is, or of those in a folder and one level below."""
    files = _files(path) if path.is_dir() else iter([path])
    return next(filter(None, map(own_kind, islice(files, _PROBED))), None)


def _files(folder: Path) -> Iterator[Path]:
    places = [folder, *sorted(one for one in folder.iterdir() if one.is_dir() and not one.name.startswith("."))]
    return (one for place in places for one in sorted(place.iterdir()) if one.suffix.lower() in _EXTENSIONS)
