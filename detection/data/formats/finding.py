"""Which format a data set has, found by looking or as told, and the reader of one of its splits."""

from copy import copy
from dataclasses import replace
from pathlib import Path

from detection.data.files import content, is_file
from detection.data.formats import FORMATS, FoundSet, label_format
from detection.data.formats.other_tools import own_kind_in
from detection.data.labels import LabelReader
from detection.data.problems import DataError, Problems
from detection.data.split_names import TEST_SPLIT, TRAIN_SPLIT, named_split, splits_of_kind
from detection.data.splitting import split_images
from detection.storage import file_fingerprint


def find_set(path: Path | str, wanted: str = "auto", images: Path | None = None) -> FoundSet:
    """The data set at a path: a file or folder that one of the formats recognises; wanted: the name of its format.

    images: the folder of a COCO set's images, looked for where None. Raises ValueError saying what was looked for and
    what is there, DataError for a COCO json that cannot be read.
    """
    path = Path(path)
    if not path.exists():
        raise ValueError(f"{path}: expected a data set, found nothing there")
    found = possible_formats(path) if wanted == "auto" else [wanted]
    if not found:
        raise ValueError(
            f"{path}: expected a data set: {', '.join(one.expects for one in FORMATS.values())}; "
            f"{content(path)}.{_hint(path)}"
        )
    return replace(label_format(found[0]).open(path, images), format=found[0], also=tuple(found[1:]))


def _hint(path: Path) -> str:
    """Which tool a set is of, or where below a set lies, for a message."""
    if tool := own_kind_in(path):
        return f" {tool}"
    below = [one for one in sorted(path.iterdir()) if one.is_dir() and possible_formats(one)] if path.is_dir() else []
    return f" Did you mean {below[0]}?" if below else " dataset.format says which it is"


def possible_formats(path: Path) -> list[str]:
    """The formats that a file or folder looks like, the likeliest first."""
    found = [name for name, one in FORMATS.items() if not one.fallback and one.looks_like(path)]
    return found or [name for name, one in FORMATS.items() if one.fallback and one.looks_like(path)]


def open_split(found: FoundSet, split: str, problems: Problems, held_out: float, seed: int) -> list[LabelReader]:
    """The readers of a split, joined in this order: one, or train and val together for "trainval".

    A split is meant by its name or by another usual one (valid for "val", train for "trainval", val for "test" where
    there is no test), or, in an undivided set, by a division of its images: `held_out` of them are "test", the others
    "trainval". "all" is the whole of an undivided set. What was done is noted in `problems`. Raises ValueError naming
    the splits that are there.
    """
    if split not in (TRAIN_SPLIT, TEST_SPLIT) or named_split(found.splits, split) or found.fixed_splits:
        return [found.opener(split)()]
    kinds = (TRAIN_SPLIT, "train", "val", TEST_SPLIT)
    both, train, val, test = (splits_of_kind(found.own_splits, kind) for kind in kinds)
    if split == TEST_SPLIT:
        chosen = test or (val if train else [])
    else:
        chosen = both or ([*train, *(val if test else ())] if train and (val or test) else [])
    if chosen:
        problems.note(f"{found.path}: {split} is {' and '.join(chosen)}")
        return [found.splits[one]() for one in chosen]
    if found.undivided is None or both or test:
        return [found.opener(split)()]
    return [_divided(found.undivided(), split, problems, held_out, seed)]


def _divided(reader: LabelReader, split: str, problems: Problems, held_out: float, seed: int) -> LabelReader:
    quiet = Problems()  # the same faults come when the images are loaded
    names: dict[str, list[str]] = {}
    contents = {}
    for image_id in reader.image_ids(quiet):
        path = reader.image_path(image_id)
        try:
            if path is None or not is_file(path):  # a pipe would be waited for
                continue
            key = file_fingerprint(path)
            names[image_id] = [item.name for item in reader.labels(image_id, None, quiet).objects]
            contents[image_id] = key
        except (DataError, OSError):
            continue
    kept, out = split_images(names, held_out, seed, contents)
    problems.note(
        f"{reader.path}: has no splits: {len(kept)} images are {TRAIN_SPLIT}, {len(out)} are held out as {TEST_SPLIT} "
        f"(dataset.held_out {held_out:g}, dataset.seed {seed}; sppnet split makes a lasting split)"
    )
    chosen, part = set(out), copy(reader)
    all_ids = part.image_ids
    # What cannot be read belongs to training, where its faults are told.
    part.image_ids = lambda problems: [one for one in all_ids(problems) if (one in chosen) == (split == TEST_SPLIT)]
    return part
