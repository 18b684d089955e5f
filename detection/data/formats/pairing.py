"""Which label file belongs to which photo, by their names and folders: each file of labels belongs to one photo."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from detection.data.images import IMAGE_EXTENSIONS

# Folders of a path in small letters -> how well labels in the second suit images in the first; None: not at all.
Nearness = Callable[[tuple[str, ...], tuple[str, ...]], tuple[int, ...] | None]


@dataclass
class Pairs:
    """Posix paths below a set's root.

    labels: image -> its label file. passed_over: picture -> why it is no photo of the set: a mask, a preview or a
    drawing of a photo that has the labels of its name. unsure: image -> why it has no labels though some have its name.
    """

    labels: dict[str, str] = field(default_factory=dict)
    passed_over: dict[str, str] = field(default_factory=dict)
    unsure: dict[str, str] = field(default_factory=dict)


_WITHIN = 3


@dataclass(frozen=True)
class _Claim:
    """An image that may have a label file. rank: how well they suit; its last _WITHIN places choose within a folder."""

    image: str
    label: str
    rank: tuple[int, ...]


def pair_labels(
    images: Iterable[str], labels: Iterable[str], near: Nearness, photo_name: Callable[[str], str | None]
) -> Pairs:
    """The label file of each image, of those with its name, in any case, with its extension or without.

    images, labels: posix paths. near: which folders belong together. photo_name: the name of the photo that a label
    file says it is of, None where it says nothing; asked only where several images might have the file. What it says
    goes first, then the nearer folder, then the usual extension. Where two folders are as good, no image has the file.
    """
    options = _options([PurePosixPath(one) for one in images], labels, near)
    claims: dict[str, list[_Claim]] = defaultdict(list)
    for image, found in options.items():
        for label, rank, whole in found:
            # An image with less to choose from goes first: x.jpg.xml is x.jpg.jpg's where x.jpg has an x.xml.
            claims[label].append(_Claim(image, label, (*rank, -len(found), whole, -_extension_place(image))))
    for label, found in claims.items():
        if len(found) > 1 and (name := photo_name(label)):
            claims[label] = [_Claim(one.image, label, (_is_named(one.image, name), *one.rank)) for one in found]
        else:
            claims[label] = [_Claim(one.image, label, (False, *one.rank)) for one in found]
    pairs, owners = _assign(claims)
    _explain(pairs, options, owners)
    return pairs


def _options(images: Sequence[PurePosixPath], labels: Iterable[str], near: Nearness) -> dict[str, list]:
    """Image -> (label file, rank, 0 where it has the name without extension else -1) of those that suit."""
    by_name: dict[str, list[PurePosixPath]] = defaultdict(list)
    for label in map(PurePosixPath, labels):
        by_name[label.stem.casefold()].append(label)
    options = {}
    for image in images:
        found = options[image.as_posix()] = []
        folders = _folders(image)
        for whole, name in ((0, image.stem), (1, image.name)):
            for label in by_name.get(name.casefold(), ()):
                if (rank := near(folders, _folders(label))) is not None:
                    same = sum(map(str.__eq__, (*image.parent.parts, name), (*label.parent.parts, label.stem)))
                    found.append((label.as_posix(), (*rank, same), -whole))
    return options


def _folders(path: PurePosixPath) -> tuple[str, ...]:
    return tuple(part.casefold() for part in path.parent.parts)


def _extension_place(image: str) -> int:
    return IMAGE_EXTENSIONS.index(PurePosixPath(image).suffix.lower())


def _is_named(image: str, name: str) -> bool:
    return PurePosixPath(image).name.casefold() == name.casefold()


def _assign(claims: dict[str, list[_Claim]]) -> tuple[Pairs, dict[str, str]]:
    """Label files to images, the best suited first; label file -> its image."""
    pairs, owners = Pairs(), {}
    for claim in sorted((one for found in claims.values() for one in found), key=lambda one: one.rank, reverse=True):
        if claim.image in pairs.labels or claim.label in owners:
            continue
        rivals = [one.image for one in claims[claim.label] if one.rank[:-_WITHIN] == claim.rank[:-_WITHIN]]
        rivals = [one for one in rivals if one not in pairs.labels and _other_folder(one, claim.image)]
        if rivals:
            for image in (claim.image, *rivals):
                pairs.unsure[image] = f"{claim.label} may be of {' or of '.join([claim.image, *rivals])}"
            owners[claim.label] = ""
        else:
            pairs.labels[claim.image] = claim.label
            owners[claim.label] = claim.image
    return pairs, owners


def _other_folder(one: str, other: str) -> bool:
    return PurePosixPath(one).parent != PurePosixPath(other).parent


def _explain(pairs: Pairs, options: dict[str, list], owners: dict[str, str]) -> None:
    """Tell pictures of a photo from photos without labels: they lie beside it, or in a folder of nothing else."""
    lost = {
        image: next((owners[label] for label, *_ in found if owners.get(label)), "")
        for image, found in options.items()
        if image not in pairs.labels
    }
    photos = {PurePosixPath(image).parent for image in options if not lost.get(image)}
    for image, owner in lost.items():
        if owner and (PurePosixPath(image).parent not in photos or not _other_folder(image, owner)):
            pairs.passed_over[image] = f"{owner} is the photo that {pairs.labels[owner]} is of"
    for image in {*pairs.labels, *pairs.passed_over} & set(pairs.unsure):
        del pairs.unsure[image]
