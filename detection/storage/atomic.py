"""Files that are either whole or absent."""

import json
import os
import platform
import shutil
import tempfile
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from detection.storage.processes import machine, process_started

_TEMPORARY, _DAY = ".tmp-", 86400


@contextmanager
def atomic_path(path: Path | str, durable: bool = False) -> Iterator[Path]:
    """Yield a temporary path in the same folder; on success it is moved over `path` in one step.

    Folders are made as needed. If the body raises, `path` is as it was and the temporary file is gone. A
    process killed in between leaves a file whose name starts with ``.tmp-``, which nothing reads; see
    `remove_leftovers`. durable: wait until the disk has it, so that a power failure leaves the old file or the new
    one, whole: for what takes long to make again.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=temporary_prefix(), suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes files that only their owner may read; a result is shared like any new file.
        temporary.chmod(0o666 & ~_umask())
        if durable:
            sync(temporary)
        os.replace(temporary, path)
        if durable:
            sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def temporary_prefix() -> str:
    """How the names of this process's temporary files begin: machine, or container, and process are in them."""
    where = zlib.crc32(f"{machine()} {platform.node()}".encode())
    return f"{_TEMPORARY}{where:08x}-{os.getpid()}-"


def sync(path: Path) -> None:
    """Wait until the disk has a file, or what a folder lists. Windows has no such call for folders."""
    if os.name == "nt" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_leftovers(folder: Path, of_others: bool = True) -> None:
    """Remove what killed processes of this machine left half written in a folder, and of others after a day.

    of_others: whether the latter: in a folder of the user's a name alone does not say that an old file is ours.
    """
    for path in folder.glob(f"{_TEMPORARY}*") if folder.is_dir() else ():
        owner, _, rest = path.name.removeprefix(_TEMPORARY).partition("-")
        process = rest.partition("-")[0]
        is_ours = temporary_prefix().startswith(f"{_TEMPORARY}{owner}-") and process.isdigit()
        with suppress(OSError):  # another process was faster
            is_old = of_others and time.time() - path.stat().st_mtime > _DAY
            if process_started(int(process)) is None if is_ours else is_old:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def write_text(path: Path | str, text: str, durable: bool = False) -> None:
    """Write UTF-8 text with Unix line ends, atomically. durable: see `atomic_path`."""
    write_pieces(path, (text,), durable)


def write_pieces(path: Path | str, pieces: Iterable[str], durable: bool = False) -> None:
    """`write_text` of pieces one behind the other, each asked for when the one before is written."""
    with atomic_path(path, durable) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(pieces)


def write_json(path: Path | str, value: Any) -> None:
    """Write JSON, atomically. Floats keep every digit; NaN and infinity are refused with ValueError."""
    write_text(path, json.dumps(value, allow_nan=False, ensure_ascii=False, indent=1) + "\n")


def write_yaml(path: Path | str, value: Any, durable: bool = False) -> None:
    """Write YAML in the order of the mapping's keys, atomically. durable: see `atomic_path`."""
    write_text(path, yaml.safe_dump(value, sort_keys=False, allow_unicode=True), durable)
