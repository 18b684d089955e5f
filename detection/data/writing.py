"""Data sets written in any of the four formats, whole or not at all, and what the format cannot hold."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

from detection.data.files import is_image_name
from detection.data.formats.finding import Format
from detection.data.formats.voc import annotation_xml
from detection.data.formats.yolo import yolo_line
from detection.data.images import to_upright
from detection.data.labels import LabelledImage, LabelledObject
from detection.storage import write_text

# The splits of a data.yaml and the names they go by elsewhere; "test" is its val where the set has no other.
_YOLO_KEYS = {"trainval": "train", "all": "train", "training": "train", "valid": "val", "validation": "val"}
_TAG = re.compile(r"[A-Za-z_][\w.-]*")
# Elements of a VOC object that are written from the record itself.
_OWN_TAGS = frozenset(["name", "difficult", "bndbox", "segmentation", "part"])

# Values of an object's properties that are no loss: what tools write where nobody has said anything.
_SAY_NOTHING = ("0", "", "Unspecified")

Splits = Mapping[str, Sequence[LabelledImage]]


def write_dataset(
    out: Path | str, format: Format, splits: Splits, classes: Sequence[str], link: bool = False
) -> Counter[str]:
    """Write a set with its images to a new folder; returns what was lost: what -> how many.

    splits: name -> images; an image may be in several. classes: names in the order of their numbers, where the format
    has some. link: let images be hard links to the originals where the disk can; else they are copied. The folder
    appears when all is written. Raises FileExistsError for a folder that is there and not empty, ValueError for an
    object whose class is not in `classes`.
    """
    out = Path(out)
    known = set(classes)
    for image in chain.from_iterable(splits.values()):
        if unknown := {item.name for item in image.objects} - known:
            raise ValueError(
                f"image {image.image_id!r}: expected classes of the list, got {', '.join(sorted(unknown))}"
            )
    with _new_folder(out) as folder:
        return _WRITERS[format](folder, out.name, splits, tuple(classes), link)


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """A folder that becomes `out` when the body has ended well."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"{out}: expected a new or empty folder, it holds something; nothing is written over")
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".tmp-", dir=out.parent))
    try:
        yield folder
        folder.chmod(0o755)
        if out.exists():
            out.rmdir()
        folder.rename(out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _file_name(image: LabelledImage) -> str:
    return f"{image.image_id}{image.path.suffix if is_image_name(image.path) else '.jpg'}"


def _put_image(image: LabelledImage, path: Path, link: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():  # of two splits that share it
        return
    if link:
        try:
            os.link(image.path.resolve(), path)
            return
        except OSError:
            pass  # another disk, or a system without links: copied below
    shutil.copy2(image.path, path)


def _scalars(item: LabelledObject, lost: Counter[str]) -> dict[str, str | int | float]:
    """What an object says beyond its box that a name and a value can hold; the rest is counted."""
    kept = {}
    for name, value in item.extras.items():
        if name == "segmentation":
            lost["outlines (the box is kept)"] += 1
        elif type(value) in (str, int, float, bool) and value != "...":
            kept[name] = int(value) if isinstance(value, bool) else value
        else:
            lost[name] += 1
    return kept


def _xml(image: LabelledImage, folder: str, lost: Counter[str]) -> str:
    objects = []
    for item in image.objects:
        extras = _scalars(item, lost)
        for name in [name for name in extras if not _TAG.fullmatch(name) or name in _OWN_TAGS]:
            lost[name] += 1
            del extras[name]
        objects.append((item.name, item.box, item.difficult, extras))
    return annotation_xml(Path(_file_name(image)).name, image.size, objects, folder=folder)


def _write_voc(folder: Path, name: str, splits: Splits, classes: Sequence[str], link: bool) -> Counter[str]:
    lost = Counter[str]()
    written: set[str] = set()
    for split, images in splits.items():
        write_text(folder / "ImageSets" / "Main" / f"{split}.txt", "".join(f"{one.image_id}\n" for one in images))
        for image in images:
            if image.image_id not in written:
                written.add(image.image_id)
                _put_image(image, folder / "JPEGImages" / _file_name(image), link)
                write_text(folder / "Annotations" / f"{image.image_id}.xml", _xml(image, name, lost))
    for kind in ("JPEGImages", "Annotations"):
        (folder / kind).mkdir(exist_ok=True)
    return lost + _unused(splits, classes)


def _write_folder(folder: Path, name: str, splits: Splits, classes: Sequence[str], link: bool) -> Counter[str]:
    lost = Counter[str]()
    for split, images in splits.items():
        place = folder if split == "all" else folder / split
        place.mkdir(exist_ok=True)
        for image in images:
            path = place / _file_name(image)
            _put_image(image, path, link)
            write_text(
                path.with_name(f"{path.name}.xml") if _is_twin(image) else path.with_suffix(".xml"),
                _xml(image, name, lost),
            )
    return lost + _unused(splits, classes)


def _is_twin(image: LabelledImage) -> bool:
    """Whether an id ends as images do: its XML keeps that ending."""
    return is_image_name(image.image_id)


def _unused(splits: Splits, classes: Sequence[str]) -> Counter[str]:
    """The classes of the list that no XML names."""
    present = {item.name for images in splits.values() for image in images for item in image.objects}
    return Counter({f"class without objects ({one})": 1 for one in classes if one not in present})


def _write_yolo(folder: Path, name: str, splits: Splits, classes: Sequence[str], link: bool) -> Counter[str]:
    lost = Counter[str]()
    number = {one: place for place, one in enumerate(classes)}
    keys = {split: _YOLO_KEYS.get(split, split) for split in splits}
    if "test" in keys and not {"val", "test"} & (set(keys.values()) - {"test"}):
        keys["test"] = "val"
    if len(set(keys.values())) < len(keys):
        keys = {split: split for split in splits}
    for split, images in splits.items():
        (folder / "images" / keys[split]).mkdir(parents=True, exist_ok=True)
        for image in images:
            _put_image(image, folder / "images" / keys[split] / _file_name(image), link)
            lines = _yolo_lines(image, number, lost)
            write_text(folder / "labels" / keys[split] / f"{image.image_id}.txt", "".join(f"{one}\n" for one in lines))
    lines = [f"{key}: images/{key}\n" for key in keys.values()]
    listed = "".join(f"  {place}: {json.dumps(one, ensure_ascii=False)}\n" for place, one in enumerate(classes))
    write_text(folder / "data.yaml", f"path: .\n{''.join(lines)}nc: {len(classes)}\nnames:\n{listed}")
    return +lost


def _yolo_lines(image: LabelledImage, number: Mapping[str, int], lost: Counter[str]) -> Iterator[str]:
    for item in image.objects:
        for name, value in _scalars(item, lost).items():
            lost[name] += str(value) not in _SAY_NOTHING
        lost["difficult"] += item.difficult
        box, size = to_upright(image.path, image.size, item.box)
        yield yolo_line(number[item.name], box, size)


def _write_coco(folder: Path, name: str, splits: Splits, classes: Sequence[str], link: bool) -> Counter[str]:
    lost = Counter[str]()
    for split, images in splits.items():
        (folder / "images" / split).mkdir(parents=True, exist_ok=True)
        for image in images:
            _put_image(image, folder / "images" / split / _file_name(image), link)
        write_coco(folder / "annotations" / f"instances_{split}.json", images, classes, lost, name)
    return +lost


def write_coco(
    path: Path | str,
    images: Sequence[LabelledImage],
    classes: Sequence[str],
    lost: Counter[str] | None = None,
    description: str = "",
) -> None:
    """Write one COCO json of boxes, atomically, one entry a line. Images and annotations are numbered from 1.

    A difficult object is a crowd, and what else is said of an object stands under its "attributes" (as CVAT and
    Datumaro have it). width and height of a bbox are float64 differences of float32 corners, so that boxes come back
    bit-equal. lost: counts what is not written.
    """
    lost = Counter() if lost is None else lost
    number = {one: place for place, one in enumerate(classes, start=1)}
    rows = {"images": [], "annotations": [], "categories": []}
    for place, image in enumerate(images, start=1):
        height, width = image.size
        rows["images"].append(
            {"id": place, "file_name": _file_name(image), "width": width, "height": height, "license": 1}
        )
        for item in image.objects:
            rows["annotations"].append(_annotation(item, len(rows["annotations"]) + 1, place, number[item.name], lost))
    rows["categories"] = [{"id": number[one], "name": one, "supercategory": ""} for one in classes]
    head = {"info": {"description": description, "version": "1.0"}, "licenses": [{"id": 1, "name": "", "url": ""}]}
    parts = [f'"{key}": {_json(value)}' for key, value in head.items()]
    parts += [f'"{key}": [\n' + ",\n".join(map(_json, found)) + "\n]" for key, found in rows.items()]
    write_text(path, "{" + ",\n".join(parts) + "}\n")


def _json(value: Any) -> str:
    return json.dumps(value, allow_nan=False, ensure_ascii=False)


def _annotation(item: LabelledObject, number: int, image: int, category: int, lost: Counter[str]) -> dict[str, Any]:
    x1, y1, x2, y2 = item.box
    width, height = x2 - x1, y2 - y1
    extras = {key: int(one) if str(one) in ("0", "1") else one for key, one in _scalars(item, lost).items()}
    row = {
        "id": number,
        "image_id": image,
        "category_id": category,
        "bbox": [x1, y1, width, height],
        "area": width * height,
        "iscrowd": int(item.difficult),
        "segmentation": [],
    }
    return {**row, "attributes": extras} if extras else row


_WRITERS = {"voc": _write_voc, "folder": _write_folder, "coco": _write_coco, "yolo": _write_yolo}
