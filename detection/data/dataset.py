"""A data set as the stages take it: its settings, its classes, its annotated images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from detection.data.images import image_sizes
from detection.data.problems import DataError, Problems
from detection.data.voc import VOC_CLASSES, VocAnnotation, VocFolder, clean_name, read_annotation, read_split_file
from detection.geometry import clip
from detection.types import AnnotatedImage


@dataclass(frozen=True)
class DatasetSource:
    """One split of one year of a VOC devkit.

    Args:
        year: Name of the year folder, which holds Annotations, JPEGImages and ImageSets/Main. Any name.
        split: Name of the list ImageSets/Main/SPLIT.txt, without extension.
        root: Folder that holds the year folder; that of the data set if null.
    """

    year: str = "VOC2007"
    split: str = "trainval"
    root: str | None = None

    def __post_init__(self) -> None:
        for key in ("year", "split"):
            if not getattr(self, key).strip():
                raise ValueError(f"dataset source: {key}: expected a name, got {getattr(self, key)!r}")

    def __str__(self) -> str:
        return f"{self.root or ''}/{self.year} {self.split}"


@dataclass(frozen=True)
class DatasetSettings:
    """Where the photos, their boxes and the class list come from.

    Args:
        root: Folder that holds the year folders, such as VOC2007 (usually named VOCdevkit).
        train: Splits to train on, joined in this order; VOC 07+12 is a list of two.
        test: Splits to detect and evaluate on, joined in this order.
        classes: "collect" (the names in the training annotations, sorted), "voc" (the 20 of Pascal VOC), or the
            path of a text file with one class a line.
    """

    root: str = "data/VOCdevkit"
    train: tuple[DatasetSource, ...] = (DatasetSource(split="trainval"),)
    test: tuple[DatasetSource, ...] = (DatasetSource(split="test"),)
    classes: str = "collect"

    def __post_init__(self) -> None:
        if not self.train:
            raise ValueError("dataset.train: expected at least one split, got none")
        if not self.classes.strip():
            raise ValueError('dataset.classes: expected "collect", "voc" or the path of a file, got nothing')

    @property
    def train_sources(self) -> tuple[DatasetSource, ...]:
        """The training splits, each with its root."""
        return tuple(replace(source, root=source.root or self.root) for source in self.train)

    @property
    def test_sources(self) -> tuple[DatasetSource, ...]:
        """The test splits, each with its root."""
        return tuple(replace(source, root=source.root or self.root) for source in self.test)


def dataset_classes(settings: DatasetSettings, problems: Problems) -> tuple[str, ...]:
    """The class list that the settings ask for. Raises ValueError where it would be empty."""
    if settings.classes == "collect":
        return collect_classes(settings.train_sources, problems)
    return VOC_CLASSES if settings.classes == "voc" else read_class_names(settings.classes)


def read_class_names(path: Path | str) -> tuple[str, ...]:
    """Class names from a text file, one a line, blank lines passed over. Raises ValueError for none or a repeat."""
    lines = Path(path).read_text(encoding="utf-8-sig").split("\n")
    names = tuple(filter(None, map(clean_name, lines)))
    repeated = sorted({name for name in names if names.count(name) > 1})
    if not names or repeated:
        raise ValueError(f"{path}: expected class names, each once, got {repeated or 'none'}")
    return names


def collect_classes(sources: Sequence[DatasetSource], problems: Problems) -> tuple[str, ...]:
    """The names of all objects with a usable box in `sources`, sorted. Raises ValueError where there is none."""
    names = set()
    for source in sources:
        folder = open_source(source)
        for image_id in read_split_file(folder, source.split, problems):
            try:
                annotation = read_annotation(folder.annotation_path(image_id), problems)
            except DataError as error:
                problems.skip_error(error)
            else:
                names.update(item.name for item in annotation.objects)
    if not names:
        raise ValueError(f"{', '.join(map(str, sources))}: expected annotated objects, got none")
    return tuple(sorted(names))


def load_annotations(
    sources: Sequence[DatasetSource], classes: Sequence[str], problems: Problems
) -> list[AnnotatedImage]:
    """The images of all splits in order, without decoding a pixel; labels are places in `classes`.

    Images and objects that cannot be used are left out and counted in `problems`, faults with an obvious remedy
    mended (data/README.md has the table). Raises ValueError for a folder or list that is not there, an empty
    split, a split with no usable image, and an id that two sources have.
    """
    images: list[AnnotatedImage] = []
    owners: dict[str, DatasetSource] = {}
    for source in sources:
        found = list(_load_source(source, tuple(classes), problems))
        if not found:
            reasons = "\n".join(["", *problems.summary()])
            raise ValueError(f"{source}: expected at least one usable image, got none{reasons}")
        for image in found:
            if image.image_id in owners:
                raise ValueError(
                    f"image {image.image_id!r}: expected an id in one source, got it in "
                    f"{owners[image.image_id]} and in {source}"
                )
            owners[image.image_id] = source
        images.extend(found)
    return images


def classes_without_objects(annotations: Sequence[AnnotatedImage], classes: Sequence[str]) -> list[str]:
    """The classes of which no image has an object, in the list's order."""
    present = {int(label) for image in annotations for label in image.labels}
    return [name for index, name in enumerate(classes) if index not in present]


