"""Names and text in files of data sets: which paths are followed, how a file is found, how text is decoded."""

import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath, PureWindowsPath

from detection.data.images import IMAGE_EXTENSIONS
from detection.data.problems import DataError
from detection.storage.bounded import TooLargeError, read_limited
from detection.storage.bounded import decode_text as decode_text  # for the readers of labels

# Above any real label file; larger files are refused unread.
MAX_LABEL_BYTES = 2**25
# What Linux takes; longer names are damage.
_LONGEST_PATH = 4096
# Names of a folder's content in a message.
_LISTED = 10


def stays_inside(name: str) -> bool:
    """Whether a name in a file is a path that cannot lead out of its folder: relative, without ``..``, on any system.

    Links that the user has laid in a folder are followed: no file's text can lay one.
    """
    if len(name) > _LONGEST_PATH:
        return False
    proposals = PureWindowsPath(name)
    parts = (*PurePosixPath(name).parts, *proposals.parts)
    leaves = name.startswith(("/", "\\")) or proposals.anchor or ".." in parts or "\0" in name
    return bool(parts) and not leaves


def is_file(path: Path) -> bool:
    """Whether `path` is a file; False too for a name that the file system cannot have."""
    return os.path.isfile(path)


def is_below(place: Path, root: Path) -> bool:
    """Whether a path lies in `root`, by name alone: what a link points to is the user's own affair."""
    place = Path(place).absolute()
    return ".." not in place.parts and place.is_relative_to(root.absolute())


def shown_names(names: Iterable[str]) -> str:
    """Names for a message, sorted: the first few, the number of the others; "nothing" for none."""
    names = sorted(names)
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"{', '.join(names[:_LISTED]) or 'nothing'}{more}"


def content(folder: Path) -> str:
    """What a folder holds, for a message."""
    return f"{folder} holds: {shown_names(path.name for path in folder.iterdir()) if folder.is_dir() else 'nothing'}"


def is_image_name(name: str | Path) -> bool:
    """Whether a name ends as images do, in small or capital letters."""
    return Path(name).suffix.lower() in IMAGE_EXTENSIONS


def without_extension(name: str) -> str:
    """A posix path without its last extension where that is an image's."""
    return name[: -len(Path(name).suffix)] if is_image_name(name) else name


def read_small(path: Path, limit: int, what: str) -> bytes:
    """The bytes of a file of at most `limit`. what: its kind, as in "annotation". Raises DataError."""
    try:
        return read_limited(path, limit)
    except TooLargeError as error:
        raise DataError(f"{what} too large", path, f"expected at most {limit} bytes") from error
    except FileNotFoundError as error:
        raise DataError(f"missing {what}", path, "no such file") from error
    except (OSError, ValueError) as error:
        raise DataError(f"unreadable {what}", path, str(error)) from error


class ImageFinder:
    """Finds images in a folder by names that may hold folders, and an extension or none."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._listings: dict[Path, dict[str, list[Path]]] = {}

    def find(self, name: str) -> Path | None:
        """The image of a name; None where there is none.

        Extensions are tried in the order of IMAGE_EXTENSIONS, first in small letters, then in any case.
        """
        base = self.folder / name
        if is_image_name(base) and is_file(base):
            return base
        usual = base.with_name(base.name + IMAGE_EXTENSIONS[0])
        if is_file(usual):
            return usual
        if base.parent not in self._listings:
            self._listings[base.parent] = _images_by_stem(base.parent)
        listing = self._listings[base.parent]
        stems = {base.stem, base.name} if is_image_name(base) else {base.name}
        found = [path for stem in stems for path in listing.get(stem, ()) if is_file(path)]
        return min(found, key=lambda path: (IMAGE_EXTENSIONS.index(path.suffix.lower()), path.name), default=None)


def _images_by_stem(folder: Path) -> dict[str, list[Path]]:
    try:
        content = sorted(folder.iterdir())
    except (OSError, ValueError):  # not there, no folder, or no name that a folder can have
        content = []
    found: dict[str, list[Path]] = {}
    for path in filter(is_image_name, content):
        found.setdefault(path.stem, []).append(path)
    return found


def images_below(folder: Path) -> list[str]:
    """The images of a folder and its subfolders as posix paths relative to it, sorted.

    Hidden files and folders are passed over, and so are links to folders, which may go round in a circle.
    """
    found = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        inside = Path(parent).relative_to(folder)
        found += [(inside / name).as_posix() for name in files if is_image_name(name) and not name.startswith(".")]
    return sorted(found)
