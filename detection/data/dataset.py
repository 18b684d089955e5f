"""A data set as the stages take it: its classes, its annotated images."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from detection.data.census import Tally
from detection.data.files import content, read_text
from detection.data.formats import FoundSet
from detection.data.formats.finding import find_set, open_split, possible_formats
from detection.data.formats.voc import VOC_CLASSES, VocFolder, year_folder
from detection.data.labels import ImageObjects, LabelReader, class_name
from detection.data.problems import DataError, Problems
from detection.data.settings import DatasetSettings, DatasetSource, ResolvedSource, resolved
from detection.data.usable import labelled_images
from detection.storage import encodable, file_fingerprint
from detection.types import AnnotatedImage


@dataclass(frozen=True)
class Dataset:
    """One split of a set, read: what `read_dataset` gives.

    path: as given. format: as found. split: as asked for. classes: names in the order of the labels. images: in the
    set's order. source_ids: image id -> the id that results files made for this set use (COCO's numbers as text).
    category_names: number -> name of the classes in such files; None where the set does not number its classes.
    """

    path: Path
    format: str
    split: str | None
    classes: tuple[str, ...]
    images: list[AnnotatedImage]
    source_ids: Mapping[str, str]
    category_names: Mapping[int, str] | None


def read_dataset(
    path: Path | str,
    split: str | None = None,
    format: str = "auto",
    classes: Sequence[str] | None = None,
    problems: Problems | None = None,
    class_map: Mapping[str, str | None] | None = None,
    images: Path | str | None = None,
    need_images: bool = True,
) -> Dataset:
    """A data set in any format without a configuration.

    path: what ``dataset.root`` may be. split: its name; None: the only one, or all images of a set without splits.
    classes: the class list; None: the names that the set declares (COCO, YOLO, in their order), else those of its
    objects, sorted. problems: takes the faults; a new one if None. need_images: False takes images too that are not
    there, with the size that VOC's and COCO's files give. Otherwise as `DatasetSource`. Raises ValueError as
    `load_annotations`, and where a set has several splits and none is named.
    """
    problems = Problems() if problems is None else problems
    split = _only_split(path, format) if split is None else split
    given = None if images is None else str(images)
    source = ResolvedSource(split=split, root=str(path), format=format, images=given, class_map=dict(class_map or {}))
    readers = open_source(source, problems)
    if classes is None:
        declared = [name for reader in readers for name in reader.classes or ()]
        mapped = [source.class_map.get(name, name) for name in declared]
        classes = tuple(dict.fromkeys(filter(None, mapped))) or collect_classes([source], problems)
    found = load_annotations([source], classes, problems, need_images)
    ids = {one: number for reader in readers for one, number in reader.source_ids.items()}
    numbers = {
        number: source.class_map.get(name, name)
        for reader in readers
        for number, name in zip(reader.category_ids or (), reader.classes or (), strict=True)
    }
    return Dataset(Path(path), find_set(path, format).format, split, tuple(classes), found, ids, numbers or None)


def _only_split(path: Path | str, format: str) -> str:
    found = find_set(path, format)
    if len(found.splits) > 1:
        raise ValueError(f"{path}: format {found.format}: expected a split ({', '.join(found.splits)}), got none")
    return next(iter(found.splits), "all")


def dataset_classes(
    settings: DatasetSettings, problems: Problems, train: Sequence[DatasetSource] | None = None
) -> tuple[str, ...]:
    """The class list that the settings ask for. train: their training sources, where they have been resolved already.

    Raises ValueError where it would be empty.
    """
    if settings.classes == "collect":
        return collect_classes(settings.train_sources if train is None else train, problems)
    return VOC_CLASSES if settings.classes == "voc" else read_class_names(settings.classes)


def read_class_names(path: Path | str) -> tuple[str, ...]:
    """Class names from a text file, one a line, blank lines passed over. Raises ValueError for none or a repeat."""
    lines = read_text(Path(path), "class names").split("\n")
    names = tuple(class_name(one, path, line=number) for number, one in enumerate(lines, start=1) if one.strip())
    repeated = sorted(name for name, count in Counter(names).items() if count > 1)
    if not names or repeated:
        raise ValueError(f"{path}: expected class names, each once, got {repeated or 'none'}")
    return names


def collect_classes(sources: Sequence[DatasetSource], problems: Problems) -> tuple[str, ...]:
    """The names of all objects with a usable box in `sources`, sorted. Raises ValueError where there is none."""
    names: set[str | None] = set()
    for source in map(resolved, sources):
        for reader in open_source(source, problems):
            for image_id in reader.image_ids(problems):
                try:
                    labels = reader.labels(image_id, None, problems)
                except DataError as error:
                    problems.skip_error(error)
                else:
                    names.update(source.class_map.get(item.name, item.name) for item in labels.objects)
    names.discard(None)
    if not names:
        raise ValueError(f"{', '.join(map(str, sources))}: expected annotated objects, got none")
    return tuple(sorted(names))


def load_annotations(
    sources: Sequence[DatasetSource],
    classes: Sequence[str],
    problems: Problems,
    need_images: bool = True,
    tally: Tally | None = None,
) -> list[AnnotatedImage]:
    """The images of all splits in order, without decoding a pixel; labels are places in `classes`.

    Images and objects that cannot be used are left out and counted in `problems`, faults with an obvious remedy
    repaired (docs/faulty-data.md has the table). tally: takes the account of what was found and read. Raises ValueError
    for a folder or list that is not there, an empty split, a split with no usable image, and an id that two sources
    have: `DatasetSource.name` tells them apart.
    """
    images: list[AnnotatedImage] = []
    owners: dict[str, DatasetSource] = {}
    places = {name: place for place, name in enumerate(classes)}
    for source in sources:
        found = [_annotated(one, places) for one in _labelled(source, places, problems, need_images, tally)]
        if not found:
            reasons = "\n".join(["", *problems.summary()])
            raise ValueError(f"{source}: expected at least one usable image, got none{reasons}")
        for image in found:
            if image.image_id in owners:
                raise ValueError(_same_id(image.image_id, owners[image.image_id], source))
            owners[image.image_id] = source
        images.extend(found)
    return images


def _same_id(image_id: str, first: DatasetSource, second: DatasetSource) -> str:
    """What to do about one id of two pictures."""
    if first is not second:
        where = f"in {first} and in {second}; a name for one of them (dataset.train or test: name) comes before its ids"
    else:
        where = (
            f"twice in {first}; list the splits that are joined in it, each with a name that comes before its ids: "
            "dataset.train: [{split: train, name: train}, {split: val, name: val}]"
        )
    return f"image {image_id!r}: expected an id in one source, got it {where}"


def load_training(
    sources: Sequence[DatasetSource], classes: Sequence[str], problems: Problems, tally: Tally | None = None
) -> list[AnnotatedImage]:
    """`load_annotations` of what is trained on. Raises ValueError too where no image has an object of any class."""
    images = load_annotations(sources, classes, problems, tally=tally)
    if len(classes_without_objects(images, classes)) == len(classes):
        where = ", ".join(map(str, sources))
        raise ValueError(f"{where}: expected objects of {', '.join(classes)} to train on, got none")
    return images


def shared_ids(train: Sequence[AnnotatedImage], test: Sequence[AnnotatedImage]) -> list[str]:
    """The ids of test images that are training images too.

    Raises ValueError where an id is of two pictures: what is made of an image is kept by its id.
    """
    training = {one.image_id: one for one in train}
    shared = [(one, training[one.image_id]) for one in test if one.image_id in training]
    for one, other in shared:
        if (file_fingerprint(one.path), one.size) != (file_fingerprint(other.path), other.size):
            raise ValueError(
                f"image {one.image_id!r}: expected one picture of an id, got {other.path} in training and "
                f"{one.path} in test; a name for the source of one comes before its ids: "
                "dataset.test: [{split: test, name: test}]"
            )
    return [one.image_id for one, _ in shared]


def classes_without_objects(annotations: Sequence[AnnotatedImage], classes: Sequence[str]) -> list[str]:
    """The classes of which no image has an object, in the list's order."""
    present = {int(label) for image in annotations for label in image.labels}
    return [name for index, name in enumerate(classes) if index not in present]