def open_source(source: DatasetSource) -> VocFolder:
    """The folder of a source. Raises ValueError saying what was looked for, what is there, and what may be meant."""
    if source.root is None:
        raise ValueError(f"dataset source {source.year!r}: expected a root folder, got none")
    folder = VocFolder(source.root, source.year)
    wanted = folder.split_path(source.split)
    if not wanted.is_file():
        raise ValueError(f"{wanted}: expected the list of a split's images, found none. {_advice(source, folder)}")
    for name in ("Annotations", "JPEGImages"):
        if not (folder.path / name).is_dir():
            raise ValueError(f"{folder.path / name}: expected a folder, found none; {_content(folder.path)}")
    return folder


def _advice(source: DatasetSource, folder: VocFolder) -> str:
    root = Path(source.root)
    if not root.is_dir():
        return f"The root {root} is no folder"
    if wanted_lists := _splits(folder.path):
        return f"{folder.path} has the splits: {', '.join(wanted_lists)}"
    if _splits(root):
        return f"{root} is a year folder itself: use root {root.resolve().parent} and year {root.resolve().name}"
    if years := [child.name for child in sorted(root.iterdir()) if _splits(child)]:
        return f"{root} has the years: {', '.join(years)}"
    if devkits := [child for child in sorted(root.iterdir()) if _splits(child / source.year)]:
        return f"Did you mean root {devkits[0]}?"
    return _content(root)


def _splits(year_folder: Path) -> list[str]:
    return sorted(path.stem for path in (year_folder / "ImageSets" / "Main").glob("*.txt"))


# Names of a folder's content in an error message.
_LISTED = 10


def _content(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"{folder} holds: {', '.join(names[:_LISTED]) or 'nothing'}{more}"


def _load_source(source: DatasetSource, classes: tuple[str, ...], problems: Problems) -> Iterator[AnnotatedImage]:
    folder = open_source(source)
    paths: dict[Path, str] = {}
    for image_id in read_split_file(folder, source.split, problems):
        try:
            image = _load_image(folder, image_id, classes, problems)
        except DataError as error:
            problems.skip_error(error)
            continue
        if image.path in paths:
            split_path = folder.split_path(source.split)
            problems.skip("image id listed again", split_path, f"{image_id!r} is {paths[image.path]!r}")
            continue
        paths[image.path] = image_id
        yield image


def _load_image(folder: VocFolder, image_id: str, classes: tuple[str, ...], problems: Problems) -> AnnotatedImage:
    path = folder.image_path(image_id)
    if path is None:
        raise DataError("missing image", folder.path / "JPEGImages" / image_id, "no file of that name")
    upright, stored = image_sizes(path)
    annotation = read_annotation(folder.annotation_path(image_id), problems)
    size = _frame(annotation, upright, stored, problems)
    boxes, labels, difficult = _usable_objects(annotation, size, classes, problems)
    return AnnotatedImage(
        image_id=image_id,
        path=path,
        size=size,
        boxes=np.array(boxes, dtype=np.float32).reshape(-1, 4),
        labels=np.array(labels, dtype=np.int64),
        difficult=np.array(difficult, dtype=bool),
    )


def _frame(
    annotation: VocAnnotation, upright: tuple[int, int], stored: tuple[int, int], problems: Problems
) -> tuple[int, int]:
    """The size of the frame that boxes are in: the annotation's if the image has it in one of its orientations."""
    if annotation.size is None or annotation.size == upright:
        return upright
    if annotation.size == stored:
        return stored
    message = f"the file has (height, width) = {annotation.size}, the image {upright}, which is used"
    problems.mend("image size that is not the image's", annotation.path, message)
    return upright


def _usable_objects(
    annotation: VocAnnotation, size: tuple[int, int], classes: tuple[str, ...], problems: Problems
) -> tuple[list[np.ndarray], list[int], list[bool]]:
    boxes, labels, difficult = [], [], []
    for item in annotation.objects:
        what = f"object {item.index} ({item.name}): half-open box {item.box}, image (height, width) = {size}"
        box = np.array(item.box)
        clipped = clip(box, size).astype(np.float32)
        if item.name not in classes:
            nearest = get_close_matches(item.name, classes, n=1)
            hint = f", nearest known {nearest[0]!r}" if nearest else ""
            problems.skip(f"unknown class {item.name!r}{hint}", annotation.path, f"object {item.index}")
            continue
        if not (clipped[0] < clipped[2] and clipped[1] < clipped[3]):
            problems.skip("box wholly outside the image", annotation.path, what)
            continue
        if (clipped != box.astype(np.float32)).any():
            problems.mend("box reaching outside the image", annotation.path, what)
        boxes.append(clipped)
        labels.append(classes.index(item.name))
        difficult.append(item.difficult)
    return boxes, labels, difficult
