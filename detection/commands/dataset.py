"""What tools/dataset.py does: a data set checked, counted, converted, split, shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from detection.data import read_image, write_image
from detection.data.checking import (
    CheckedSet,
    Fault,
    duplicate_faults,
    read_for_checking,
    repaired_splits,
    usual_splits,
)
from detection.data.dataset import read_class_names
from detection.data.formats import label_format
from detection.data.formats.finding import find_set
from detection.data.formats.voc import VOC_CLASSES
from detection.data.labels import ImageObjects
from detection.data.splitting import split_images
from detection.data.writing import write_dataset
from detection.pipeline.work import Work, map_images
from detection.storage import fingerprint, write_text
from detection.visualization import class_colour, contact_sheet, draw_boxes

# Faults and class names printed; all are in the list that --out or --fix writes.
_PRINTED = 50
_SHEET_CELL = (300, 400)


@dataclass(frozen=True)
class SetOptions:
    """Which set, and how its files are read.

    Args:
        path: Folder of the set, COCO json or data.yaml.
        format: voc, folder, coco or yolo; auto: found by looking, and printed.
        splits: Names of the splits; none: trainval and test, or train, val and test, or all there are.
        classes: Text file of the class names, one a line, or "voc"; null: those that the set has.
        class_map: Class name in the files -> name to use, e.g. {couch: sofa}; null leaves its objects out.
        images: Folder of the images of a COCO json; null: looked for near the file.
    """

    path: str
    format: str = "auto"
    splits: tuple[str, ...] = ()
    classes: str | None = None
    class_map: dict[str, str | None] = field(default_factory=dict)
    images: str | None = None


def open_set(options: SetOptions, work: Work) -> CheckedSet:
    """Read a set with its faults; prints its format, splits and counts."""
    found = find_set(options.path, options.format, None if options.images is None else Path(options.images))
    _say(work, str(found))
    names = None
    if options.classes is not None:
        names = VOC_CLASSES if options.classes == "voc" else read_class_names(options.classes)
    checked = read_for_checking(found, options.splits or usual_splits(found), names, options.class_map)
    for split, images in checked.splits.items():
        _say(work, f"{split}: {len(images)} images, {sum(len(one.objects) for one in images)} objects")
    return checked


def check(options: SetOptions, work: Work, fix: str | None = None) -> int:
    """Print every fault; the exit status: 1 where training would be wrong. fix: the folder of a repaired copy."""
    checked = open_set(options, work)
    contents = pixel_keys(checked, work)
    unread = [Fault("error", one.kind, one.file, one.line, one.message, one.action) for one in work.problems.records]
    faults = sorted({*checked.faults, *unread, *duplicate_faults(checked, contents)}, key=lambda one: (one.file, one))
    for one in faults[:_PRINTED]:
        _say(work, str(one))
    if len(faults) > _PRINTED:
        _say(work, f"... and {len(faults) - _PRINTED} more{'' if fix else '; --fix FOLDER lists all'}")
    for (severity, kind), count in sorted(Counter((one.severity, one.kind) for one in faults).items()):
        _say(work, f"{count:6} {severity}: {kind}")
    wrong = any(one.severity == "error" for one in faults)
    _say(work, "training would be wrong" if wrong else "no fault that makes training wrong")
    if fix is not None:
        splits = repaired_splits(checked, contents)
        lost = write_dataset(fix, checked.found.format, splits, checked.classes)
        lines = [f"{one} -> {one.remedy or 'not repaired: it needs your decision'}\n" for one in faults]
        write_text(Path(fix) / "faults.txt", "".join(lines))
        _say_written(work, fix, splits, lost)
        _say(work, f"{Path(fix) / 'faults.txt'}: every fault and what was done; the original is as it was")
    return 1 if wrong else 0


def convert(options: SetOptions, work: Work, to: str, out: str, link: bool) -> int:
    """Write the set in another format; prints what was left out, and what the format cannot hold."""
    label_format(to)  # refused before all is read
    checked = open_set(options, work)
    lost = write_dataset(out, to, checked.splits, checked.classes, link)
    for fault in checked.faults:
        if fault.remedy:
            _say(work, f"{fault} -> {fault.remedy}")
    _say_written(work, out, checked.splits, lost)
    return 0


def split(options: SetOptions, work: Work, out: str, share: float, seed: int, link: bool) -> int:
    """Write the set with a new split in trainval and test, stratified by class, equal pictures together."""
    checked = open_set(options, work)
    contents = pixel_keys(checked, work)
    images = {one.image_id: one for images in checked.splits.values() for one in images if one.path in contents}
    names = {one: [item.name for item in image.objects] for one, image in images.items()}
    keys = {one: contents[image.path] for one, image in images.items()}
    kept, held_out = split_images(names, share, seed, keys)
    splits = {"trainval": [images[one] for one in kept], "test": [images[one] for one in held_out]}
    lost = write_dataset(out, checked.found.format, splits, checked.classes, link)
    for name in checked.classes:
        counts = [sum(item.name == name for one in part for item in one.objects) for part in splits.values()]
        _say(work, f"{name}: {counts[0]} objects in trainval, {counts[1]} in test")
    _say_written(work, out, splits, lost)
    return 0


def show(options: SetOptions, work: Work, out: str, count: int, columns: int, seed: int) -> int:
    """Draw a contact sheet of some images with their boxes; difficult ones are dashed."""
    checked = open_set(options, work)
    images = list({one.path: one for images in checked.splits.values() for one in images}.values())
    chosen = np.random.default_rng(seed).permutation(len(images))[:count]
    number = {name: place for place, name in enumerate(checked.classes)}
    drawn = [drawing for _, drawing in map_images(_Drawing(number), [images[i] for i in sorted(chosen)], work, "drawn")]
    write_image(out, contact_sheet(drawn, columns, _SHEET_CELL))
    _say(work, f"{out}: {len(drawn)} of {len(images)} images")
    return 0


@dataclass(frozen=True)
class _Drawing:
    """A picklable task: an image with its boxes."""

    number: Mapping[str, int]

    def __call__(self, image: ImageObjects) -> np.ndarray:
        rgb = read_image(image.path, image.size)
        for style, wanted in (("dashed", True), ("solid", False)):
            items = [item for item in image.objects if item.difficult == wanted]
            boxes = np.array([item.box for item in items], np.float32).reshape(-1, 4)
            colours = [class_colour(self.number[item.name]) for item in items]
            rgb = draw_boxes(rgb, boxes, [item.name for item in items], colours, style)
        return rgb


def pixel_keys(checked: CheckedSet, work: Work) -> dict[Path, str]:
    """Path -> key of the decoded picture, of those that can be decoded; others are listed in ``work.problems``."""
    images = list({one.path: one for images in checked.splits.values() for one in images}.values())
    return {image.path: key for image, key in map_images(_pixel_key, images, work, "pictures")}


def _pixel_key(image: ImageObjects) -> str:
    return fingerprint(read_image(image.path, image.size))


def _say_written(work: Work, out: str, splits: Mapping[str, Sequence[ImageObjects]], lost: Mapping[str, int]) -> None:
    counts = ", ".join(f"{name} {len(images)} images" for name, images in splits.items())
    _say(work, f"{out}: {counts}")
    what = ", ".join(f"{name}: {number}" for name, number in sorted(lost.items()))
    _say(work, f"lost, because the format cannot hold it: {what or 'nothing'}")


def _say(work: Work, text: str) -> None:
    work.console.print(text, highlight=False, markup=False, soft_wrap=True)
