"""What a user should know of files, said in one line: on the standard error, unless ``logging`` is set up otherwise."""

import logging
import multiprocessing
from pathlib import Path

_log = logging.getLogger("detection")
_said: set[str] = set()


def notice(text: str) -> None:
    """Say something, once a process."""
    if text not in _said:
        _said.add(text)
        _log.warning(text)


def notice_damaged(error: Exception | str) -> None:
    """Say that a file counts as absent. error: names it, and what is wrong."""
    notice(f"{error}; it counts as absent and is made again where it is needed")


def notice_older(path: Path | str) -> None:
    """Say that there are files without a fingerprint, `path` one of them: once, for all of them."""
    # A worker's files are its owner's, which says it.
    if "older" not in _said and multiprocessing.parent_process() is None:
        _said.add("older")
        notice(f"{path}: of an earlier version, as others may be: without a fingerprint, by which damage shows")
