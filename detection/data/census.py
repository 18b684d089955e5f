"""The sum of a data set: pictures and objects found on disk are those read and those left out, each with its reason.

What is found is counted apart from what is read, on disk and in the label files: a sum that does not add up is an error
of the program, and is told.
"""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from detection.data.files import MAX_LABEL_BYTES, is_image_name, read_small, shown_names
from detection.data.formats import FoundSet
from detection.data.formats.other_tools import own_kind
from detection.data.labels import ImageLabels, LabelReader
from detection.data.problems import DataError, Problem, Problems
from detection.data.split_names import is_split_name
from detection.storage.bounded import text_encoding

# Files that look like labels.
_LABEL_EXTENSIONS = (".xml", ".txt", ".json")
_XML_OBJECT = re.compile(r"<\s*object[\s/>]", re.IGNORECASE)
_JSON_SHAPE = re.compile(r'"label"\s*:')
# Why files are told of one by one.
NO_SPLIT = "image in no split"
NO_IMAGE = "labels without an image"
UNREAD = "labels that no image reads"
UNREAD_LIST = "list of a split that is not read"
_NO_PHOTO = "mask or preview"
_OTHER_SPLIT = "in a split that was not asked for"


@dataclass(frozen=True)
class Sum:
    """found = read + left out. what: of which. left_out: reason -> how many. words: what was done with each side."""

    what: str
    found: int
    read: int
    left_out: Mapping[str, int]
    words: tuple[str, str] = ("found", "read")

    @property
    def missing(self) -> int:
        """How many are in neither; not 0 by an error of the program alone."""
        return self.found - self.read - sum(self.left_out.values())

    def __str__(self) -> str:
        reasons = ", ".join(f"{number} {reason}" for reason, number in sorted(self.left_out.items()) if number)
        left = f" + {sum(self.left_out.values())} left out" + (f" ({reasons})" if reasons else "")
        text = f"{self.found} {self.what} {self.words[0]} = {self.read} {self.words[1]}{left}"
        if not self.missing:
            return text
        return f"{text}; this does not add up by {self.missing}: an error of the program, please report it"


@dataclass(frozen=True)
class Census:
    """What a set has on disk, and where it went.

    path: of the set. pictures, objects: their sums. files: picture or label file that is in no usable image -> why,
    those that are told of one by one. passed_over: why files are neither photo nor label -> what they are.
    """

    path: Path
    pictures: Sum
    objects: Sum
    files: Mapping[Path, str]
    passed_over: Mapping[str, list[str]]

    @property
    def adds_up(self) -> bool:
        """Whether both sums do."""
        return not self.pictures.missing and not self.objects.missing

    def lines(self) -> list[str]:
        """The sums as text, and a line for each reason why files were passed over."""
        lines = [f"{self.path}: {one}" for one in (self.pictures, self.objects)]
        reasons: dict[str, list[str]] = {}
        for path, reason in self.files.items():
            reasons.setdefault(reason, []).append(path.name)
        lines += [f"  {len(names)} {reason}: {shown_names(names)}" for reason, names in reasons.items()]
        for reason, files in self.passed_over.items():
            lines.append(f"  passed over: {len(files)} {reason}: {shown_names(files)}")
        return lines


