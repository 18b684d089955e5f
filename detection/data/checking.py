"""Every fault of a data set with its file and line, and the set as it would be trained on, for `write_dataset`."""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import Literal

from detection.data.census import NO_IMAGE, NO_SPLIT, UNREAD, UNREAD_LIST, Census, SetTally
from detection.data.dataset import dataset_classes, load_annotations, load_training, shared_ids
from detection.data.files import shown_names
from detection.data.formats import FoundSet
from detection.data.images import image_header
from detection.data.labels import ImageLabels, ImageObjects, LabelledObject, LabelReader
from detection.data.problems import Problem, Problems, place
from detection.data.settings import DatasetSettings, DatasetSource
from detection.data.usable import frame_is_a_guess, labelled_images

Severity = Literal["error", "warning"]

# What the reader repairs without changing what is learned; all else that it repairs or leaves out does.
_HARMLESS = frozenset(
    [
        "blanks in a class name",
        "difficult neither 0 nor 1",
        "image id listed again",
        "further box in an object",
        "image listed under two ids",
        "image found by its last part",
    ]
)
UNREADABLE_SPLIT = "split that cannot be read"
# The largest coordinate that programs which keep boxes in 16 bits can hold (R-CNN's family).
_LARGEST_UINT16 = 65535
# A name as near as this to another, and this much rarer, is taken for a slip of it.
_NEAR = 0.8
_RARE = 0.05
# Pairs of names that are compared; where there are more, names are not the fault.
_COMPARED = 200_000


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
    """A set as read. splits: name -> usable images, repaired. tally: what was read.

    dropped: picture -> objects of it that were given twice, and are in `splits` once.
    """

    found: FoundSet
    tally: SetTally
    splits: dict[str, list[ImageObjects]] = field(default_factory=dict)
    readers: dict[str, LabelReader] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    dropped: dict[Path, int] = field(default_factory=dict)

    @cached_property
    def census(self) -> Census:
        """The sums of what was found on disk and read."""
        return self.tally.census()

    @property
    def labels(self) -> Iterable[ImageLabels]:
        """What each usable image's file says."""
        return self.tally.kept.values()

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
    checked = CheckedSet(found, SetTally(found, kept={}))
    problems = Problems()
    for split in splits:
        opener = found.opener(split)
        try:
            checked.readers[split] = reader = opener()
            images = list(labelled_images(reader, problems, classes, class_map, tally=checked.tally))
        except ValueError as error:
            checked.faults.append(Fault("error", UNREADABLE_SPLIT, str(found.path), 0, f"{split}: {error}"))
            images = []
        checked.splits[split] = images
    checked.faults += [_fault(one) for one in problems]
    for labels in checked.labels:
        checked.faults += _object_faults(labels)
    checked.faults += [*_turned(checked), *_slips(checked, classes), *_lacking(checked), *_unread(checked.census)]
    for split, images in checked.splits.items():
        checked.splits[split] = once = [replace(one, objects=_each_once(one.objects)) for one in images]
        pairs = zip(images, once, strict=True)
        checked.dropped |= {one.path: len(one.objects) - len(other.objects) for one, other in pairs}
    return checked


def _fault(problem: Problem) -> Fault:
    severity: Severity = "warning" if problem.kind in _HARMLESS and not problem.objects else "error"
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
        header = image_header(image.path)
        if header.orientation == 1:
            continue
        message = (
            f"EXIF says to turn it (orientation {header.orientation}); its boxes are read in the frame of the image "
        )
        if frame_is_a_guess(header, checked.tally.kept[image.path].size):
            message += "upright, and its labels do not tell whether they were drawn on the pixels as stored"
        else:
            message += f"{'upright' if image.size == header.upright else 'as stored'}, {image.size}"
        yield Fault("warning", "rotated image", str(image.path), 0, message)


