"""COCO json of boxes as it is written: whole, and with the objects of one image changed."""

import json
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from detection.data.formats.coco_file import FLAGS, LISTS, CocoImage, file_state, forget_content, id_key, read_content
from detection.data.formats.label_format import image_file_name, simple_extras
from detection.data.json_items import KEPT, edited_lists, read_items
from detection.data.labels import ImageObjects, LabelledObject
from detection.geometry import clip
from detection.storage import atomic_path, write_text


def write_coco(
    path: Path | str,
    images: Sequence[ImageObjects],
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
        row = {"id": place, "file_name": image_file_name(image), "width": width, "height": height, "license": 1}
        rows["images"].append(row)
        for item in image.objects:
            rows["annotations"].append(_annotation(item, len(rows["annotations"]) + 1, place, number[item.name], lost))
    rows["categories"] = [_category(one, number[one]) for one in classes]
    head = {"info": {"description": description, "version": "1.0"}, "licenses": [{"id": 1, "name": "", "url": ""}]}
    parts = [f'"{key}": {_json(value)}' for key, value in head.items()]
    parts += [f'"{key}": [\n' + ",\n".join(map(_json, found)) + "\n]" for key, found in rows.items()]
    write_text(path, "{" + ",\n".join(parts) + "}\n")


def _json(value: Any) -> str:
    return json.dumps(value, allow_nan=False, ensure_ascii=False)


def _category(name: str, number: int) -> dict[str, Any]:
    return {"id": number, "name": name, "supercategory": ""}


def _annotation(item: LabelledObject, number: int, image: Any, category: Any, lost: Counter[str]) -> dict[str, Any]:
    x1, y1, x2, y2 = item.box
    width, height = x2 - x1, y2 - y1
    extras = {key: int(one) if str(one) in ("0", "1") else one for key, one in simple_extras(item, lost).items()}
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


def save_objects(
    path: Path, state: tuple[int, ...], before: CocoImage, image: ImageObjects, unchanged: Collection[int]
) -> None:
    """``LabelReader.save`` of a json: other images' annotations, and all else, stay as they are written.

    state, before: `file_state`, and what the file had of the image, when it was read. Annotations get the order of the
    image's objects. A box that has moved loses the outline of the old one. Raises ValueError where the file is another
    by now, and for an image that it lists under two ids.
    """
    known = {one.index: one for one in before.objects}
    file = _File(path, state, before.number, known)
    replaced: dict[int, list[Any]] = {index: [] for index in known}
    early, last = [], 0
    for item in image.objects:
        row = file.row(item, known.get(item.index), image.size)
        if item.index > last:
            last = item.index
            replaced[last] = [*early, KEPT if last in unchanged else row]
            early = []
        else:
            (replaced[last] if last else early).append(row)
    if not (replaced or early):
        return
    text = edited_lists(path, {"annotations": replaced}, {"annotations": early, "categories": file.new_categories})
    with atomic_path(path, durable=True) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
        _expect(path, state)
    forget_content()


def _expect(path: Path, state: tuple[int, ...]) -> None:
    if file_state(path) != state:
        raise ValueError(f"{path}: another program wrote it while it was changed here; nothing is saved: save again")


class _File:
    """The ids of a file, as they are written, and the annotations of one image.

    number: the image's id, as text. own: the indices of its annotations.
    """

    def __init__(self, path: Path, state: tuple[int, ...], number: str, own: Collection[int]) -> None:
        self.new_categories: list[dict[str, Any]] = []
        self._classes, self._image, self._largest = dict(read_content(path).classes), None, Counter()
        self._own: dict[int, dict[str, Any]] = {}
        self._categories: dict[Any, Any] = {}
        for item in read_items(path, LISTS):
            written = item.value.get("id") if isinstance(item.value, dict) else None
            key = id_key(written)
            if isinstance(key, int):
                self._largest[item.key] = max(self._largest[item.key], key)
            if item.key == "annotations" and item.index in own:
                self._own[item.index] = item.value
            elif item.key == "images" and str(written) == number:
                self._image = written
            elif item.key == "categories":
                self._categories[key] = written
        _expect(path, state)
        if others := {id_key(one["image_id"]) for one in self._own.values()} - {id_key(self._image)}:
            raise ValueError(
                f"{path}: expected one id of a photo, got {self._image!r:.80} and {min(map(str, others)):.80} of one: "
                "sppnet check --fix OUT writes a copy with one"
            )

    def row(self, item: LabelledObject, known: LabelledObject | None, size: tuple[int, int]) -> dict[str, Any]:
        """The annotation of an object. known: as the file has it, None for a new one. size: (height, width)."""
        if known is None:
            return _annotation(item, self._next("annotations"), self._image, self._category(item.name), Counter())
        row = dict(self._own[item.index])
        if item.name != known.name:
            row["category_id"] = self._category(item.name)
        if item.box != tuple(clip(np.array(known.box), size).astype(np.float32).tolist()):
            moved = _annotation(item, 0, None, None, Counter())
            row |= {key: moved[key] for key in ("bbox", "area", "segmentation") if key in row}
        if item.difficult != known.difficult:
            row |= {key: int(item.difficult) for key in FLAGS if key in row or key == FLAGS[0]}
            if isinstance(said := row.get("attributes"), dict) and "difficult" in said:
                row["attributes"] = {**said, "difficult": item.difficult}
        return row

    def _category(self, name: str) -> Any:
        if name not in self._classes:
            number = self._next("categories")
            self._classes[name] = self._categories[number] = number
            self.new_categories.append(_category(name, number))
        return self._categories[self._classes[name]]

    def _next(self, key: str) -> int:
        self._largest[key] += 1
        return self._largest[key]
