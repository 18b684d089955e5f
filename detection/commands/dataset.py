"""Data sets of VOC, COCO and YOLO files, and plain folders of photos with XML: looked at and written anew.

check      every fault of a data set, with file and line
stats      objects by class and size, and the recall that proposals can have
convert    write a data set as voc, folder, coco or yolo
split      write a data set with a split in trainval and test
show       some photos with their boxes on one sheet
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from inspect import signature
from pathlib import Path

import numpy as np

from detection import command_line
from detection.command_line import FLAG, say
from detection.commands.dataset_stats import class_table, object_table, picture, search, size_table
from detection.data import DatasetSettings, DatasetSource, Problems, checking, read_image, write_image
from detection.data.census import Sum
from detection.data.dataset import read_class_names
from detection.data.formats import label_format
from detection.data.formats.finding import find_set
from detection.data.formats.voc import VOC_CLASSES
from detection.data.labels import ImageObjects
from detection.data.settings import clean_class_map
from detection.data.split_names import TEST_SPLIT, TRAIN_SPLIT
from detection.data.splitting import split_images
from detection.data.writing import write_dataset
from detection.option_parser import described
from detection.pipeline.executors import worker_processes
from detection.pipeline.work import Work, default_workers, map_images
from detection.proposals import ProposalSettings
from detection.storage import fingerprint, printable, write_text
from detection.visualization import class_colour, contact_sheet, draw_boxes

# Faults printed; all are in the list that --fix writes.
_PRINTED = 50
_SHEET_CELL = (300, 400)


@dataclass(frozen=True)
class SetOptions:
    """Which set, and how its files are read.

    Args:
        path: Folder of the set, COCO json or data.yaml.
        format: voc, folder, coco or yolo; auto: found by looking, and printed.
        splits: Names of the splits, e.g. train,val; without: trainval and test, or train, val and test, or
            all there are.
        classes: Text file of the class names, one a line, or "voc"; without: those that the set has.
        class_map: Class name in the files -> name to use, e.g. {couch: sofa}; null leaves its objects out.
        images: Folder of the images of a COCO json; without: looked for near the file.
    """

    path: str
    format: str = "auto"
    splits: tuple[str, ...] = ()
    classes: str | None = None
    class_map: dict[str, str | None] = field(default_factory=dict)
    images: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "class_map", clean_class_map(self.class_map, "class_map"))


class OpenSet:
    """A set that was read, and what the commands do with it; work: how its images are read, and where to print."""

    def __init__(self, options: SetOptions, work: Work) -> None:
        self.work, self.options = work, options
        found = find_set(options.path, options.format, None if options.images is None else Path(options.images))
        self.say(str(found))
        found = found.remembering()
        names = None
        if options.classes is not None:
            names = VOC_CLASSES if options.classes == "voc" else read_class_names(options.classes)
        splits = options.splits or checking.usual_splits(found)
        self.checked = checking.read_for_checking(found, splits, names, options.class_map)
        for name, images in self.checked.splits.items():
            self.say(f"{name}: {len(images)} images, {sum(len(one.objects) for one in images)} objects")
        self.say(*self.checked.census.lines())
        # Each image once, whatever splits it is in.
        self.images = list({one.path: one for images in self.checked.splits.values() for one in images}.values())

    def say(self, *lines: str) -> None:
        """Print lines as they are."""
        if lines:
            say(self.work.console, *lines)

    def check(self, fix: str | None = None) -> int:
        """Every fault of a data set, with file and line, and what training would do about it.

        Missing, orphan and unreadable files; sizes that differ; boxes that are outside, swapped, empty, doubled or out
        of range; unknown and misspelt classes; equal and rotated photos. The original stays as it is. Exit status: 1
        where training would be wrong or refuses the set, 2 where nothing could be looked at.

          sppnet check photos
          sppnet check photos --fix repaired

        Args:
            fix: New folder for a repaired copy and faults.txt.
        """
        keys, unread = self._pixel_keys(), self.work.problems.records
        found = {checking.Fault("error", one.kind, one.file, one.line, one.message, one.action) for one in unread}
        notes, refusals = checking.training_faults(self._training_settings(), self.checked.found)
        found |= {*self.checked.faults, *refusals, *checking.duplicate_faults(self.checked, keys)}
        faults = sorted(found, key=lambda one: (one.file, one))
        self.say(*map(str, faults[:_PRINTED]))
        if len(faults) > _PRINTED:
            self.say(f"... and {len(faults) - _PRINTED} more{'' if fix else '; --fix FOLDER lists all'}")
        for (severity, kind), count in sorted(Counter((one.severity, one.kind) for one in faults).items()):
            self.say(f"{count:6} {severity}: {kind}")
        self.say(*notes)
        wrong = any(one.severity == "error" for one in faults)
        self.say("training would be wrong" if wrong else "no fault that makes training wrong")
        if fix is not None:
            self._write(fix, checking.repaired_splits(self.checked, keys))
            listed = Path(fix) / "faults.txt"
            lines = [f"{one} -> {one.remedy or 'not repaired: it needs your decision'}" for one in faults]
            write_text(listed, "".join(f"{printable(one)}\n" for one in lines))
            self.say(f"{listed}: every fault and what was done; the original is as it was")
        return 1 if wrong else 0

    def _training_settings(self) -> DatasetSettings:
        """What a run of this set would have, where nothing else is said."""
        given = {one: getattr(self.options, one) for one in ("format", "class_map")}
        train, test = (DatasetSource(split=one, images=self.options.images) for one in (TRAIN_SPLIT, TEST_SPLIT))
        classes = self.options.classes or DatasetSettings.classes
        return DatasetSettings(str(self.options.path), train=(train,), test=(test,), classes=classes, **given)

    def stats(
        self,
        out: str | None = None,
        sample: int = 200,
        seed: int = 0,
        proposals: ProposalSettings = ProposalSettings(),  # noqa: B008 (frozen)
    ) -> None:
        """Objects by class and size, shapes, objects an image, and the recall that proposals can have at each size.

          sppnet stats photos --out figures.png

        Args:
            out: PNG or JPEG file for the picture of the figures.
            sample: Images that are searched for proposals; 0: none.
            seed: Seed of the choice of those images.
            proposals: How proposals are made.
        """
        chosen = self._chosen(sample, seed)
        found = map_images(partial(search, settings=proposals), chosen, self.work, "proposals")
        table = object_table(self.images, {image.path: overlaps for image, overlaps in found})
        counts = np.bincount(table.image, minlength=table.images)
        self.work.console.print(class_table(table, self.checked.classes), size_table(table), sep="\n")
        self.say(
            f"objects an image: mean {counts.mean():.1f}, most {counts.max(initial=0)}, none in {(counts == 0).sum()}",
            f"R@0.5, R@0.7: recall of {proposals.source} at that IoU, on {len(chosen)} images",
        )
        if out is not None:
            write_image(out, picture(table, counts))
            self.say(out)

    def convert(self, to: str, out: str, link: bool = False) -> None:
        """Write a data set in another format, and say what was left out and what that format cannot hold.

          sppnet convert photos --to coco --out photos-coco

        Args:
            to: Format to write: voc, folder, coco or yolo.
            out: New folder for the converted set; it must not hold anything.
            link: Let images be hard links to the originals, not copies.
        """
        label_format(to)  # refused before anything is written
        self._write(out, self.checked.splits, to, link)
        self.say(*(f"{fault} -> {fault.remedy}" for fault in self.checked.faults if fault.remedy))

    def split(self, out: str, share: float = 0.2, seed: int = 0, link: bool = False) -> None:
        """Write a data set with a new split in trainval and test, stratified by class, equal pictures together.

          sppnet split photos --out photos-split --share 0.3

        Args:
            out: New folder for the set with its new split; it must not hold anything.
            share: Share of the images that are held out as test, 0 to 1.
            seed: Seed of the split: the same seed, the same split.
            link: Let images be hard links to the originals, not copies.
        """
        self._refuse_unreadable()
        keys = self._pixel_keys()
        # By path: two splits may have one id for two pictures.
        images = {str(one.path): one for one in self.images if one.path in keys}
        names = {path: [item.name for item in one.objects] for path, one in images.items()}
        if len(different := set(keys.values())) < 2:
            raise ValueError(
                f"split: expected two different pictures at least, one for each side, got {len(different)}"
            )
        parts = split_images(names, share, seed, {path: keys[one.path] for path, one in images.items()})
        splits = {
            name: [images[one] for one in paths] for name, paths in zip((TRAIN_SPLIT, TEST_SPLIT), parts, strict=True)
        }
        self._write(out, splits, link=link)
        for name in self.checked.classes:
            counts = [sum(item.name == name for one in part for item in one.objects) for part in splits.values()]
            self.say(f"{name}: {counts[0]} objects in trainval, {counts[1]} in test")

    def show(self, out: str = "sheet.jpg", count: int = 24, columns: int = 4, seed: int = 0) -> None:
        """Some photos with their boxes on one sheet; difficult objects are dashed.

          sppnet show photos --out sheet.jpg --count 12

        Args:
            out: Image file to write the contact sheet to.
            count: Images on the sheet, chosen by --seed.
            columns: Images in a row of the sheet.
            seed: Seed of the choice of the images.
        """
        labels = {name: label for label, name in enumerate(self.checked.classes)}
        found = map_images(partial(_draw, labels=labels), self._chosen(count, seed), self.work, "drawn")
        drawn = [picture for _, picture in found]
        write_image(out, contact_sheet(drawn, columns, _SHEET_CELL))
        self.say(f"{out}: {len(drawn)} of {len(self.images)} images")

    def _chosen(self, count: int, seed: int) -> list[ImageObjects]:
        places = np.random.default_rng(seed).permutation(len(self.images))[:count]
        return [self.images[place] for place in sorted(places)]

    def _pixel_keys(self) -> dict[Path, str]:
        """Path -> key of the decoded picture, of those that can be decoded; others are listed in ``work.problems``."""
        return {image.path: key for image, key in map_images(_pixel_key, self.images, self.work, "pictures")}

    def _write(
        self, out: str, splits: Mapping[str, Sequence[ImageObjects]], to: str | None = None, link: bool = False
    ) -> None:
        """Write splits in a format, None for the set's own; prints the sum, and what that format cannot hold."""
        self._refuse_unreadable()
        problems = Problems()
        lost = write_dataset(out, to or self.checked.found.format, splits, self.checked.classes, link, problems)
        what = ", ".join(f"{name}: {number}" for name, number in sorted(lost.items()))
        self.say(f"{out}: {', '.join(f'{name} {len(images)} images' for name, images in splits.items())}")
        self.say(*problems.notes, *map(str, self._written(splits)))
        self.say(f"lost, because the format cannot hold it: {what or 'nothing'}")

    def _refuse_unreadable(self) -> None:
        """Raise ValueError where a split could not be read."""
        if unreadable := [str(one) for one in self.checked.faults if one.kind == checking.UNREADABLE_SPLIT]:
            raise ValueError("\n".join([*unreadable, "nothing is written; --splits names those to write"]))

    def _written(self, splits: Mapping[str, Sequence[ImageObjects]]) -> Iterator[Sum]:
        """The sums of what was written, of all that was read."""
        written = {one.path: one for images in splits.values() for one in images}
        unread = {one.file: one.kind for one in self.work.problems}
        pictures, objects = Counter(), Counter({"object given twice": sum(self.checked.dropped.values())})
        for image in self.images:
            if image.path not in written:
                reason = unread.get(str(image.path), "image in two splits")
                pictures[reason] += 1
                objects[reason] += len(image.objects)
        read, words = self.checked.census, ("read", "written")
        yield Sum("pictures", read.pictures.read, len(written), pictures, words)
        yield Sum("objects", read.objects.read, sum(len(one.objects) for one in written.values()), +objects, words)


