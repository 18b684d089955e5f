"""The one policy applied to what label files say: images and objects that can be used, with boxes inside the image."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from detection.data.census import SetTally, count_objects
from detection.data.files import is_image_name
from detection.data.images import MAX_PIXELS, ImageHeader, image_header
from detection.data.labels import ImageLabels, ImageObjects, LabelledObject, LabelReader
from detection.data.problems import DataError, Problems
from detection.geometry import clip

# Pairs of an unknown name and a known one that are compared; where there are more, names are not the fault.
_COMPARED = 200_000


def labelled_images(
    reader: LabelReader,
    problems: Problems,
    classes: Collection[str] | None,
    class_map: Mapping[str, str | None],
    need_images: bool = True,
    max_pixels: int = MAX_PIXELS,
    tally: SetTally | None = None,
) -> Iterator[ImageObjects]:
    """The usable images of a split in order, each file once, with their usable objects under the run's class names.

    need_images: False takes the size from the labels where an image is not there, if they tell.
    classes: the names that are known; None: all. max_pixels: larger images are left out.
    Faults are counted in `problems`; tally: counts images and objects.
    """
    naming, own = _Naming(classes, class_map), Problems(problems.strict)
    split = _Split(reader, naming, own, need_images, max_pixels, tally)
    try:
        yield from split.images()
    finally:
        problems.extend(() if problems.strict else split.problems)
        for note in split.notes():
            problems.note(note)
    if tally is not None:
        tally.end_split(reader, split.problems)


def labelled_image(
    reader: LabelReader, image_id: str, problems: Problems, max_pixels: int = MAX_PIXELS
) -> ImageObjects:
    """One image of a split as `labelled_images` has it, with objects of every class. Raises DataError."""
    return _Split(reader, _Naming(None, {}), problems, True, max_pixels, None)._load(image_id)[0]


class _Split:
    """The images of a split one after the other, and the account of them."""

    def __init__(
        self,
        reader: LabelReader,
        naming: _Naming,
        problems: Problems,
        need_images: bool,
        max_pixels: int,
        tally: SetTally | None,
    ) -> None:
        self.reader, self.naming, self.problems = reader, naming, problems
        self.need_images, self.max_pixels, self.tally = need_images, max_pixels, tally
        self.polygons = self.turned = 0

    def images(self) -> Iterator[ImageObjects]:
        paths: dict[Path, str] = {}
        for image_id in self.reader.image_ids(self.problems):
            left = self.problems.objects
            try:
                image, labels = self._load(image_id)
            except DataError as error:
                self._leave_out(image_id, error)
                continue
            unwanted = sum(self.naming.is_unwanted(item.name) for item in labels.objects)
            if image.path in paths:
                message = f"{image_id!r} is {paths[image.path]!r}"
                error = DataError("image id listed again", self.reader.list_path, message)
                self.problems.skip_error(error, objects=len(image.objects) + unwanted)
                self._count(image_id, image.path, labels, left, 0, 0, error.kind)
                continue
            paths[image.path] = image_id
            self._count(image_id, image.path, labels, left, len(image.objects), unwanted, None)
            self.polygons += sum("segmentation" in item.extras for item in image.objects)
            yield image

    def notes(self) -> Iterator[str]:
        """What a user should know of the split."""
        yield from self.problems.notes
        path = self.reader.path
        if self.polygons and self.reader.tells_polygons:
            yield f"{path}: {self.polygons} polygons are read as their boxes"
        if self.turned:
            yield (
                f"{path}: {self.turned} photos have an EXIF rotation and nothing tells whether their boxes were drawn "
                "on the upright photo, as they are read; sppnet check names them"
            )

    def _load(self, image_id: str) -> tuple[ImageObjects, ImageLabels]:
        reader, path = self.reader, self.reader.image_path(image_id)
        if path is None:
            found, seen = None, Problems(self.problems.strict)
            if not self.need_images:
                found = reader.labels(image_id, None, seen)
            if found is None or found.size is None or min(found.size) <= 0:
                raise DataError("missing image", reader.image_folder / image_id, "no file of that name")
            self.problems.extend(seen)
            usable = tuple(_usable_objects(found, found.size, self.naming, self.problems))
            return ImageObjects(image_id, reader.image_folder / image_id, found.size, usable, found.path), found
        header = image_header(path, self.max_pixels)
        labels = reader.labels(image_id, header.upright, self.problems)
        size = _frame(labels, header.upright, header.stored, self.problems)
        self.turned += bool(labels.objects) and frame_is_a_guess(header, labels.size)
        usable = tuple(_usable_objects(labels, size, self.naming, self.problems))
        return ImageObjects(image_id, path, size, usable, labels.path), labels

    def _leave_out(self, image_id: str, error: DataError) -> None:
        """Count an image that cannot be used, with the objects that its labels have all the same."""
        try:
            labels = self.reader.labels(image_id, None, Problems())
            number = len(labels.objects) if labels.found is None else labels.found
        except DataError as unreadable:  # they may be what is wrong
            is_counted = self.tally is not None and not is_image_name(unreadable.file)
            labels, number = None, count_objects(Path(unreadable.file)) if is_counted else 0
        self.problems.skip_error(error, objects=number)
        if self.tally is not None:
            self.tally.add_image(image_id, self.reader.image_path(image_id), labels, (number, 0, 0), error.kind)

    def _count(
        self, image_id: str, path: Path, labels: ImageLabels, left: int, read: int, unwanted: int, reason: str | None
    ) -> None:
        """Count an image in the tally. left: objects left out before it. read, unwanted: of its objects."""
        if self.tally is not None:
            # What a format does not count cannot be checked.
            uncounted = read + unwanted + self.problems.objects - left
            found = uncounted if labels.found is None else labels.found
            self.tally.add_image(image_id, path, labels, (found, read, unwanted), reason)


def frame_is_a_guess(header: ImageHeader, size: tuple[int, int] | None) -> bool:
    """Whether a photo has an EXIF rotation, and the size in its labels does not tell which frame its boxes are in."""
    told = header.upright != header.stored and size in (header.upright, header.stored)
    return header.orientation != 1 and not told


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

    def is_unwanted(self, name: str) -> bool:
        """Whether the mapping leaves objects of this name in the files out."""
        return self._map.get(name, name) is None

    def _hint(self, name: str) -> str:
        if name not in self._hints:
            is_looked_up = (len(self._hints) + 1) * len(self._classes) <= _COMPARED
            nearest = get_close_matches(name, self._classes, n=1) if is_looked_up else []
            self._hints[name] = f", nearest known {nearest[0]!r}" if nearest else ""
        return self._hints[name]