def load_labelled(sources: Sequence[DatasetSource], problems: Problems) -> list[ImageObjects]:
    """The images of all splits as `load_annotations` has them, with objects of every class and all that is said of
    them, for writing them elsewhere.
    """
    return [one for source in sources for one in _labelled(source, None, problems)]


def _labelled(
    source: DatasetSource,
    classes: Mapping[str, int] | None,
    problems: Problems,
    need_images: bool = True,
    tally: Tally | None = None,
) -> Iterator[ImageObjects]:
    source = resolved(source)
    found, readers = _open(source, problems)
    counted = None if tally is None else tally.of(found)
    how = need_images, source.max_pixels, counted
    for reader in readers:
        for image in labelled_images(reader, problems, classes, source.class_map, *how):
            yield replace(image, image_id=source_image_id(source, image.image_id))


def source_image_id(source: DatasetSource, image_id: str) -> str:
    """The id in a run of an image that has `image_id` in its set: text that every file of a run can hold."""
    return encodable(f"{source.name}/{image_id}" if source.name else image_id)


def split_ids(sources: Sequence[DatasetSource], problems: Problems) -> list[str]:
    """The image ids of splits in their lists' order, of unusable images too."""
    return [
        source_image_id(source, one)
        for source in sources
        for reader in open_source(source, problems)
        for one in reader.image_ids(problems)
    ]