@dataclass
class SetTally:
    """What was read of one set, image by image. kept: takes what label files say of each picture; None: not wanted."""

    found: FoundSet
    kept: dict[Path, ImageLabels] | None = None
    readers: dict[str, LabelReader] = field(default_factory=dict)
    # (id, picture) -> objects in the file, read, left out because the user's class_map says so.
    images: dict[tuple[str, Path | None], tuple[int, int, int]] = field(default_factory=dict)
    # Pictures by absolute path: those read, and why others were left out.
    read: set[str] = field(default_factory=set)
    left_out: dict[str, str] = field(default_factory=dict)
    label_files: set[str] = field(default_factory=set)
    stems: set[str] = field(default_factory=set)
    # Stems of pictures whose label file is not there: a file of that name elsewhere may be meant for them.
    unlabelled: set[str] = field(default_factory=set)
    problems: dict[Problem, None] = field(default_factory=dict)

    def add_image(
        self,
        image_id: str,
        path: Path | None,
        labels: ImageLabels | None,
        counts: tuple[int, int, int],
        reason: str | None,
    ) -> None:
        """Count an image. counts: objects in its file, read, and unwanted. reason: why it is left out; None if not."""
        self.images[image_id, path] = counts
        self.stems.add(Path(image_id).name)
        if labels is not None:
            self.label_files.add(os.path.abspath(labels.path))
            if path is not None and not labels.path.is_file():
                self.unlabelled.add(path.stem)
            if reason is None and self.kept is not None and path is not None:
                self.kept.setdefault(path, labels)
        if path is not None:
            self.stems.add(path.stem)
            if reason is None:
                self.read.add(os.path.abspath(path))
            else:
                self.left_out.setdefault(os.path.abspath(path), reason)

    def end_split(self, reader: LabelReader, problems: Problems) -> None:
        """Take over the faults of a split that has been read."""
        self.readers[str(reader.list_path)] = reader
        self.problems.update(dict.fromkeys(problems.records))

    def census(self) -> Census:
        """The sums of all that was read so far."""
        disk = list(_files(self._roots()))
        pictures = {path for path in disk if is_image_name(path)}
        pictures |= {path for path in {*self.read, *self.left_out} if os.path.isfile(path)}  # behind links to folders
        passed = {
            os.path.abspath(path): why for one in self.readers.values() for path, why in one.passed_over().items()
        }
        reasons = self._reasons(pictures - self.read, passed)
        labels, others = self._unread_labels([path for path in disk if path not in pictures], passed)
        files = {Path(path): why for path, why in reasons.items() if why == NO_SPLIT}
        files |= {Path(path): why for path, (why, _) in labels.items()}
        passed_over: dict[str, list[str]] = {}
        masks = sorted(path for path, why in reasons.items() if why == _NO_PHOTO)
        if masks:  # one reason stands for all
            key = f"{_NO_PHOTO} ({os.path.basename(masks[0])}: {passed[masks[0]]})"
            passed_over[key] = list(map(os.path.basename, masks))
        for path, why in sorted(others.items()):
            passed_over.setdefault(why, []).append(os.path.basename(path))
        read = Sum("pictures", len(pictures), len(self.read & pictures), Counter(reasons.values()))
        return Census(
            self.found.path, read, self._object_sum(labels.values()), dict(sorted(files.items())), passed_over
        )

    def _object_sum(self, unread: Iterable[tuple[str, int]]) -> Sum:
        """The sum of objects. unread: of each label file that no image reads, why, and how many objects it has."""
        left: Counter[str] = Counter()
        for why, number in unread:
            left[why] += number
        # Those of files that belong to no image, or are read by none, are found too.
        stray = {str(one.path): one.stray_objects for one in self.readers.values()}
        found = left.total() + sum(stray.values()) + sum(number for number, *_ in self.images.values())
        for one in self.problems:
            left[one.kind] += one.objects
        left["left out by class_map"] += sum(unwanted for *_, unwanted in self.images.values())
        return Sum("objects", found, sum(read for _, read, _ in self.images.values()), +left)

    def _roots(self) -> list[str]:
        """The folders whose content is the set's, each once."""
        places = {self.found.path, *(one.image_folder for one in self.readers.values())}
        folders = sorted({os.path.abspath(one) for one in places if one.is_dir()})
        return [one for one in folders if not any(one.startswith(f"{other}{os.sep}") for other in folders)]

    def _reasons(self, pictures: Iterable[str], passed: Mapping[str, str]) -> dict[str, str]:
        """Picture -> why it is in no usable image."""
        rest = [path for path in pictures if path not in self.left_out and path not in passed]
        others = self._of_other_splits() if rest else set()
        homes = {os.path.dirname(path) for path in {*self.read, *self.left_out, *others}}
        reasons = {}
        for path in pictures:
            folder = os.path.dirname(path)
            if path in self.left_out:
                reasons[path] = self.left_out[path]
            elif path in passed:
                reasons[path] = _NO_PHOTO
            elif path in others:
                reasons[path] = _OTHER_SPLIT
            elif folder in homes:
                reasons[path] = NO_SPLIT
            else:
                reasons[path] = f"in {os.path.relpath(folder, self._root())}, of which no image is listed"
        return reasons

    def _root(self) -> str:
        return os.path.abspath(self.found.path if self.found.path.is_dir() else self.found.path.parent)

    def _of_other_splits(self) -> set[str]:
        """The pictures of the set's splits that were not asked for."""
        known = {str(one.list_path) for one in self.readers.values()}
        paths: set[str] = set()
        for name in self.found.own_splits:
            with suppress(ValueError):  # a split that cannot be read is told where it is asked for
                reader = self.found.splits[name]()
                if str(reader.list_path) not in known:
                    found = map(reader.image_path, reader.image_ids(Problems()))
                    paths.update(os.path.abspath(path) for path in found if path is not None)
        return paths

    def _unread_labels(
        self, files: Iterable[str], passed: Mapping[str, str]
    ) -> tuple[dict[str, tuple[str, int]], dict[str, str]]:
        """(label file that no image has read -> (why, objects in it), other file -> why it is passed over)."""
        labels: dict[str, tuple[str, int]] = {}
        others: dict[str, str] = {}
        named = [*(one.list_path for one in self.readers.values()), *(one.file for one in self.problems)]
        used = self.label_files | set(map(os.path.abspath, named))
        other_stems: set[str] | None = None
        for path in files:
            name = Path(path)
            extension = name.suffix.lower()
            if extension not in _LABEL_EXTENSIONS or path in used:
                continue
            if path in passed:
                others[path] = passed[path]
            elif extension == ".txt" and is_split_name(name.stem):
                # Deeper ones may be of something else, as those in the annotations of the Oxford pets.
                is_plain = name.parent.name == "ImageSets" or str(name.parent) == self._root()
                if is_plain and not any(map(is_split_name, self.found.splits)):
                    labels[path] = UNREAD_LIST, 0
                else:
                    others[path] = f"lists of splits, which format {self.found.format} does not read here"
            elif _is_list(name):
                others[path] = "lists, names and read-me files"
            elif name.stem in self.unlabelled and _is_of_another_format(name, self.found.label_extension):
                labels[path] = UNREAD, count_objects(name)
            elif extension != self.found.label_extension:
                others[path] = f"{extension} files, which format {self.found.format} does not read"
            else:
                if other_stems is None:
                    other_stems = {Path(one).stem for one in self._of_other_splits()} - self.stems
                if name.stem in other_stems:
                    others[path] = f"label files of images {_OTHER_SPLIT}"
                else:
                    why = UNREAD if name.stem in self.unlabelled else NO_IMAGE
                    labels[path] = why, count_objects(name)
        return labels, others


