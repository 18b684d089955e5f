"""A seeded split of images in two, stratified by class, in which equal images stay together."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np


def split_images(
    names: Mapping[str, Sequence[str]], share: float, seed: int, contents: Mapping[str, str]
) -> tuple[list[str], list[str]]:
    """(kept, held out) ids, each in the given order. Neither is empty where there are two groups of images.

    names: image id -> the class names of its objects. share: of the images that are held out, in (0, 1). contents:
    image id -> key of its pixels or bytes; ids of one key go to the same side. Iterative stratification
    (Sechidis et al., ECML 2011): the class with the fewest groups left is dealt out first, each group to the side that
    lacks most of that class; images without objects come last. Raises ValueError for a share out of range.
    """
    if not 0 < share < 1:
        raise ValueError(f"share of the images held out: expected a number between 0 and 1, got {share}")
    groups: dict[str, list[str]] = {}
    for one in names:
        groups.setdefault(contents[one], []).append(one)
    members = list(groups.values())
    order = np.random.default_rng(seed).permutation(len(members))
    members = [members[place] for place in order]
    # Of each group, the images that have a class, by class.
    classes = [Counter(name for one in group for name in sorted(set(names[one]))) for group in members]
    sides = _deal(classes, list(map(len, members)), (1 - share, share))
    out = {one for group, side in zip(members, sides, strict=True) if side for one in group}
    return [one for one in names if one not in out], [one for one in names if one in out]


def _deal(classes: list[Counter[str]], sizes: list[int], shares: tuple[float, float]) -> list[int]:
    """The side, 0 or 1, of every group; of two and more, neither side is empty."""
    total = Counter(name for one in classes for name in one.elements())
    wanted = [{name: share * count for name, count in total.items()} for share in shares]
    room = [share * sum(sizes) for share in shares]
    side_of: dict[int, int] = {}

    def give(group: int, side: int) -> None:
        side_of[group] = side
        room[side] -= sizes[group]
        for name, count in classes[group].items():
            wanted[side][name] -= count
            left[name] -= 1

    left = Counter(name for one in classes for name in one)
    having = {name: [group for group, one in enumerate(classes) if name in one] for name in left}
    while any(left.values()):
        name = min((one for one in left if left[one]), key=lambda one: (left[one], one))
        for group in [group for group in having[name] if group not in side_of]:
            give(group, max((0, 1), key=lambda side: (wanted[side][name], room[side], -side)))
    for group in range(len(classes)):
        if group not in side_of:
            give(group, max((0, 1), key=lambda side: (room[side], -side)))
    sides = [side_of[group] for group in range(len(classes))]
    if len(sides) > 1 and len(set(sides)) == 1:
        sides[-1] = 1 - sides[-1]
    return sides
