"""Proposals of other people's files: how their four numbers are meant, and which image each list belongs to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import PurePosixPath
from typing import Literal, get_args

import numpy as np

from detection.data.matching_ids import digits_of
from detection.proposals.foreign.faults import faulty_rows

Order = Literal["xyxy", "yxyx", "xywh"]
Base = Literal[0, 1]
End = Literal["inclusive", "exclusive"]

# A wrong convention shows in most images. It is refused where at least this share of the images has a faulty proposal
# and another convention has at most this share of the faulty images; less is dirt, and is repaired.
WRONG_SHARE = 0.1
# A convention is doubted, not refused, where its proposals never span the image and those of another do in this share.
SPANNING_SHARE = 0.9
# Names in a message.
_NAMED = 3


@dataclass(frozen=True)
class BoxConvention:
    """What the four numbers of a box mean.

    order: xyxy, yxyx (corners) or xywh (corner, width, height). base: the number of the first pixel, 0 or 1. end:
    inclusive where the far corner (or width and height, as a difference of such corners) names the last pixel,
    exclusive where it lies behind it. Raises ValueError for anything else.
    """

    order: Order = "xyxy"
    base: Base = 0
    end: End = "exclusive"

    def __post_init__(self) -> None:
        for key, known in (("order", get_args(Order)), ("base", get_args(Base)), ("end", get_args(End))):
            if getattr(self, key) not in known:
                raise ValueError(f"{key}: expected one of {', '.join(map(str, known))}, got {getattr(self, key)!r}")

    def __str__(self) -> str:
        return f"order {self.order}, base {self.base}, end {self.end}"

    def changed(self, order: Order | None = None, base: Base | None = None, end: End | None = None) -> BoxConvention:
        """The convention with what is not None replaced."""
        given = {"order": order, "base": base, "end": end}
        return replace(self, **{key: value for key, value in given.items() if value is not None})

    def to_half_open(self, values: np.ndarray) -> np.ndarray:
        """(R, 4) numbers of a file -> (R, 4) float64 x1, y1, x2, y2 in the image frame, half-open."""
        boxes = np.array(values, dtype=np.float64).reshape(-1, 4)
        if self.order == "yxyx":
            boxes = boxes[:, [1, 0, 3, 2]]
        if self.order == "xywh":
            boxes[:, :2] -= self.base
            boxes[:, 2:] += boxes[:, :2]
        else:
            boxes -= self.base
        boxes[:, 2:] += self.end == "inclusive"
        return boxes

    def from_half_open(self, boxes: np.ndarray) -> np.ndarray:
        """The inverse of `to_half_open`: (R, 4) float64. Exact for corners that are multiples of 2^-29 px."""
        values = np.array(boxes, dtype=np.float64).reshape(-1, 4)
        values[:, 2:] -= self.end == "inclusive"
        if self.order == "xywh":
            values[:, 2:] -= values[:, :2]
            values[:, :2] += self.base
        else:
            values += self.base
        return values[:, [1, 0, 3, 2]] if self.order == "yxyx" else values


CONVENTIONS = tuple(BoxConvention(*choice) for choice in product(get_args(Order), get_args(Base), get_args(End)))


@dataclass(frozen=True)
class ProposalFile:
    """What a file of proposals holds.

    image_ids: the image of each list, as the file names it, or None where it has lists alone. boxes: one (R, 4)
    float64 an image, the numbers as they stand, best first. convention: what they mean by the format's custom.
    numbered: the ids are whole numbers in the file, not text.
    """

    path: str
    format: str
    convention: BoxConvention
    image_ids: tuple[str, ...] | None
    boxes: tuple[np.ndarray, ...]
    numbered: bool = False

    def __post_init__(self) -> None:
        if self.image_ids is None:
            return
        if len(self.image_ids) != len(self.boxes):
            raise ValueError(
                f"{self.path}: expected a list of proposals for each of its {len(self.image_ids)} image ids, "
                f"got {len(self.boxes)}"
            )
        if len(set(self.image_ids)) < len(self.image_ids):
            seen: set[str] = set()
            again = next(one for one in self.image_ids if one in seen or seen.add(one))
            raise ValueError(f"{self.path}: expected each image id once, got {again!r} again")

    def __len__(self) -> int:
        return len(self.boxes)


def _stem(image_id: str) -> str:
    return PurePosixPath(image_id.replace("\\", "/")).stem or image_id


def _unique(ids: list[str], name: Callable[[str], str]) -> dict[str, str]:
    """name(id) -> id, where only one id has that name."""
    names = list(map(name, ids))
    counts = Counter(names)
    return {key: one for key, one in zip(names, ids, strict=True) if key and counts[key] == 1}


def match_proposals(
    file: ProposalFile, image_ids: Sequence[str], by_position: bool = False, numbers: Mapping[str, str] | None = None
) -> dict[str, int]:
    """Image id of the data set -> place of its list in the file; images the file has not are left out.

    By key: the same string, else the same file name without folder and extension, else the same number ("4" is
    "000004", Detectron's way), the last two only where no other id has it. Lists of other images are passed over.
    numbers: number of an image in the data set's COCO json, as text -> image id: where the file's ids are numbers, they
    are these, unless names fit more of the images.
    By position, only when asked: the file's lists are those of `image_ids` in order. Raises ValueError where the
    counts differ or the file's own ids say otherwise; by key, where the file has no ids or matches no image.
    """
    if by_position:
        return _match_by_position(file, image_ids)
    if file.image_ids is None:
        raise ValueError(
            f"{file.path}: expected image ids beside the {len(file)} lists of proposals, found none; if they are in "
            f"the order of a split of as many images, ask for matching by position (the split has {len(image_ids)})"
        )
    place = {one: index for index, one in enumerate(file.image_ids)}
    by_name = _match_by_name(file, image_ids, place)
    known = set(image_ids)
    means = {number: image_id for number, image_id in (numbers or {}).items() if file.numbered and image_id in known}
    by_number = {means[one]: index for one, index in place.items() if one in means}
    found = by_number if len(by_number) >= len(by_name) else by_name
    if image_ids and not found:
        raise ValueError(
            f"{file.path}: expected ids of the data set's {len(image_ids)} images, like "
            f"{', '.join(map(repr, image_ids[:_NAMED]))}; got {len(file)} others, like "
            f"{', '.join(map(repr, file.image_ids[:_NAMED]))}"
        )
    return {one: found[one] for one in image_ids if one in found}


def _match_by_name(file: ProposalFile, image_ids: Sequence[str], place: Mapping[str, int]) -> dict[str, int]:
    """Image id -> place, by the same string, file name or number of a name."""
    found = {one: place[one] for one in image_ids if one in place}
    for name in (_stem, digits_of):
        taken = {file.image_ids[index] for index in found.values()}
        theirs = _unique([one for one in file.image_ids if one not in taken], name)
        ours = _unique([one for one in image_ids if one not in found], name)
        found |= {one: place[theirs[key]] for key, one in ours.items() if key in theirs}
    return found


def _match_by_position(file: ProposalFile, image_ids: Sequence[str]) -> dict[str, int]:
    if len(file) != len(image_ids):
        raise ValueError(
            f"{file.path}: by position: expected as many lists as the split has images, {len(image_ids)}, "
            f"got {len(file)}"
        )
    if file.image_ids is not None:
        place = {one: index for index, one in enumerate(file.image_ids)}
        for index, one in enumerate(image_ids):
            if place.get(one, index) != index:
                raise ValueError(
                    f"{file.path}: by position: expected the split's order, got image {one!r} in place "
                    f"{place[one] + 1} instead of {index + 1}; match by key"
                )
    return {one: index for index, one in enumerate(image_ids)}


@dataclass(frozen=True)
class ConventionFit:
    """How a convention fits: proposals and images with a fault, and images that are spanned by their proposals."""

    convention: BoxConvention
    faulty_proposals: int
    faulty_images: int
    spanned_images: int


def convention_fit(
    convention: BoxConvention, boxes: Sequence[np.ndarray], sizes: Sequence[tuple[int, int]]
) -> ConventionFit:
    """Count faults of one (R, 4) an image, as a file has them, in images of (height, width) px."""
    proposals = images = spanned = 0
    for values, (height, width) in zip(boxes, sizes, strict=True):
        if len(values) == 0:
            continue
        found = convention.to_half_open(values)
        count = int(faulty_rows(found, (height, width)).sum())
        proposals, images = proposals + count, images + (count > 0)
        low, high = found[:, :2].min(axis=0), found[:, 2:].max(axis=0)
        spanned += bool((low == 0).all() and (high == (width, height)).all())
    return ConventionFit(convention, proposals, images, spanned)


def check_convention(
    path: str, convention: BoxConvention, boxes: Sequence[np.ndarray], sizes: Sequence[tuple[int, int]]
) -> str | None:
    """Look for a wrong convention. Returns a doubt in words, or None; raises ValueError naming the likely right one.

    boxes: one (R, 4) an image, the numbers as they stand. sizes: (height, width) in px. A convention is wrong where
    many images have proposals outside, or of no positive sides, and few have by another convention. It is doubted
    where the proposals span no image (the largest proposal of selective search is the image) but by another do.
    """
    counted = sum(len(values) > 0 for values in boxes)
    chosen = convention_fit(convention, boxes, sizes)
    if counted == 0 or (chosen.faulty_images == 0 and chosen.spanned_images > 0):
        return None
    best = min((convention_fit(one, boxes, sizes) for one in CONVENTIONS), key=lambda fit: _rank(fit, convention))
    wrong = chosen.faulty_images >= WRONG_SHARE * counted
    if wrong and best.faulty_images <= WRONG_SHARE * chosen.faulty_images:
        raise ValueError(
            f"{path}: read as {convention}, {chosen.faulty_proposals} of {sum(map(len, boxes))} proposals, in "
            f"{chosen.faulty_images} of {counted} images, lie outside their image or have no positive sides; expected "
            f"at most a few. Read as {best.convention}, {best.faulty_proposals} do: that is likely right"
        )
    doubted = chosen.spanned_images == 0 and best.spanned_images >= SPANNING_SHARE * counted
    if doubted and best.faulty_images <= chosen.faulty_images:
        return (
            f"{path}: read as {convention}, the proposals of no image reach all its borders; read as "
            f"{best.convention}, those of {best.spanned_images} of {counted} images do, as selective search's would"
        )
    return None


def _rank(fit: ConventionFit, chosen: BoxConvention) -> tuple[int, int, int, int]:
    """Fewest faults first, then most images spanned, then fewest changes."""
    other = fit.convention
    changes = (other.order != chosen.order) + (other.base != chosen.base) + (other.end != chosen.end)
    return fit.faulty_images, -fit.spanned_images, changes, CONVENTIONS.index(other)