def _draw(image: ImageObjects, labels: Mapping[str, int]) -> np.ndarray:
    rgb = read_image(image.path, image.size)
    for style, wanted in (("dashed", True), ("solid", False)):
        items = [item for item in image.objects if item.difficult == wanted]
        boxes = np.array([item.box for item in items], np.float32).reshape(-1, 4)
        colours = [class_colour(labels[item.name]) for item in items]
        rgb = draw_boxes(rgb, boxes, [item.name for item in items], colours, style)
    return rgb


def _pixel_key(image: ImageObjects) -> str:
    return fingerprint(read_image(image.path, image.size))


def _command(function: Callable[..., object]) -> command_line.Main:
    own = {"--link": FLAG} if "link" in signature(function).parameters else None

    def run(arguments: list[str]) -> object:
        parser = command_line.Parser(description=described(function))
        parser.add_class_arguments(SetOptions, as_positional=True)
        command_line.add_function_options(parser, function, own)
        words = "Processes over images; 0: one a processor, at most 4."
        parser.add_argument("--workers", type=int, default=1, help=words)
        values = parser.instantiate(parser.parse_args(arguments))
        workers = values.workers or default_workers()
        with worker_processes(workers) as executor:
            options = SetOptions(**{one.name: values[one.name] for one in fields(SetOptions)})
            opened = OpenSet(options, Work(workers, console=command_line.terminal(), executor=executor))
            status = function(opened, **command_line.options_of(function, values))
            return status if opened.checked.census.adds_up else 1

    return command_line.command(run)


_FUNCTIONS = (OpenSet.check, OpenSet.stats, OpenSet.convert, OpenSet.split, OpenSet.show)
main = command_line.subcommands(__doc__, {one.__name__: _command(one) for one in _FUNCTIONS})
