"""COCO json of boxes: {"images": [...], "annotations": [...], "categories": [...]}.

A bbox is x, y, width, height of the half-open box in px from 0, as inside the program. A crowd is read as difficult:
both are objects that neither count as missed nor make a detection false.
"""

import json
import re
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from detection.data.files import ImageFinder, content, is_below, shown_names
from detection.data.formats.coco_file import read_content
from detection.data.formats.folder import image_ids_of
from detection.data.formats.label_format import FoundSet, LabelFormat, NewSet, image_file_name, simple_extras
from detection.data.labels import ImageLabels, ImageObjects, LabelledObject, LabelReader
from detection.data.problems import Problems
from detection.data.split_names import parts_of_others
from detection.storage import write_text

# COCO's own numbers have two decimals: x + width may be off by one of each.
ROUNDING = 0.02
# Images that are looked for in each folder where they may lie.
_PROBED = 50
_ANNOTATION_FOLDERS = ("annotations", "labels")
_HEAD = re.compile(rb'[\xef\xbb\xbf\s]*\{.*"(images|annotations|categories)"\s*:\s*\[', re.DOTALL)
# The names of files and folders: instances_train2017.json, train2017, train/_annotations.coco.json.
_FILE_NAME = re.compile(r"(?:instances_)?(?P<split>[A-Za-z]+)(?:19|20)\d\d|instances_(?P<other>\w+)")


def file_split(path: Path) -> str:
    """The split that a file's name tells: train of instances_train2017.json and of train/_annotations.coco.json."""
    if path.name.lower() == "_annotations.coco.json":
        return path.parent.name
    match = _FILE_NAME.fullmatch(path.stem)
    return (match["split"] or match["other"]) if match else path.stem


def _is_coco(path: Path) -> bool:
    """Whether a JSON file begins as an object with one of COCO's lists; the rest is not read."""
    try:
        with path.open("rb") as file:
            head = file.read(2**16)
    except OSError:
        return False
    return _HEAD.match(head) is not None


def coco_files(folder: Path) -> list[Path]:
    """The COCO json files of a set, in the folder or one level below; those of boxes where it has others beside."""
    places = [folder, *sorted(one for one in folder.iterdir() if one.is_dir() and not one.name.startswith("."))]
    found = [path for place in places for path in sorted(place.glob("*.json")) if _is_coco(path)]
    boxes = [path for path in found if path.stem.startswith("instances_") or path.name == "_annotations.coco.json"]
    return boxes or [path for path in found if not path.stem.startswith("image_info")]


class CocoReader(LabelReader):
    """A COCO json. images: the folder of the images; None: looked for near the file."""

    def __init__(self, path: Path, root: Path, images: Path | None = None) -> None:
        self.path = self.list_path = path
        found = read_content(path)
        self.faults, self.classes, self.category_ids = found.faults, tuple(found.classes), tuple(found.classes.values())
        ids = image_ids_of(_distinct([one.name for one in found.images]))
        self._images = dict(zip(ids, found.images, strict=True))
        self.stray_objects = found.stray_objects
        self.source_ids = {one: image.number for one, image in self._images.items()}
        self.image_folder = images or self._find_images(root)
        self._finder = ImageFinder(self.image_folder)

    def _find_images(self, root: Path) -> Path:
        """The folder near the file that has most of some images; the file's own where none has any."""
        own, split = self.path.parent, file_split(self.path)
        parents = [own, own.parent] if own != root and is_below(own, root) else [own]
        parts = ["", "images", "JPEGImages", split, f"images/{split}", f"{split}/images", "data"]
        if match := re.search(r"(\w+?(?:19|20)\d\d)$", self.path.stem):
            parts += [match[1].removeprefix("instances_"), f"images/{match[1].removeprefix('instances_')}"]
        finders = [ImageFinder(parent / part) for parent in parents for part in parts]
        names = [image.name for image in self._images.values()]
        names = [*names[:: max(1, len(names) // _PROBED)], names[-1]]
        return max(finders, key=lambda finder: sum(finder.find(name) is not None for name in names)).folder

    def image_ids(self, problems: Problems) -> list[str]:
        """The ids of all images in the file's order: file names without extension."""
        problems.extend(self.faults)
        return list(self._images)

    def image_path(self, image_id: str) -> Path | None:
        """The image of an id, None where there is none."""
        return self._finder.find(self._images[image_id].name)

    def labels(self, image_id: str, size: tuple[int, int] | None, problems: Problems) -> ImageLabels:
        """The annotations of an id."""
        image = self._images[image_id]
        problems.extend(image.faults)
        return ImageLabels(self.path, image.size, tuple(image.objects), ROUNDING, image.found)


def _distinct(names: Sequence[str]) -> list[str]:
    """Names, of which one that comes again has a number behind it: ids are to be unique."""
    seen = Counter[str]()
    found = []
    for name in names:
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return found


def _looks_like(path: Path) -> bool:
    return path.suffix.lower() == ".json" if path.is_file() else bool(coco_files(path))


def _open(path: Path, images: Path | None) -> FoundSet:
    files = [path] if path.is_file() else coco_files(path)
    root = path
    if path.is_file():
        # The usual layout has the file in a folder beside those of the images.
        root = path.parent.parent if path.parent.name.lower() in _ANNOTATION_FOLDERS else path.parent
    if not files or not all(map(_is_coco, files)):
        others = [one.relative_to(root).as_posix() for one in [*root.glob("*.json"), *root.glob("*/*.json")]]
        seen = f"; not so: {shown_names(others)}" if others else ""
        raise ValueError(f"{path}: expected a COCO json with images, annotations and categories; {content(path)}{seen}")
    named = {file_split(one): one for one in files}
    if len(named) < len(files):
        named = {one.relative_to(root).with_suffix("").as_posix(): one for one in files}
    splits = {name: partial(CocoReader, file, root, images) for name, file in named.items()}
    return FoundSet(path, splits, parts=parts_of_others(splits))


def _write(new: NewSet) -> None:
    for split, images in new.splits.items():
        place = new.folder / "images" / split
        place.mkdir(parents=True, exist_ok=True)
        for image in images:
            new.put_image(image, place)
        write_coco(new.folder / "annotations" / f"instances_{split}.json", images, new.classes, new.lost, new.name)


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


COCO = LabelFormat("coco", "a COCO json", _looks_like, _open, _write)