def _slips(checked: CheckedSet, classes: Sequence[str] | None) -> Iterator[Fault]:
    """Names near to others and rare, which look like slips of these; names that differ in case and signs alone."""
    if classes is not None:
        return  # a name that is not in the list is a fault of its own, with its nearest
    counts: Counter[str] = Counter()
    first: dict[str, tuple[str, int]] = {}
    for labels in checked.labels:
        for item in labels.objects:
            counts[item.name] += 1
            first.setdefault(item.name, (str(labels.path), item.line))
    ranked = sorted(counts, key=lambda one: (counts[one], one), reverse=True)
    letters = {name: _letters(name) for name in ranked}
    commonest: dict[str, str] = {}
    compared = 0
    for name in ranked:
        count, other = counts[name], commonest.setdefault(_plain(name), name)
        if other is not name:
            message = (
                f"{name!r} ({count} objects) and {other!r} ({counts[other]}) differ in case or signs alone: two classes"
            )
            yield Fault("warning", "classes that look alike", *first[name], message)
            continue
        commoner = takewhile(lambda one: count <= _RARE * counts[one], ranked)  # noqa: B023 (used at once)
        rarer_than = [one for one in commoner if letters[one] != letters[name]]
        compared += len(rarer_than)
        if compared > _COMPARED:
            return
        near = get_close_matches(name, rarer_than, 1, _NEAR)
        near += [one for one in rarer_than if sorted(letters[one]) == sorted(letters[name])]  # dgo
        for other in near[:1]:
            advice = f"class_map: {{{_quoted(name)}: {_quoted(other)}}}"
            message = f"{name!r} ({count} objects) looks like {other!r} ({counts[other]}); {advice}"
            yield Fault("error", "misspelt class", *first[name], message)


def _plain(name: str) -> str:
    """A name without case and signs; of signs alone as it stands."""
    return re.sub(r"[^\w]|_", "", unicodedata.normalize("NFC", name)).casefold() or name


def _letters(name: str) -> str:
    """A name without signs and digits: those of a series, as size 10 and size 11, differ in them on purpose."""
    return re.sub(r"\d", "", _plain(name))


def _quoted(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)


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


def _unread(census: Census) -> Iterator[Fault]:
    """Pictures and label files that are in no image, and sums that do not add up."""
    messages = {
        NO_SPLIT: "no list or label file names it",
        NO_IMAGE: "no image of the splits that are read has its name",
        UNREAD: "an image of its name has no labels, and they are looked for elsewhere, or in another format",
        UNREAD_LIST: "the set is divided anew; splits are folders (train, test), or lists in a devkit's ImageSets/Main",
    }
    for path, kind in census.files.items():
        yield Fault("error" if kind == UNREAD else "warning", kind, str(path), 0, messages[kind], "left out")
    for one in (census.pictures, census.objects):
        if one.missing:
            yield Fault("error", "sum that does not add up", str(census.path), 0, str(one))


def training_faults(settings: DatasetSettings, found: FoundSet | None = None) -> tuple[list[str], list[Fault]]:
    """What training does with a set, as lines of text, and why it refuses it, in its own words.

    It reads what training reads, by the same functions. settings: as a run would have them. found: the set at their
    root, where it has been opened already: what it remembers is not read again.
    """
    problems, faults, lines = Problems(), [], []
    train, test = (
        [replace(one, found=found) for one in some] for some in (settings.train_sources, settings.test_sources)
    )
    try:
        classes = dataset_classes(settings, problems, train)
        images = [load_training(train, classes, problems)]
        lines.append(
            f"training would learn {len(classes)} classes from {len(images[0])} images: {_named(settings.train)}"
        )
        images.append(load_annotations(test, classes, problems))
        lines.append(f"and be measured on {len(images[1])} images: {_named(settings.test)}")
        shared = shared_ids(*images)
        if shared:
            message = f"{len(shared)} images: {shown_names(shared)}"
            faults.append(Fault("warning", "test image that is trained on", settings.root, 0, message))
    except ValueError as error:
        faults.append(Fault("error", "training refuses the set", settings.root, 0, str(error)))
    return [*(one for one in problems.notes if " format " not in one), *lines], faults


def _named(sources: Sequence[DatasetSource]) -> str:
    return " and ".join(one.split for one in sources)


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
