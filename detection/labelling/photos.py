"""The photos of a data set and their labels, read and written one photo at a time."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from detection.data import DataError, Problems
from detection.data.checking import usual_splits
from detection.data.files import images_below
from detection.data.formats import FoundSet
from detection.data.formats.finding import find_set, possible_formats
from detection.data.formats.other_tools import own_kind_in
from detection.data.images import MAX_PIXELS, image_header
from detection.data.labels import Box, ImageObjects, LabelledObject, LabelReader, class_name
from detection.data.usable import labelled_image
from detection.geometry import clip
from detection.storage import encodable

# More boxes than anybody draws in a photo: a file of them is damage.
MAX_OBJECTS = 5000
# px by which a box may differ and be the same: what a page's numbers lose on the way.
_SAME = 1e-3


@dataclass(frozen=True)
class Photo:
    """One photo. image_id: as a run calls it; own_id: as `reader` does, which is of its split."""

    image_id: str
    own_id: str
    path: Path
    reader: LabelReader


@dataclass(frozen=True)
class PhotoLabels:
    """What is known of a photo. size: (height, width) of the frame of its boxes; None where it cannot be read.

    objects: as its labels have them. is_labelled: whether there are labels at all, of no object or more. fault: why
    the photo cannot be labelled here; "" where it can.
    """

    size: tuple[int, int] | None
    objects: tuple[LabelledObject, ...] = ()
    is_labelled: bool = False
    fault: str = ""


@dataclass(frozen=True)
class Drawn:
    """An object as somebody left it. index: of the object of the labels that it was, 0 for a new one."""

    index: int
    name: str
    box: Box
    difficult: bool = False


def open_photos(path: Path | str, format: str = "auto", images: Path | None = None) -> tuple[FoundSet, list[Photo]]:
    """The set at a path, as `sppnet check` finds it, and its photos in order; a folder of photos alone is one, too.

    images: the folder of a COCO set's photos. Raises ValueError where there is no photo, or one id is of two.
    """
    path = Path(path)
    is_bare = format == "auto" and path.is_dir() and not possible_formats(path) and not own_kind_in(path)
    found = find_set(path, "folder" if is_bare and images_below(path) else format, images)
    photos: dict[str, Photo] = {}
    for split in usual_splits(found):
        reader = found.opener(split)()
        for own_id in reader.image_ids(Problems()):
            place = reader.image_path(own_id)
            if place is None:
                continue
            one = Photo(encodable(own_id), own_id, place, reader)
            if photos.setdefault(one.image_id, one).path != place:
                raise ValueError(
                    f"{path}: expected one photo of an id, got {photos[one.image_id].path} and {place} of "
                    f"{one.image_id!r}: give the folder of one of the splits"
                )
    if not photos:
        raise ValueError(f"{path}: expected photos, found none")
    return found, list(photos.values())


def read_labels(photo: Photo, max_pixels: int = MAX_PIXELS) -> PhotoLabels:
    """What a photo's labels say now. Labels of which a part could not be used make a fault: to save would lose it."""
    problems = Problems()
    try:
        photo.reader.renew()
        file = photo.reader.label_file(photo.own_id)
        if file is not None and not file.exists():
            return PhotoLabels(image_header(photo.path, max_pixels).upright)
        found = labelled_image(photo.reader, photo.own_id, problems, max_pixels)
    except (DataError, OSError) as error:
        return PhotoLabels(None, fault=str(error))
    lost = [one for one in problems if one.action == "left out"]
    fault = f"{lost[0].place}: {lost[0].kind}: {lost[0].message}; sppnet check tells all" if lost else ""
    return PhotoLabels(found.size, found.objects, bool(file or found.objects), fault)


def changed_labels(photo: Photo, before: PhotoLabels, drawn: Sequence[Drawn]) -> tuple[ImageObjects, set[int]] | None:
    """What was drawn in a photo in place of `before`, what `read_labels` gave, as ``LabelReader.save`` takes it.

    None where nothing has changed. Objects that are as they were keep all that their file says. Raises ValueError,
    naming the photo, for boxes that are not in it, and where labels cannot be written.
    """
    if before.fault or before.size is None:
        raise ValueError(f"{photo.path}: cannot be labelled here: {before.fault}")
    # A file may give several boxes one place: the page tells them apart by their order.
    of_place = dict(enumerate(before.objects, start=1))
    objects = [_checked(one, photo, before.size, of_place) for one in drawn]
    if len(objects) > MAX_OBJECTS:
        raise ValueError(f"{photo.path}: expected at most {MAX_OBJECTS:,} objects, got {len(objects):,}")
    taken = Counter(one.index for one in drawn if one.index)
    if again := [index for index, count in taken.items() if count > 1]:
        raise ValueError(f"{photo.path}: expected each object of the labels once, got object {again[0]} again")
    same = [one.index for one in drawn if one.index and _is_same(of_place[one.index], one)]
    if same == list(of_place) and len(drawn) == len(same):
        return None
    image = ImageObjects(photo.own_id, photo.path, before.size, tuple(objects), photo.path)
    several = Counter(one.index for one in before.objects)
    unchanged = {of_place[index].index for index in same if several[of_place[index].index] == 1}
    return image, unchanged


def _checked(one: Drawn, photo: Photo, size: tuple[int, int], known: dict[int, LabelledObject]) -> LabelledObject:
    name = class_name(one.name, photo.path, "drawn object")
    if one.index and one.index not in known:
        raise ValueError(f"{photo.path}: expected an object of 1 to {len(known)}, or 0 for a new one, got {one.index}")
    if one.index and _is_same(known[one.index], one):
        return known[one.index]
    box = np.array(one.box, np.float64)
    if not np.isfinite(box).all():
        raise ValueError(f"{photo.path}: {name}: expected four finite numbers, got {one.box}")
    inside = clip(box, size).astype(np.float32)
    if not (inside[0] < inside[2] and inside[1] < inside[3]):
        raise ValueError(f"{photo.path}: {name}: expected a box in (height, width) = {size}, got {one.box}")
    corners = tuple(inside.tolist())
    if not one.index:
        return LabelledObject(0, name, corners, one.difficult)
    return replace(known[one.index], name=name, box=corners, difficult=one.difficult)


def _is_same(known: LabelledObject, one: Drawn) -> bool:
    near = np.abs(np.subtract(known.box, one.box)).max() <= _SAME
    return (known.name, known.difficult) == (one.name, one.difficult) and bool(near)
