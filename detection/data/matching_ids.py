"""Which image a program's results mean: by the number of a COCO json, by its name, or by the digits of that."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from detection.data.files import without_extension


def images_by_ids(
    ids: Sequence[str | int], known: Collection[str], numbers: Mapping[str, str], numbered: bool | None = None
) -> dict[str | int, str]:
    """Id in a file -> image id, for the ids of a file as a whole; ids that mean no image are left out.

    numbers: a number of the annotations, as text -> image id. numbered: whether the ids are such numbers; None: if all
    are integers. A number may be a name too: where the ids of a file are numbers, the annotations' own numbers are
    tried first, where they are text the names. Whatever fits more of the ids is taken: the numbers, the names, or the
    digits alone, where one image has them ("201" is "000201", as Ultralytics writes), or the names of files, with
    folders above the image's own ("images/000201.jpg" is "000201").
    """
    distinct = list(dict.fromkeys(ids))
    by_name, by_digits = {one: one for one in known}, unique_by_digits(known)
    if numbered is None:
        numbered = all(type(one) is int for one in distinct)
    readings = [numbers, by_name] if numbered else [by_name, numbers]
    found = [{one: reading[str(one)] for one in distinct if str(one) in reading} for reading in readings]
    digits = {one: digits_of(str(one)) for one in distinct}
    counts = Counter(digits.values())
    found.append({one: by_digits[key] for one, key in digits.items() if key in by_digits and counts[key] == 1})
    files = {one: id_of_file(str(one), known) for one in distinct}
    owners = Counter(files.values())
    found.append({one: image_id for one, image_id in files.items() if image_id is not None and owners[image_id] == 1})
    return max(found, key=len)  # of equal ones the first


def id_of_file(name: str, known: Collection[str]) -> str | None:
    """The image id that a path of its file ends in, without the extension, the longest such; None for none."""
    parts = PurePosixPath(without_extension(name.replace("\\", "/"))).parts
    ends = ("/".join(parts[start:]) for start in range(len(parts)))
    return next((one for one in ends if one in known), None)


def digits_of(name: str) -> str:
    """The number that a name is, without leading zeros; "" for a name that is none."""
    return name.lstrip("0") or "0" if name.isascii() and name.isdigit() else ""


def unique_by_digits(names: Iterable[str]) -> dict[str, str]:
    """`digits_of` a name -> the name, where no other has them."""
    names = list(names)
    counts = Counter(map(digits_of, names))
    return {key: one for one in names if (key := digits_of(one)) and counts[key] == 1}
