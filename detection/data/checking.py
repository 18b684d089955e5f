"""Every fault of a data set with its file and line, and the set as it would be trained on, for `write_dataset`."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from itertools import chain
from pathlib import Path
from typing import Literal

from detection.data.files import is_image_name
from detection.data.formats import FoundSet
from detection.data.images import image_sizes
from detection.data.labels import ImageLabels, ImageObjects, LabelledObject, LabelReader
from detection.data.problems import Problem, Problems, place
from detection.data.split_names import SPLIT_NAMES
from detection.data.usable import labelled_images

Severity = Literal["error", "warning"]

# What the reader repairs without changing what is learned; all else that it repairs or leaves out does.
_HARMLESS = frozenset(["blanks in a class name", "difficult neither 0 nor 1", "image id listed again"])
# The largest coordinate that programs which keep boxes in 16 bits can hold (R-CNN's family).
_LARGEST_UINT16 = 65535
# A name as near as this to another, and this much rarer, is taken for a slip of it.
_NEAR = 0.8
_RARE = 0.05


@dataclass(frozen=True, order=True)
class Fault:
    """One fault. severity: "error" where training would be wrong. remedy: what `check --fix` does, "" for nothing."""

    severity: Severity
    kind: str
    file: str
    line: int
    message: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{place(self.file, self.line)}: {self.severity}: {self.kind}: {self.message}"


@dataclass
class CheckedSet:
    """A set as read. splits: name -> usable images, repaired. labels: what each image's file says, by split."""

    found: FoundSet
    splits: dict[str, list[ImageObjects]] = field(default_factory=dict)
    labels: dict[str, list[ImageLabels]] = field(default_factory=dict)
    readers: dict[str, LabelReader] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that the set declares, in its order, and those of other objects, sorted."""
        declared = dict.fromkeys(name for one in self.readers.values() for name in one.classes or ())
        objects = {item.name for images in self.splits.values() for image in images for item in image.objects}
        return (*declared, *sorted(objects - set(declared)))


def usual_splits(found: FoundSet) -> list[str]:
    """The splits that hold each image once: all there are, but for train and val beside trainval; else "all"."""
    return found.own_splits or ["all"]


def read_for_checking(
    found: FoundSet, splits: Sequence[str], classes: Sequence[str] | None, class_map: Mapping[str, str | None]
) -> CheckedSet:
    """Read splits and list what the readers say, and what is wrong with single objects, classes and files.

    classes: the list that names must be in; None: any. Raises ValueError as the readers do.
    """
    checked = CheckedSet(found)
    problems = Problems()
    for split in splits:
        checked.readers[split] = reader = found.opener(split)()
        checked.labels[split] = seen = []
        checked.splits[split] = list(labelled_images(_recording(reader, seen), problems, classes, class_map))
    checked.faults += [_fault(one) for one in problems]
    for labels in chain.from_iterable(checked.labels.values()):
        checked.faults += _object_faults(labels)
    checked.faults += [*_turned(checked), *_slips(checked, classes), *_lacking(checked), *_orphans(checked)]
    for split, images in checked.splits.items():
        checked.splits[split] = [replace(one, objects=_each_once(one.objects)) for one in images]
    return checked


def _recording(reader: LabelReader, seen: list[ImageLabels]) -> LabelReader:
    """The reader, which puts all that it reads into `seen`, faults and all."""
    recording = copy(reader)
    read = recording.labels

    def labels(image_id: str, size: tuple[int, int] | None, problems: Problems) -> ImageLabels:
        seen.append(read(image_id, size, problems))
        return seen[-1]

    recording.labels = labels
    return recording


def _fault(problem: Problem) -> Fault:
    severity: Severity = "warning" if problem.kind in _HARMLESS else "error"
    return Fault(severity, problem.kind, problem.file, problem.line, problem.message, problem.action)


def _object_faults(labels: ImageLabels) -> Iterator[Fault]:
    """Boxes that come twice, and those that 16 bits cannot hold."""
    seen: dict[tuple[float, ...], LabelledObject] = {}
    for item in labels.objects:
        first = seen.setdefault(item.box, item)
        if first is not item:
            message = f"object {item.index} ({item.name}) is object {first.index} ({first.name}) again: {item.box}"
            same = first.name == item.name
            kind = "object given twice" if same else "one box of two classes"
            severity: Severity = "error" if same else "warning"
            yield Fault(severity, kind, str(labels.path), item.line, message, "left out" if same else "")
        if min(item.box) < -labels.rounding or max(item.box) > _LARGEST_UINT16:
            message = f"object {item.index} ({item.name}): {item.box}: expected 0 to {_LARGEST_UINT16}"
            remedy = "repaired or left out"
            yield Fault("error", "box out of uint16 range", str(labels.path), item.line, message, remedy)


def _each_once(objects: Iterable[LabelledObject]) -> tuple[LabelledObject, ...]:
    seen: dict[tuple[object, str], LabelledObject] = {}
    return tuple(item for item in objects if seen.setdefault((item.box, item.name), item) is item)


def _turned(checked: CheckedSet) -> Iterator[Fault]:
    """Photos with an EXIF rotation: which frame their boxes are in differs from program to program."""
    images = {one.path: one for images in checked.splits.values() for one in images}
    for image in images.values():
        upright, stored = image_sizes(image.path)
        if upright != stored:
            frame = "upright" if image.size == upright else "as stored"
            message = f"EXIF says to turn it; its boxes are read in the frame of the image {frame}, {image.size}"
            yield Fault("warning", "rotated image", str(image.path), 0, message)


def _slips(checked: CheckedSet, classes: Sequence[str] | None) -> Iterator[Fault]:
    """Names that look like slips of others: the same but for case and signs, or near and rare."""
    if classes is not None:
        return  # a name that is not in the list is a fault of its own, with its nearest
    counts: Counter[str] = Counter()
    first: dict[str, tuple[str, int]] = {}
    for labels in chain.from_iterable(checked.labels.values()):
        for item in labels.objects:
            counts[item.name] += 1
            first.setdefault(item.name, (str(labels.path), item.line))
    for name, count in counts.items():
        commoner = [one for one in counts if (counts[one], one) > (count, name)]
        same = [one for one in commoner if _plain(one) == _plain(name)]
        near = get_close_matches(name, [one for one in commoner if count <= _RARE * counts[one]], 1, _NEAR)
        for other in (same or near)[:1]:
            message = (
                f"{name!r} ({count} objects) looks like {other!r} ({counts[other]}); class_map: {{{name}: {other}}}"
            )
            yield Fault("error", "misspelt class", *first[name], message)


def _plain(name: str) -> str:
    return re.sub(r"[^\w]|_", "", name).casefold()


def _lacking(checked: CheckedSet) -> Iterator[Fault]:
    """Classes that are declared and have no object, and those that are measured and not trained."""
    counts = {
        split: Counter(item.name for image in images for item in image.objects)
        for split, images in checked.splits.items()
    }
    total = sum(counts.values(), Counter())
    path = str(checked.found.path)
    for name in checked.classes:
        if not total[name]:
            yield Fault("warning", "class without objects", path, 0, repr(name))
    trained = [one for one in counts if one.lower().startswith("train") or one == "all"]
    known = sum((counts[one] for one in trained), Counter())
    for name in sorted(total if trained else ()):
        if not known[name]:
            where = " and ".join(one for one in counts if counts[one][name])
            message = f"{name!r}: no object in {' and '.join(trained)}, {total[name]} in {where}"
            yield Fault("error", "class without training objects", path, 0, message)


def _orphans(checked: CheckedSet) -> Iterator[Fault]:
    """Label files without an image, and images in no split."""
    found = checked.found
    root = found.path if found.path.is_dir() else found.path.parent
    roots = {root} if found.label_extension else {reader.image_folder for reader in checked.readers.values()}
    images = _listed(checked)
    stems = {path.stem for path in images}
    stems |= {Path(one.file).stem for one in checked.faults if one.kind == "missing image"}
    known = images | {Path(one.file).resolve() for one in checked.faults}
    known |= {one.path.resolve() for one in chain.from_iterable(checked.labels.values())}
    for path in sorted({path for one in roots for path in one.rglob("*") if path.is_file()}):
        if path.name.startswith(".") or path.resolve() in known:
            continue
        if is_image_name(path):
            yield Fault("warning", "image in no split", str(path), 0, "no list or label file names it", "left out")
        elif found.label_extension == path.suffix and _is_label(path) and path.stem not in stems:
            yield Fault("warning", "labels without an image", str(path), 0, "no image has its name", "left out")


def _listed(checked: CheckedSet) -> set[Path]:
    """The images of all splits, of those too that are not checked."""
    readers = [*checked.readers.values()]
    readers += [opener() for split, opener in checked.found.splits.items() if split not in checked.splits]
    paths = [reader.image_path(one) for reader in readers for one in reader.image_ids(Problems())]
    return {path.resolve() for path in paths if path is not None}


def _is_label(path: Path) -> bool:
    """Not a list of images or names, which are text files too."""
    is_list = path.stem in (*SPLIT_NAMES, "classes", "README") or path.parent.name == "Main"
    return path.suffix == ".xml" or not is_list


def duplicate_faults(checked: CheckedSet, contents: Mapping[Path, str]) -> list[Fault]:
    """Images of equal content. contents: path -> key of the pixels.

    Across splits what is measured has been trained on: an error; the image is then left out of all splits but the last.
    Within a split: a warning.
    """
    owners: dict[str, list[tuple[str, ImageObjects]]] = {}
    for split, images in checked.splits.items():
        for image in images:
            if image.path in contents:
                owners.setdefault(contents[image.path], []).append((split, image))
    faults = []
    for group in owners.values():
        last_split, last = group[-1]
        for split, image in group[:-1]:
            if split != last_split:
                message, remedy = f"{split} has the picture of {last.path} in {last_split}", f"left out of {split}"
                faults.append(Fault("error", "image in two splits", str(image.path), 0, message, remedy))
            else:
                message = f"the picture of {last.path}, both in {split}"
                faults.append(Fault("warning", "image given twice", str(image.path), 0, message))
    return faults


def repaired_splits(checked: CheckedSet, contents: Mapping[Path, str]) -> dict[str, list[ImageObjects]]:
    """The splits without images that cannot be decoded, and without those that a later split has too."""
    last = {
        contents[one.path]: name for name, images in checked.splits.items() for one in images if one.path in contents
    }
    return {
        name: [one for one in images if one.path in contents and last[contents[one.path]] == name]
        for name, images in checked.splits.items()
    }
