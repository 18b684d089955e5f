"""Which label file belongs to which photo, by their names and folders: each file of labels belongs to one photo."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

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


class _Path(NamedTuple):
    """A posix path in its parts. folder: all above the name, as text; stem: the name without its extension."""

    path: str
    folder: str
    name: str
    stem: str

    @property
    def parts(self) -> list[str]:
        """The names of the folders."""
        return self.folder.split("/") if self.folder else []

    @property
    def folders(self) -> tuple[str, ...]:
        """The same in small letters."""
        return _small(self.folder)


@lru_cache(maxsize=4096)
def _small(folder: str) -> tuple[str, ...]:
    return tuple(folder.casefold().split("/")) if folder else ()


@dataclass(frozen=True)
class _Claim:
    """An image that may have a label file. rank: how well they suit; its last _WITHIN places choose within a folder."""

    image: _Path
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
    options = _options(map(_parsed, images), map(_parsed, labels), near)
    claimants = Counter(label.path for found in options.values() for label, *_ in found)
    pairs, owners = Pairs(), {}
    claims: dict[str, list[_Claim]] = defaultdict(list)
    for image, found in options.items():
        if len(found) == 1 and claimants[found[0][0].path] == 1:
            pairs.labels[image.path] = label = found[0][0].path
            owners[label] = image.path
            continue
        for label, rank, whole in found:
            same = sum(map(str.__eq__, (*image.parts, image.name if whole else image.stem), (*label.parts, label.stem)))
            # An image with less to choose from goes first: x.jpg.xml is x.jpg.jpg's where x.jpg has an x.xml.
            place = IMAGE_EXTENSIONS.index(image.name[len(image.stem) :].lower())
            claims[label.path].append(_Claim(image, label.path, (*rank, same, -len(found), -whole, -place)))
    for label, found in claims.items():
        name = photo_name(label) if len(found) > 1 else None
        named = [name is not None and one.image.name.casefold() == name.casefold() for one in found]
        claims[label] = [
            _Claim(one.image, label, (is_named, *one.rank)) for is_named, one in zip(named, found, strict=True)
        ]
    _assign(claims, pairs, owners)
    _explain(pairs, {image: [label.path for label, *_ in found] for image, found in options.items()}, owners)
    return pairs


def _parsed(path: str) -> _Path:
    folder, _, name = path.rpartition("/")
    stem, dot, _ = name.rpartition(".")
    return _Path(path, folder, name, stem if dot else name)


def _options(
    images: Iterable[_Path], labels: Iterable[_Path], near: Nearness
) -> dict[_Path, list[tuple[_Path, tuple[int, ...], bool]]]:
    """Image -> (label file, how well they suit, whether it has the whole name of the image) of those that suit best."""
    by_name: dict[str, dict[str, list[_Path]]] = defaultdict(lambda: defaultdict(list))
    for label in labels:
        by_name[label.folder][label.stem.casefold()].append(label)
    suited: dict[str, list[tuple[tuple[int, ...], list[str]]]] = {}
    options = {}
    for image in images:
        if image.folder not in suited:
            suited[image.folder] = _by_rank({one: near(image.folders, _small(one)) for one in by_name})
        names = ((False, image.stem.casefold()), (True, image.name.casefold()))
        groups = (
            [(label, rank, whole) for whole, name in names for one in folders for label in by_name[one].get(name, ())]
            for rank, folders in suited[image.folder]
        )
        options[image] = next(filter(None, groups), [])
    return options


def _by_rank(ranks: Mapping[str, tuple[int, ...] | None]) -> list[tuple[tuple[int, ...], list[str]]]:
    """Rank -> the folders that have it, the best first."""
    found: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for folder, rank in ranks.items():
        if rank is not None:
            found[rank].append(folder)
    return sorted(found.items(), reverse=True)


def _assign(claims: dict[str, list[_Claim]], pairs: Pairs, owners: dict[str, str]) -> None:
    """Label files to images, the best suited first; owners: label file -> its image, "" where that is not sure."""
    for claim in sorted((one for found in claims.values() for one in found), key=lambda one: one.rank, reverse=True):
        if claim.image.path in pairs.labels or claim.label in owners:
            continue
        rivals = [one.image for one in claims[claim.label] if one.rank[:-_WITHIN] == claim.rank[:-_WITHIN]]
        rivals = [one.path for one in rivals if one.path not in pairs.labels and one.folder != claim.image.folder]
        if rivals:
            several = [claim.image.path, *rivals]
            pairs.unsure |= dict.fromkeys(several, f"{claim.label} may be of {' or of '.join(several)}")
            owners[claim.label] = ""
        else:
            pairs.labels[claim.image.path] = claim.label
            owners[claim.label] = claim.image.path


def _explain(pairs: Pairs, options: dict[_Path, list[str]], owners: dict[str, str]) -> None:
    """Tell pictures of a photo from photos without labels: they lie beside it, or in a folder of nothing else."""
    lost = {
        image: next((owners[label] for label in found if owners.get(label)), "")
        for image, found in options.items()
        if image.path not in pairs.labels
    }
    photos = {image.folder for image in options if not lost.get(image)}
    for image, owner in lost.items():
        if owner and (image.folder not in photos or image.folder == owner.rpartition("/")[0]):
            pairs.passed_over[image.path] = f"{owner} is the photo that {pairs.labels[owner]} is of"
    for image in {*pairs.labels, *pairs.passed_over} & set(pairs.unsure):
        del pairs.unsure[image]
