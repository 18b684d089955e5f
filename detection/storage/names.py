"""File names for image ids, which may hold spaces, folders or anything else."""

import hashlib
from urllib.parse import quote

# Most file systems allow 255 bytes; the rest is left for an extension and the prefix of a temporary file.
_MAX_STEM = 200
# Windows keeps these for devices, in either case and whatever follows the first dot.
_DEVICES = frozenset(["CON", "PRN", "AUX", "NUL", *(f"{port}{n}" for port in ("COM", "LPT") for n in range(1, 10))])


def printable(text: str) -> str:
    """A text with what no UTF-8 can hold escaped: bytes of a file's name that are none, and lone surrogates."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


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