def _files(roots: Iterable[str]) -> Iterator[str]:
    """Every file below folders; hidden ones are passed over, and so are links to folders."""
    for root in roots:
        for parent, folders, files in os.walk(root):
            folders[:] = [name for name in folders if not name.startswith(".")]
            yield from (os.path.join(parent, name) for name in files if not name.startswith("."))


def _is_list(path: Path) -> bool:
    """A list of images or names, or a text to be read by people."""
    stem = path.stem.lower()
    return path.suffix.lower() == ".txt" and (
        stem == "classes" or stem.startswith("readme") or path.parent.name in ("Main", "ImageSets")
    )


def _is_of_another_format(path: Path, label_extension: str) -> bool:
    """Whether a file has the labels of one photo, and not as those that are read: VOC's XML, or a tool's own kind."""
    if path.suffix.lower() == label_extension:
        return False
    return own_kind(path) is not None or (path.suffix.lower() == ".xml" and count_objects(path) > 0)


def count_objects(path: Path) -> int:
    """The objects of a label file that no reader reads: XML elements, shapes of LabelMe, or lines; 0 where it cannot be
    read.
    """
    try:
        content = read_small(path, MAX_LABEL_BYTES, "label file")
    except DataError:
        return 0
    text = content.decode(text_encoding(content), errors="replace")
    if path.suffix.lower() == ".xml":
        return len(_XML_OBJECT.findall(text))
    if path.suffix.lower() == ".json":
        return len(_JSON_SHAPE.findall(text))
    return sum(map(bool, map(str.strip, text.split("\n"))))


class Tally:
    """What was read of several sets: a `SetTally` each."""

    def __init__(self) -> None:
        self._sets: dict[Path, SetTally] = {}

    def of(self, found: FoundSet) -> SetTally:
        """The tally of a set, the same for all its splits."""
        return self._sets.setdefault(found.path.absolute(), SetTally(found))

    def lines(self) -> list[str]:
        """The sums of all sets as text."""
        return [line for one in self._sets.values() for line in one.census().lines()]