def result_numbers(sources: Sequence[DatasetSource], problems: Problems) -> dict[str, str]:
    """Number by which results files call an image (COCO's, as text) -> image id; numbers of several are left out."""
    found: dict[str, set[str]] = {}
    for source in map(resolved, sources):
        for reader in open_source(source, problems):
            for image_id, number in reader.source_ids.items():
                found.setdefault(number, set()).add(source_image_id(source, image_id))
    return {number: next(iter(ids)) for number, ids in found.items() if len(ids) == 1}


def _annotated(image: ImageObjects, places: Mapping[str, int]) -> AnnotatedImage:
    areas = [item.area for item in image.objects]
    return AnnotatedImage(
        image_id=image.image_id,
        path=image.path,
        size=image.size,
        boxes=np.array([item.box for item in image.objects], dtype=np.float32).reshape(-1, 4),
        labels=np.array([places[item.name] for item in image.objects], dtype=np.int64),
        difficult=np.array([item.difficult for item in image.objects], dtype=bool),
        truncated=_truncated(image),
        areas=None if None in areas else np.array(areas, dtype=np.float64),
    )


def _truncated(image: ImageObjects) -> np.ndarray | None:
    """What the objects are marked as; None where no object of the image has such a mark."""
    marks = [item.extras.get("truncated") for item in image.objects]
    if marks and not any(mark is not None for mark in marks):
        return None
    return np.array([mark in (1, True, "1", "true") for mark in marks], dtype=bool)


def open_source(source: DatasetSource, problems: Problems) -> list[LabelReader]:
    """The readers of a source's split; what was found is noted.

    Raises ValueError saying what was looked for, what is there, and what may be meant.
    """
    return _open(resolved(source), problems)[1]


def _open(source: ResolvedSource, problems: Problems) -> tuple[FoundSet, list[LabelReader]]:
    if source.root is None:
        raise ValueError(f"dataset source {source.split!r}: expected a root folder, got none")
    base = Path(source.root) / source.year
    if source.format == "voc" or (source.format == "auto" and source.year):
        _check_devkit(source, base)
    images = None if source.images is None else Path(source.images)
    found = source.found or find_set(base, source.format, images)
    readers = open_split(found, source.split, problems, source.held_out, source.seed)
    problems.note(str(found))
    return found, readers


def _check_devkit(source: ResolvedSource, base: Path) -> None:
    """Raise ValueError where a year folder is named, has no lists of images, and is no set in another format."""
    folder = VocFolder(base if source.year else year_folder(base) or base, "")
    wanted = folder.split_path(source.split)
    if folder.splits() or (source.format == "auto" and base.exists() and set(possible_formats(base)) - {"voc"}):
        return
    raise ValueError(f"{wanted}: expected the list of a split's images, found none. {_advice(source, folder)}")


def _advice(source: DatasetSource, folder: VocFolder) -> str:
    root = Path(source.root)
    if not root.is_dir():
        return f"The root {root} is no folder"
    if _splits(root):
        return f"{root} is a year folder itself: use root {root.resolve().parent} and year {root.resolve().name}"
    if years := [child.name for child in sorted(root.iterdir()) if _splits(child)]:
        return f"{root} has the years: {', '.join(years)}"
    if devkits := [child for child in sorted(root.iterdir()) if _splits(child / source.year)]:
        return f"Did you mean root {devkits[0]}?"
    return content(root)


def _splits(folder: Path) -> list[str]:
    return VocFolder(folder, "").splits()
