"""What layouts of tools are made of: photos of digits, label files in three formats, and the list of the layouts."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

NAMES = ("eight", "five", "four", "nine", "one", "seven", "six", "three", "two", "zero")


@dataclass(frozen=True)
class Photo:
    """A photo with what is in it: (name, whole half-open box)."""

    path: Path
    size: tuple[int, int]
    objects: tuple[tuple[str, tuple[int, int, int, int]], ...]

    @property
    def stem(self) -> str:
        return self.path.stem

    @property
    def name(self) -> str:
        return self.path.name


Sets = Mapping[str, Sequence[Photo]]


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())


def copy(photo: Photo, folder: Path, name: str | None = None) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(photo.path, folder / (name or photo.name))
    return name or photo.name


def voc(photo: Photo, name: str, head: str = "", more: str = "", places: str = "d") -> str:
    """A VOC annotation. head: elements above the size; more: of each object; places: format of a coordinate."""
    objects = "".join(
        f"\t<object>\n\t\t<name>{one}</name>\n{more}\t\t<bndbox>\n\t\t\t<xmin>{x1 + 1:{places}}</xmin>\n"
        f"\t\t\t<ymin>{y1 + 1:{places}}</ymin>\n\t\t\t<xmax>{x2:{places}}</xmax>\n\t\t\t<ymax>{y2:{places}}</ymax>\n"
        "\t\t</bndbox>\n\t</object>\n"
        for one, (x1, y1, x2, y2) in photo.objects
    )
    height, width = photo.size
    size = f"\t<size>\n\t\t<width>{width}</width>\n\t\t<height>{height}</height>\n\t\t<depth>3</depth>\n\t</size>\n"
    return (
        f"<annotation>\n{head}\t<filename>{name}</filename>\n{size}\t<segmented>0</segmented>\n{objects}</annotation>\n"
    )


def yolo(photo: Photo) -> str:
    height, width = photo.size
    return "".join(
        f"{NAMES.index(one)} {(x1 + x2) / 2 / width:.6f} {(y1 + y2) / 2 / height:.6f} "
        f"{(x2 - x1) / width:.6f} {(y2 - y1) / height:.6f}\n"
        for one, (x1, y1, x2, y2) in photo.objects
    )


def coco(
    photos: Sequence[tuple[Photo, str]],
    image: Callable[[int, str], dict] = lambda number, name: {"id": number + 1, "file_name": name},
    category: Callable[[int], int] = lambda place: place + 1,
    image_id: Callable[[int], object] = lambda number: number + 1,
    first: int = 1,
    extra: Sequence[dict] = (),
    **head: object,
) -> str:
    """A COCO json. image: number from 0 and name -> its keys; category: place in NAMES -> id."""
    images, annotations = [], []
    for number, (photo, name) in enumerate(photos):
        images.append({"width": photo.size[1], "height": photo.size[0], **image(number, name)})
        for one, (x1, y1, x2, y2) in photo.objects:
            box = [x1, y1, x2 - x1, y2 - y1]
            row = {"id": len(annotations) + first, "image_id": image_id(number), "bbox": box, "iscrowd": 0}
            area = box[2] * box[3]
            annotations.append({**row, "category_id": category(NAMES.index(one)), "segmentation": [], "area": area})
    categories = [{"id": category(place), "name": one, "supercategory": ""} for place, one in enumerate(NAMES)]
    content = {"images": images, "annotations": annotations, "categories": [*extra, *categories], **head}
    return json.dumps(content)


@dataclass(frozen=True)
class Layout:
    """A tool's export. write: lays it out and returns the photos of each split as they are to be read.

    faults: kinds that are told;"""

    tool: str
    format: str
    write: Callable[[Path, Sets], Mapping[str, Sequence[Photo]]]
    faults: frozenset[str] = frozenset()


LAYOUTS: list[Layout] = []


def layout(tool: str, format: str, *faults: str):
    def add(write):
        LAYOUTS.append(Layout(tool, format, write, frozenset(faults)))
        return write

    return add


def joined(sets: Sets) -> list[Photo]:
    return [photo for photos in sets.values() for photo in photos]


def number_from_zero(number: int, name: str) -> dict:
    """An image of a COCO json whose ids begin with 0."""
    return {"id": number, "license": 1, "file_name": name}
