"""Data sets written in any of the formats, whole or not at all, read again and compared; what a format cannot hold."""

import re
import shutil
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from detection.data.formats import FORMATS, NewSet, label_format
from detection.data.formats.finding import find_set
from detection.data.images import to_upright
from detection.data.labels import ImageObjects, class_name
from detection.data.problems import Problems
from detection.data.split_names import SPLIT_NAMES, split_kind
from detection.data.usable import labelled_images

# px by which a box may change on the way: far above the rounding of any format, far below what can be seen.
_TOLERANCE = 1e-3
# Characters that lists, XML, or the file systems of other computers cannot hold in a name.
_NOT_IN_NAMES = re.compile(r"[\\\ufeff\ufffe\uffff\u2028\u2029]")


def write_dataset(
    out: Path | str,
    format: str,
    splits: Mapping[str, Sequence[ImageObjects]],
    classes: Sequence[str],
    link: bool = False,
    problems: Problems | None = None,
) -> Counter[str]:
    """Write a set with its images to a new folder; returns what was lost: what -> how many.

    splits: name -> images; an image may be in several. classes: names in the order of their numbers, where the format
    has some. link: let images be hard links to the originals where the disk can; else they are copied. An id that two
    pictures have, or that not every file can hold, is written as another: a note in `problems` says which.

    The folder appears when all is written, read again and found to be the same. Raises FileExistsError for a folder
    that is there and not empty, DataError for a class name that no file can hold, ValueError for an unknown format, for
    an object whose class is not in `classes`, for no class where the format needs one, and for a set that the format
    does not give back.
    """
    out, known = Path(out), label_format(format)
    if known.needs_classes and not classes:
        others = ", ".join(name for name, one in FORMATS.items() if not one.needs_classes)
        raise ValueError(
            f"{out}: format {format} holds no set without a class, and this one has neither an object nor a list of "
            f"classes; nothing is written. Formats that hold photos alone: {others}"
        )
    for name in classes:
        if class_name(name, out) != name:
            raise ValueError(f"{out}: expected class names without blanks around them, got {name!r}")
    for image in (one for images in splits.values() for one in images):
        if unknown := {item.name for item in image.objects} - set(classes):
            names = ", ".join(sorted(unknown))
            raise ValueError(f"image {image.image_id!r}: expected classes of the list, got {names}")
    with new_folder(out) as folder:
        new = NewSet(
            folder, out.name, _with_own_ids(splits, Problems() if problems is None else problems), tuple(classes), link
        )
        known.write(new)
        try:
            _check(new, format)
        except ValueError as error:
            said = str(error).replace(str(folder), str(out))
            raise ValueError(
                f"{out}: format {format} does not give back what was written; nothing is kept. {said}"
            ) from error
    return +new.lost


def _with_own_ids(splits: Mapping[str, Sequence[ImageObjects]], problems: Problems) -> dict[str, list[ImageObjects]]:
    """The images of all splits, each picture with an id of its own that every format can hold."""
    owners: dict[str, Path] = {}
    new: dict[tuple[str, Path], str] = {}
    for split, images in splits.items():
        for image in images:
            known = image.image_id, image.path
            if known in new:
                continue
            wanted = _safe(image.image_id)
            folder, _, name = wanted.rpartition("/")
            number = 1
            while wanted in owners:
                prefix = split if number == 1 else f"{split}{number}"
                wanted = f"{folder}/{prefix}_{name}" if folder else f"{prefix}_{name}"
                number += 1
            owners[wanted], new[known] = image.path, wanted
            if wanted != image.image_id:
                taken = owners.get(image.image_id)
                reason = "not every file can hold it" if taken is None else f"it is that of {taken} too"
                problems.note(f"{image.path}: the id {image.image_id!r} is written as {wanted!r}: {reason}")
    return {
        split: [replace(one, image_id=new[one.image_id, one.path]) for one in images]
        for split, images in splits.items()
    }


def _safe(image_id: str) -> str:
    """An id as a path that every file and file system can hold: no part is empty, hidden, or has blanks around it."""
    parts = []
    for part in image_id.split("/"):
        text = "".join("_" if unicodedata.category(one) in ("Cc", "Cs") else one for one in part)
        text = _NOT_IN_NAMES.sub("_", text).strip()
        parts.append(re.sub(r"^\.|^$", "_", text))
    return "/".join(parts)


def _check(new: NewSet, format: str) -> None:
    """Read a set that was written, and count the ids that are read as others as lost.

    Raises ValueError where images, objects, names or boxes are not those that were to be written.
    """
    found = find_set(new.folder, format)
    for split, images in new.splits.items():
        problems, written = Problems(), {one.image_id: one for one in images}
        name = new.written_as.get(split, split)
        if name != split and split_kind(split) not in (*SPLIT_NAMES, "all"):
            new.lost[f"name of the split ({split})"] = 1
        for image in labelled_images(found.opener(name)(), problems, None, {}):
            image_id = new.pictures.get(image.path)
            if image_id not in written:
                raise ValueError(f"split {split}: expected no image {image.image_id!r}, got {image.path}")
            new.lost["image ids that are read as others"] += image_id != image.image_id
            _compare(written.pop(image_id), image)
        if problems:
            raise ValueError(
                f"split {split}: expected no fault, got {problems.records[0].kind}: {problems.records[0].message}"
            )
        if written:
            raise ValueError(
                f"split {split}: expected the image {next(iter(written))!r} ({len(written)} such), got none"
            )


def _compare(image: ImageObjects, again: ImageObjects) -> None:
    """Raise ValueError where an image is not the same when it is read again."""
    if image.path.stat().st_size != again.path.stat().st_size:
        raise ValueError(f"image {image.image_id!r}: expected the picture {image.path}, got another one")
    names, found = ([item.name for item in one.objects] for one in (image, again))
    if names != found:
        raise ValueError(f"image {image.image_id!r}: expected objects {names}, got {found}")
    boxes = [item.box for item in image.objects]
    if image.size != again.size:  # YOLO's boxes are in the frame of the upright photo
        boxes = [to_upright(image.path, image.size, box)[0] for box in boxes]
    for box, item in zip(boxes, again.objects, strict=True):
        if np.abs(np.subtract(box, item.box)).max() > _TOLERANCE:
            raise ValueError(
                f"image {image.image_id!r}: expected the box {tuple(box)} of {item.name!r}, got {item.box}"
            )


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder that becomes `out` when the body has ended well. Raises FileExistsError where something is in `out`."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"{out}: expected a new or empty folder, it holds something; nothing is written over")
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".tmp-", dir=out.parent))
    try:
        yield folder
        folder.chmod(0o755)
        if out.exists():
            out.rmdir()
        folder.rename(out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
