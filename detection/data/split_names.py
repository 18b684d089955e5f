"""The names that tools give to splits, the same for every format and command; capital letters make no difference."""

import re
from collections.abc import Iterable

# The splits that are asked for where a user names none.
TRAIN_SPLIT, TEST_SPLIT = "trainval", "test"
# What a split is -> its names, in the order in which they are shown. "trainval" is train and val in one.
_NAMES = {
    TRAIN_SPLIT: (TRAIN_SPLIT,),
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev", "development"),
    TEST_SPLIT: (TEST_SPLIT, "testing", "eval", "evaluation", "holdout"),
}
_KINDS = {name: kind for kind, names in _NAMES.items() for name in names}
# Every name, without a year.
SPLIT_NAMES = tuple(_KINDS)
# The year behind a name, as in COCO's train2017.
_YEAR = re.compile(r"(?<=[A-Za-z])(?:19|20)\d\d$")


def without_year(name: str) -> str:
    """The name of a split without the year behind it."""
    return _YEAR.sub("", name)


def split_kind(name: str) -> str:
    """What a split of this name is: trainval, train, val or test; the name itself where it is no usual one."""
    return _KINDS.get(without_year(name).lower(), name)


def is_split_name(name: str) -> bool:
    """Whether a name is one of those that splits usually have, with a year behind it or without."""
    return without_year(name).lower() in _KINDS


def splits_of_kind(names: Iterable[str], kind: str) -> list[str]:
    """The names of splits that are of a kind, in their order."""
    return [name for name in names if split_kind(name) == kind]


def named_split(names: Iterable[str], wanted: str) -> str | None:
    """The split that is meant by a name: the one of that name, else the only one of its kind; None for none."""
    names = list(names)
    found = [wanted] if wanted in names else splits_of_kind(names, split_kind(wanted))
    return found[0] if len(found) == 1 else None


def in_usual_order(names: Iterable[str]) -> list[str]:
    """Names of splits: training before validation before test, others behind, else in their order."""
    order = {kind: place for place, kind in enumerate(_NAMES)}
    return sorted(names, key=lambda name: order.get(split_kind(name), len(order)))


def parts_of_others(names: Iterable[str]) -> set[str]:
    """Of lists of images those whose images another lists, too: train and val beside trainval."""
    names = list(names)
    whole = splits_of_kind(names, TRAIN_SPLIT)
    return {name for kind in ("train", "val") for name in splits_of_kind(names, kind) if whole}
