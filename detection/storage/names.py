"""File names for image ids, which may hold spaces, folders or anything else."""

from __future__ import annotations

import hashlib
from urllib.parse import quote, unquote

# Most file systems allow 255 bytes; the rest is left for an extension and the prefix of a temporary file.
_MAX_STEM = 200


def file_stem(image_id: str) -> str:
    """One flat, portable file name without extension for an image id.

    Everything but letters, digits and ``_.-`` is percent-encoded, a leading dot too, so that no id leaves
    the folder. A name of more than 200 characters ends in a hash.
    """
    stem = quote(image_id, safe="")
    if stem.startswith("."):
        stem = "%2E" + stem[1:]
    if len(stem) > _MAX_STEM:
        digest = hashlib.sha256(image_id.encode()).hexdigest()[:32]
        stem = f"{stem[: _MAX_STEM - 33]}~{digest}"
    return stem


def image_id_of(stem: str) -> str:
    """The image id of a name that `file_stem` made, for ids short enough not to be hashed."""
    return unquote(stem)
