"""Data sets written in any of the formats, whole or not at all, and what the format cannot hold."""

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

from detection.data.formats import NewSet, label_format
from detection.data.labels import ImageObjects


def write_dataset(
    out: Path | str,
    format: str,
    splits: Mapping[str, Sequence[ImageObjects]],
    classes: Sequence[str],
    link: bool = False,
) -> Counter[str]:
    """Write a set with its images to a new folder; returns what was lost: what -> how many.

    splits: name -> images; an image may be in several. classes: names in the order of their numbers, where the format
    has some. link: let images be hard links to the originals where the disk can; else they are copied. The folder
    appears when all is written. Raises FileExistsError for a folder that is there and not empty, ValueError for an
    unknown format and for an object whose class is not in `classes`.
    """
    out, write = Path(out), label_format(format).write
    known = set(classes)
    for image in chain.from_iterable(splits.values()):
        if unknown := {item.name for item in image.objects} - known:
            names = ", ".join(sorted(unknown))
            raise ValueError(f"image {image.image_id!r}: expected classes of the list, got {names}")
    with _new_folder(out) as folder:
        new = NewSet(folder, out.name, splits, tuple(classes), link)
        write(new)
    return +new.lost


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """A folder that becomes `out` when the body has ended well."""
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
