"""Names and text in files of data sets: which paths are followed, how a file is found, how text is decoded."""

import os
from collections.abc import Collection, Iterable
from functools import lru_cache
from itertools import chain
from pathlib import Path, PurePosixPath, PureWindowsPath

from detection.data.images import IMAGE_EXTENSIONS
from detection.data.problems import DataError
from detection.storage.bounded import TooLargeError, decode_text, read_limited, text_encoding

# Above any real label file; larger files are refused unread.
MAX_LABEL_BYTES = 2**25
# What Linux takes; longer names are damage.
_LONGEST_PATH = 4096
# Of a file that is looked at.
_HEAD_BYTES = 4096
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


def inside(name: str, root: Path) -> str | None:
    """A path in a file, with slashes, relative to `root`, the folder of its set, also where it is an absolute one that
    lies in it; "." is the folder itself. None where it might lead out: see `stays_inside`.
    """
    name = name.replace("\\", "/")
    for top in _spellings(root):
        name = name.removeprefix(top)
    while name.startswith("./"):
        name = name[2:]
    return name if name == "." or stays_inside(name) else None


@lru_cache(maxsize=16)
def _spellings(root: Path) -> tuple[str, ...]:
    """A folder as the user typed it, which may hold .. or be a link, and as others write it, with a slash behind."""
    absolute = root.absolute()
    return tuple(f"{one.as_posix()}/" for one in (absolute, Path(os.path.normpath(absolute)), root.resolve()))


def shown_names(names: Iterable[str]) -> str:
    """Names for a message, sorted: the first few, the number of the others; "nothing" for none."""
    names = sorted(names)
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"{', '.join(names[:_LISTED]) or 'nothing'}{more}"


def content(folder: Path) -> str:
    """What a folder holds, for a message."""
    if is_file(folder):
        return f"{folder} is a file"
    return f"{folder} holds: {shown_names(path.name for path in folder.iterdir()) if folder.is_dir() else 'nothing'}"


def is_image_name(name: str | Path) -> bool:
    """Whether a name ends as images do, in small or capital letters."""
    return Path(name).suffix.lower() in IMAGE_EXTENSIONS


def without_extension(name: str) -> str:
    """A posix path without its last extension where that is an image's."""
    return name[: -len(Path(name).suffix)] if is_image_name(name) else name


def read_small(path: Path, limit: int, what: str) -> bytes:
    """The bytes of a file of at most `limit`. what: its kind, as in "annotation". Raises DataError."""
    if path.exists() and not is_file(path):  # a pipe would be waited for
        raise DataError(f"unreadable {what}", path, "expected a file, got a folder, pipe or device")
    try:
        return read_limited(path, limit)
    except TooLargeError as error:
        raise DataError(f"{what} too large", path, f"expected at most {limit} bytes") from error
    except FileNotFoundError as error:
        raise DataError(f"missing {what}", path, "no such file") from error
    except (OSError, ValueError) as error:
        raise DataError(f"unreadable {what}", path, str(error)) from error


def read_text(path: Path, what: str, limit: int = MAX_LABEL_BYTES) -> str:
    """The text of a file of at most `limit` bytes. what: its kind. Raises DataError, also where it is not UTF-8."""
    content = read_small(path, limit, what)
    try:
        return decode_text(content, path)
    except ValueError as error:
        raise DataError(f"malformed {what}", path, str(error).removeprefix(f"{path}: ")) from error


def head_text(path: Path, size: int = _HEAD_BYTES) -> str:
    """The first `size` bytes of a file as text, whatever they are; "" for a pipe, which would be waited for.

    Raises OSError.
    """
    if not is_file(path):
        return ""
    with path.open("rb") as file:
        content = file.read(size)
    return content.decode(text_encoding(content), errors="replace")


class Tree:
    """Looks files and folders up below a folder, as they are written or, where just one is, in any case.

    Each folder is listed once: what comes later is not seen.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._listings: dict[Path, dict[str, list[str]]] = {}

    def find(self, name: str | PurePosixPath) -> Path | None:
        """The file or folder of a posix path relative to the folder, None where there is none."""
        path = self.folder / name
        if os.path.exists(path):
            return path
        path = self.folder
        for part in PurePosixPath(name).parts:
            found = self.listing(path).get(part.casefold(), ())
            chosen = [part] if part in found else found
            if len(chosen) != 1:
                return None
            path /= chosen[0]
        return path if path != self.folder else None

    def listing(self, folder: Path) -> dict[str, list[str]]:
        """The names in a folder by what they are in small letters."""
        if folder not in self._listings:
            try:
                names = sorted(os.listdir(folder))
            except (OSError, ValueError):  # not there, no folder, or no name that a folder can have
                names = []
            listing = self._listings[folder] = {}
            for name in names:
                listing.setdefault(name.casefold(), []).append(name)
        return self._listings[folder]


class ImageFinder:
    """Finds images in a folder by names that may hold folders, and an extension or none."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._tree = folder, Tree(folder)
        self._stems: dict[Path, dict[str, list[str]]] = {}

    def find(self, name: str) -> Path | None:
        """The image of a name; None where there is none. Of several the first of `all_of`."""
        base = self.folder / name
        if is_image_name(base) and is_file(base):
            return base
        usual = base.with_name(base.name + IMAGE_EXTENSIONS[0])
        return usual if is_file(usual) else next(iter(self.all_of(name)), None)

    def all_of(self, name: str) -> list[Path]:
        """The images that a name may mean: in the name's own case before any other, then in the order of
        IMAGE_EXTENSIONS, first in small letters.
        """
        base = PurePosixPath(name)
        folder = self._tree.find(base.parent)
        if folder is None or not base.name:
            return []
        listing = self._by_stem(folder)
        stems = {base.stem, base.name} if is_image_name(base) else {base.name}
        names = {one for stem in stems for one in listing.get(stem.casefold(), ()) if is_file(folder / one)}

        def order(found: str) -> tuple[bool, int, str]:
            path = PurePosixPath(found)
            return path.stem not in stems, IMAGE_EXTENSIONS.index(path.suffix.lower()), found

        return [folder / one for one in sorted(names, key=order)]

    def _by_stem(self, folder: Path) -> dict[str, list[str]]:
        if folder not in self._stems:
            stems = self._stems[folder] = {}
            for one in filter(is_image_name, chain.from_iterable(self._tree.listing(folder).values())):
                stems.setdefault(PurePosixPath(one).stem.casefold(), []).append(one)
        return self._stems[folder]


def images_below(folder: Path) -> list[str]:
    """The images of a folder and its subfolders as posix paths relative to it, sorted; see `files_below`."""
    return [name for name in files_below(folder) if is_image_name(name)]


def files_below(folder: Path, followed: Collection[str] = ()) -> list[str]:
    """The files of a folder and its subfolders as posix paths relative to it, sorted.

    Hidden files and folders are passed over, and so are links to folders, which may go round in a circle, but for those
    of a name in `followed`, in any case, that are in no such link.
    """
    found = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        below = Path(parent).relative_to(folder)
        found += [(below / name).as_posix() for name in files if not name.startswith(".")]
        for name in folders:
            if name.lower() in followed and os.path.islink(Path(parent, name)):
                found += [(below / name / one).as_posix() for one in files_below(Path(parent, name))]
    return sorted(found)
