"""The one policy applied to what label files say: images and objects that can be used, with boxes inside the image."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from detection.data.images import image_sizes
from detection.data.labels import ImageLabels, ImageObjects, LabelledObject, LabelReader
from detection.data.problems import DataError, Problems
from detection.geometry import clip

# Unknown names for which the nearest known one is looked up; in a file with more of them names are not the fault.
_LOOKED_UP = 1000


def labelled_images(
    reader: LabelReader,
    problems: Problems,
    classes: Collection[str] | None,
    class_map: Mapping[str, str | None],
    need_images: bool = True,
) -> Iterator[ImageObjects]:
    """The usable images of a split in order, each file once, with their usable objects under the run's class names.

    need_images: False takes the size from the labels where an image is not there, if they tell.
    classes: the names that are known; None: all. Faults are counted in `problems`.
    """
    naming = _Naming(classes, class_map)
    paths: dict[Path, str] = {}
    polygons = 0
    for image_id in reader.image_ids(problems):
        try:
            image = _load_image(reader, image_id, naming, problems, need_images)
        except DataError as error:
            problems.skip_error(error)
            continue
        if image.path in paths:
            problems.skip("image id listed again", reader.list_path, f"{image_id!r} is {paths[image.path]!r}")
            continue
        paths[image.path] = image_id
        polygons += sum("segmentation" in item.extras for item in image.objects)
        yield image
    if polygons and reader.tells_polygons:
        problems.note(f"{reader.path}: {polygons} polygons are read as their boxes")


def _load_image(
    reader: LabelReader, image_id: str, naming: _Naming, problems: Problems, need_images: bool
) -> ImageObjects:
    path = reader.image_path(image_id)
    if path is None:
        found = None if need_images else reader.labels(image_id, None, problems)
        if found is not None and found.size is not None and min(found.size) > 0:
            usable = tuple(_usable_objects(found, found.size, naming, problems))
            return ImageObjects(image_id, reader.image_folder / image_id, found.size, usable, found.path)
        raise DataError("missing image", reader.image_folder / image_id, "no file of that name")
    upright, stored = image_sizes(path)
    labels = reader.labels(image_id, upright, problems)
    size = _frame(labels, upright, stored, problems)
    return ImageObjects(image_id, path, size, tuple(_usable_objects(labels, size, naming, problems)), labels.path)


def _frame(
    labels: ImageLabels, upright: tuple[int, int], stored: tuple[int, int], problems: Problems
) -> tuple[int, int]:
    """The size of the frame that boxes are in: the file's if the image has it in one of its orientations."""
    if labels.size in (None, upright, stored):
        return labels.size or upright
    message = f"the file has (height, width) = {labels.size}, the image {upright}, which is used"
    problems.repair("image size that is not the image's", labels.path, message)
    return upright


def _usable_objects(
    labels: ImageLabels, size: tuple[int, int], naming: _Naming, problems: Problems
) -> Iterator[LabelledObject]:
    exact = np.array([item.box for item in labels.objects], dtype=np.float64).reshape(-1, 4)
    boxes = clip(exact, size).astype(np.float32)
    empty = ~((boxes[:, 0] < boxes[:, 2]) & (boxes[:, 1] < boxes[:, 3]))
    outside = np.abs(exact - clip(exact, size)).max(axis=1, initial=0) > labels.rounding
    outside &= (boxes != exact.astype(np.float32)).any(axis=1)
    clipped, empty, outside = boxes.tolist(), empty.tolist(), outside.tolist()
    for row, item in enumerate(labels.objects):
        name = naming.known(item, labels.path, problems)
        if name is None:
            continue
        if empty[row] or outside[row]:
            what = f"object {item.index} ({item.name}): half-open box {item.box}, image (height, width) = {size}"
            if empty[row]:
                problems.skip("box wholly outside the image", labels.path, what, item.line, objects=1)
                continue
            problems.repair("box reaching outside the image", labels.path, what, item.line)
        yield LabelledObject(item.index, name, tuple(clipped[row]), item.difficult, item.line, item.extras, item.area)


class _Naming:
    """Names of files as names of the run."""

    def __init__(self, classes: Collection[str] | None, class_map: Mapping[str, str | None]) -> None:
        self._classes, self._map = classes, class_map
        self._hints: dict[str, str] = {}

    def known(self, item: LabelledObject, path: Path, problems: Problems) -> str | None:
        """The run's name of an object, None where it is left out; that is counted unless the mapping asks for it."""
        name = self._map.get(item.name, item.name)
        if name is None or self._classes is None or name in self._classes:
            return name
        problems.skip(f"unknown class {name!r}{self._hint(name)}", path, f"object {item.index}", item.line, objects=1)
        return None

    def _hint(self, name: str) -> str:
        if name not in self._hints:
            nearest = get_close_matches(name, self._classes, n=1) if len(self._hints) < _LOOKED_UP else []
            self._hints[name] = f", nearest known {nearest[0]!r}" if nearest else ""
        return self._hints[name]
