"""Names of images and classes, which may hold anything, as file names and as text for a terminal."""

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

# Most file systems allow 255 bytes; the rest is left for an extension and the prefix of a temporary file.
_MAX_STEM = 200
# Windows keeps these for devices, in either case and whatever follows the first dot.
_DEVICES = frozenset(["CON", "PRN", "AUX", "NUL", *(f"{port}{n}" for port in ("COM", "LPT") for n in range(1, 10))])
# Letters of a text from a file that a message shows.
_LONGEST_SHOWN = 80
_LONGEST_ERROR = 400
# What Windows or a path takes for something else.
_NOT_IN_FILES = re.compile(r'[<>:"/\\|?*]')
# They turn the direction of the text behind them, or begin a line.
_TURNING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029"


def file_stem(image_id: str) -> str:
    """One flat, portable file name without extension for an image id.

    Everything but letters, digits and ``_.-~`` is percent-encoded, and so is the first character of a name that is
    hidden (a dot) or a device on Windows: no id leaves the folder. A name of more than 200 characters ends in a hash.
    Ids that differ in case only share a file where the file system ignores case. Raises ValueError for an empty id.
    """
    if not image_id:
        raise ValueError("file name: expected an image id, got an empty one")
    stem = quote(image_id, safe="", errors="surrogatepass")
    if stem.startswith(".") or stem.split(".")[0].upper() in _DEVICES:
        stem = f"%{ord(stem[0]):02X}{stem[1:]}"
    if len(stem) > _MAX_STEM:
        digest = hashlib.sha256(image_id.encode(errors="surrogatepass")).hexdigest()[:32]
        stem = f"{stem[: _MAX_STEM - 33]}~{digest}"
    return stem


def readable_stems(names: Iterable[str]) -> dict[str, str]:
    """Name -> one flat file name without extension that people can read, in order, no two of them alike in any case.

    Names stay as they are but for what a file system refuses: that becomes an underscore. A name that another has
    taken gets a number; one of more than 200 bytes is that of `file_stem`. For pictures that are looked at: what the
    program reads again is kept under `file_stem`.
    """
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in dict.fromkeys(names):
        stem, number = _readable(name), 1
        unique = stem
        while unique.casefold() in taken:
            number += 1
            unique = f"{stem} ({number})"
        taken.add(unique.casefold())
        found[name] = unique
    return found


def readable_paths(names: Iterable[str]) -> dict[str, Path]:
    """Name -> relative path without extension whose folders are those of the name, by `readable_stems` each."""
    parts = {name: name.split("/") for name in names}
    stems = readable_stems(part for one in parts.values() for part in one)
    return {name: Path(*(stems[part] for part in one)) for name, one in parts.items()}


def readable_stem(name: str) -> str:
    """As `readable_stems` for one name alone: where the name had to be changed, it ends in a hash."""
    stem = _readable(name)
    return stem if stem == name else f"{stem}~{hashlib.sha256(name.encode(errors='surrogatepass')).hexdigest()[:8]}"


def _readable(name: str) -> str:
    stem = _NOT_IN_FILES.sub("_", "".join(_shown(one, "_") for one in name)).strip().rstrip(".")
    if not stem or stem.startswith(".") or stem.split(".")[0].upper() in _DEVICES:
        stem = f"_{stem}"
    return stem if len(stem.encode()) <= _MAX_STEM else file_stem(name)


def shortened(text: str, most: int = _LONGEST_SHOWN) -> str:
    """A text for a message: its beginning where it has more than `most` letters."""
    return text if len(text) <= most else text[:most] + "..."


def error_text(error: BaseException) -> str:
    """What another program's error says, its kind where that is nothing.

    Of a long text, which may repeat a whole file, the beginning and the end: there torch says what was wrong.
    """
    text, half = str(error), _LONGEST_ERROR // 2
    return (text if len(text) <= _LONGEST_ERROR else f"{text[:half]} ... {text[-half:]}") or type(error).__name__


def encodable(text: str) -> str:
    """A text with what no UTF-8 can hold escaped: bytes of a file's name that are none, and lone surrogates."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def printable(text: str, lines: bool = False) -> str:
    r"""Text for a terminal: control characters, which begin escape sequences, are shown as ``\x1b``.

    So are lone surrogates, of which no output can be made, and characters that turn the text behind them. lines: let
    line feeds and tabs be.
    """
    if text.isprintable():
        return text
    return "".join(one if lines and one in "\n\t" else _shown(one) for one in text)


def _shown(character: str, instead: str | None = None) -> str:
    """A character as it is, or its code, or what is to stand instead, where it is none that can be shown."""
    if unicodedata.category(character) not in ("Cc", "Cs") and character not in _TURNING:
        return character
    return character.encode("unicode_escape").decode() if instead is None else instead
