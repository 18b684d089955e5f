"""What a format of data sets is: how it is recognised, opened and written. `detection.data.formats` lists them all."""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from detection.data.files import is_image_name
from detection.data.labels import ImageObjects, LabelledObject, LabelReader, remembering
from detection.data.split_names import in_usual_order, is_split_name, named_split


@dataclass(frozen=True)
class FoundSet:
    """A data set whose format is known.

    path: its folder, COCO json or data.yaml. splits: name -> reader; none where the set is not split. whole: the reader
    of all images, None where there is none. label_extension: of its label files, one an image; "" where one file has
    all. parts: splits whose images others have, too; they are opened by name alone. fixed_splits: a split that is not
    there is never made of others, nor by dividing. told: what a user should know of how it was found. format: its name.
    also: other formats it might be; `find_set` sets these two.
    """

    path: Path
    splits: Mapping[str, Callable[[], LabelReader]]
    whole: Callable[[], LabelReader] | None = None
    label_extension: str = ""
    parts: Collection[str] = ()
    fixed_splits: bool = False
    told: str = ""
    format: str = ""
    also: tuple[str, ...] = ()

    @property
    def own_splits(self) -> list[str]:
        """The splits that together have each image once, in the usual order."""
        return in_usual_order(name for name in self.splits if name not in self.parts)

    @property
    def undivided(self) -> Callable[[], LabelReader] | None:
        """The reader of all images of a set that has no splits, one, or none of the usual names; None for others."""
        own = self.own_splits
        if len(own) == 1:
            return self.splits[own[0]]
        return None if any(map(is_split_name, own)) else self.whole

    def opener(self, split: str) -> Callable[[], LabelReader]:
        """The reader of the split that a name means (`named_split`); "all": of an undivided set.

        Raises ValueError naming the splits that are there.
        """
        if name := named_split(self.splits, split):
            return self.splits[name]
        if split == "all" and self.undivided is not None:
            return self.undivided
        there = ", ".join(self.splits) or "none"
        raise ValueError(f"{self.path}: format {self.format}: expected the split {split!r}, got the splits: {there}")

    def remembering(self) -> "FoundSet":
        """The same set, of which what is read of an image's labels is kept: all readers of a split share it."""
        splits = {name: partial(_remembering, one, {}) for name, one in self.splits.items()}
        return replace(self, splits=splits, whole=self.whole and partial(_remembering, self.whole, {}))

    def __str__(self) -> str:
        also = f"; could be {' or '.join(self.also)} too: dataset.format says which" if self.also else ""
        told = f"; {self.told}" if self.told else ""
        return f"{self.path}: format {self.format}{told}{also}"


def _remembering(opener: Callable[[], LabelReader], memory: dict[str, tuple]) -> LabelReader:
    return remembering(opener(), memory)


@dataclass
class NewSet:
    """A data set to be written.

    folder: where. name: what the folder will be called. splits: name -> images; an image may be in several. classes:
    names in the order of their numbers. link: let images be hard links to the originals where the disk can. lost: what
    the format cannot hold -> how many, counted by the writer. written_as: split -> the name under which the set is read
    again, where that is another. pictures: file that was written -> id of its image.
    """

    folder: Path
    name: str
    splits: Mapping[str, Sequence[ImageObjects]]
    classes: tuple[str, ...]
    link: bool = False
    lost: Counter[str] = field(default_factory=Counter)
    written_as: dict[str, str] = field(default_factory=dict)
    pictures: dict[Path, str] = field(default_factory=dict)

    def put_image(self, image: ImageObjects, place: Path) -> Path:
        """Copy an image, or link it, to a place below the folder, unless another split has brought it; its path."""
        path = place / image_file_name(image)
        self.pictures[path] = image.image_id
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            return path
        try:
            if self.link:
                os.link(image.path.resolve(), path)
                return path
        except OSError:
            pass  # another disk, or a system without links
        shutil.copy2(image.path, path)
        return path

    def count_unused_classes(self) -> None:
        """Count the classes of the list that no object has as lost: for a format without a list of classes."""
        present = {item.name for images in self.splits.values() for image in images for item in image.objects}
        self.lost.update(f"class without objects ({one})" for one in self.classes if one not in present)


@dataclass(frozen=True)
class LabelFormat:
    """A format of data sets.

    name: what ``dataset.format`` says. expects: what a set of it holds, for a message. looks_like: whether a file or
    folder may be such a set. open: the set at a path; the second argument is the folder of its images, None where
    that is to be looked for. It raises ValueError saying what was looked for and what is there. write: writes a set
    to its new folder. fallback: meant only where a set looks like no other format. needs_classes: whether it holds no
    set without a class.
    """

    name: str
    expects: str
    looks_like: Callable[[Path], bool]
    open: Callable[[Path, Path | None], FoundSet]
    write: Callable[[NewSet], None]
    fallback: bool = False
    needs_classes: bool = False


def image_file_name(image: ImageObjects) -> str:
    """An image's file in a written set: its id with its extension."""
    return f"{image.image_id}{image.path.suffix if is_image_name(image.path) else '.jpg'}"


def simple_extras(item: LabelledObject, lost: Counter[str]) -> dict[str, str | int | float]:
    """What an object says beyond its box that a name and a value can hold; the rest is counted in `lost`."""
    kept = {}
    for name, value in item.extras.items():
        if name == "segmentation":
            lost["outlines (the box is kept)"] += 1
        elif type(value) in (str, int, float, bool) and value != "...":
            kept[name] = int(value) if isinstance(value, bool) else value
        else:
            lost[name] += 1
    return kept
