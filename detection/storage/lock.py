"""One writer at a time in a folder: a lock that says who holds it and ends with its owner."""

import errno
import json
import os
import platform
import shlex
import signal
import stat
import sys
import tempfile
import threading
import time
from _thread import interrupt_main
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from detection.storage.processes import machine, process_started
from detection.storage.signals import HeldSignals

if os.name == "nt":
    import msvcrt
else:
    import fcntl

LOCK_FILE = ".lock"
# Seconds between two signs of life, and after which an owner on another machine counts as dead without one.
BEAT, PATIENCE = 15.0, 120.0
# Where Windows locks a byte: behind the text, which others are to read.
_FAR = 2**30
# What a system says that has the lock elsewhere, and one whose file system has no locks.
_HELD = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
# Seconds until what two processes wrote at once is seen by both, where the file system has no locks.
_SETTLED = 0.5
# Seconds between two tries to take a lock that is held briefly.
_PAUSE = 0.01


class LockedError(ValueError):
    """Another process writes in the folder; the text says which one, since when, and what to do."""


@contextmanager
def folder_lock(folder: Path | str) -> Iterator[None]:
    """Hold the lock of a folder, which is made as needed. Raises LockedError where another process has it, ValueError
    where what lies in the lock's place is no file.

    The file ``.lock`` in it has the system's lock (flock, on Windows msvcrt.locking), which ends with the process,
    and says who has it. On a shared disk whose locks do not reach other machines, that text and the signs of life that
    its owner gives decide: an owner on another machine counts as dead after `PATIENCE` seconds without one; a sign of
    the future counts from when somebody sees it. An owner whose lock was taken over ends with LockedError.
    """
    folder = Path(folder)
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise NotADirectoryError(f"{folder}: expected a folder, or a free name; a file is in the way") from error
    lock = None
    try:
        with HeldSignals():
            lock = _Lock.take(folder / LOCK_FILE)
        yield
    except BaseException:
        if lock is not None and lock.is_lost:
            raise LockedError(
                f"{lock.path}: removed or taken over by another process while this one wrote in the folder; "
                "this one has stopped"
            ) from None
        raise
    finally:
        try:
            _end(lock, folder, is_new)
        except BaseException:  # Ctrl-C, before it could be held back
            _end(lock, folder, is_new)
            raise


class _Lock:
    """The lock as its owner has it."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path, self.descriptor = path, descriptor
        self.text = json.dumps(_own_record())
        self.is_lost = False
        self._ended = threading.Event()

    @classmethod
    def take(cls, path: Path) -> Self:
        descriptor, is_locked = _open(path)
        try:
            owner = _read(path)
            if is_locked is False or (owner and _lives(owner, descriptor, path, bool(is_locked))):
                raise LockedError(_refusal(path, owner, descriptor))
            lock = cls(path, descriptor)
            os.ftruncate(descriptor, 0)
            os.lseek(descriptor, 0, os.SEEK_SET)
            os.write(descriptor, lock.text.encode())
            if is_locked is None:
                time.sleep(_SETTLED)
                if not lock.is_own():
                    raise LockedError(_refusal(path, _read(path), descriptor))
        except BaseException:
            os.close(descriptor)
            raise
        threading.Thread(target=lock._show_life, daemon=True).start()
        return lock

    def is_own(self) -> bool:
        """Whether the file at the path is still this lock's."""
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(self.descriptor)) and _text(self.path) == self.text
        except OSError:
            return False

    def _show_life(self) -> None:
        while not self._ended.wait(BEAT):
            if not self.is_own():
                if self._ended.is_set():
                    return  # given back just now
                self.is_lost = True
                # A process in the background may be deaf to Ctrl-C; the command lines end by SIGTERM in good order.
                interrupt_main(signal.SIGTERM if callable(signal.getsignal(signal.SIGTERM)) else signal.SIGINT)
                return
            with suppress(OSError):
                os.utime(self.path)

    def give_back(self) -> None:
        """Once, however often it is called."""
        if self._ended.is_set():
            return
        self._ended.set()
        if self.is_own():
            _remove(self.path, self.descriptor)
        else:
            os.close(self.descriptor)


def _end(lock: _Lock | None, folder: Path, is_new: bool) -> None:
    with HeldSignals():
        if lock is not None:
            lock.give_back()
        if is_new:
            with suppress(OSError):
                folder.rmdir()  # where nothing was written


@contextmanager
def brief_lock(path: Path) -> Iterator[None]:
    """Wait for the system's lock of a file, made and removed here, and hold it for some instructions.

    For a change of a file that depends on what it holds; Ctrl-C and SIGTERM wait for its end. Where the file system has
    no locks, none is held. Raises LockedError where another process does not give it back within `PATIENCE` seconds.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    ends = time.monotonic() + PATIENCE
    with HeldSignals() as signals:
        while (found := _open(path))[1] is False:
            os.close(found[0])
            signals.let_through()
            if time.monotonic() > ends:
                raise LockedError(f"{path}: another process has held it for {PATIENCE:.0f} s; end that one first")
            time.sleep(_PAUSE)
        try:
            yield
        finally:
            _remove(path, found[0])


def _remove(path: Path, descriptor: int) -> None:
    """Remove the file of a lock that is held, and give the lock back."""
    # Windows does not remove a file that is open; elsewhere nobody may take the lock of one that is to go.
    if os.name == "nt":
        os.close(descriptor)
    with suppress(OSError):
        path.unlink()
    if os.name != "nt":
        os.close(descriptor)


def _own_record() -> dict[str, Any]:
    return {
        "process": os.getpid(),
        "host": platform.node(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "machine": machine(),
        "process_started": process_started(os.getpid()),
    }


def _open(path: Path) -> tuple[int, bool | None]:
    """(descriptor, whether it has the system's lock; None where the file system has none).

    The file is the one that is at the path now: the last owner may remove it between the opening and the locking.
    """
    while True:
        with suppress(FileNotFoundError):
            # A pipe would be waited for.
            if not stat.S_ISREG(os.stat(path).st_mode):
                what = "expected a file, the lock of the folder, or none, found something else"
                raise ValueError(f"{path}: {what}; remove it")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            is_locked = _lock(descriptor)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.stat(path), os.fstat(descriptor)):
                    return descriptor, is_locked
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock(descriptor: int) -> bool | None:
    try:
        if os.name == "nt":
            os.lseek(descriptor, _FAR, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD:
            return False
        if error.errno in _NO_LOCKS:
            return None
        raise
    return True


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _read(path: Path) -> dict[str, Any]:
    """What the lock's file says of its owner; nothing where that is not written yet, or damaged."""
    try:
        record = json.loads(_text(path))
    except (OSError, ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def _lives(owner: Mapping[str, Any], descriptor: int, path: Path, is_locked: bool) -> bool:
    """Whether an owner that the file names still runs, though the system gives its lock or knows of none."""
    if owner.get("machine") == machine():
        if is_locked:
            return False  # the system's lock would have held
        if owner.get("host") == platform.node():  # else another container, whose processes have other numbers
            started = process_started(owner["process"]) if isinstance(owner.get("process"), int) else None
            return started is not None and started == owner.get("process_started")
    age = _age(path, descriptor)
    if age < 0:
        # The disk's clock was set back, or a copy keeps another clock's times. An owner that lives is not disturbed.
        with suppress(OSError):
            os.utime(path)
    return age < PATIENCE


def _age(path: Path, descriptor: int) -> float:
    """Seconds since the last sign of life, by the clock of the file system, which all machines' marks are set by."""
    with tempfile.NamedTemporaryFile(prefix=".tmp-", dir=path.parent) as now:
        return os.stat(now.name).st_mtime - os.fstat(descriptor).st_mtime


def _refusal(path: Path, owner: Mapping[str, Any], descriptor: int) -> str:
    if not owner:
        return f"{path.parent}: another process begins to write here; wait until it is done, or use another folder"
    who = f"process {owner.get('process')} on {owner.get('host')} since {owner.get('since')} ({owner.get('command')})"
    text = f"{path.parent}: {who} writes here; wait until it is done, stop it, or use another folder"
    if owner.get("machine") == machine():
        return text
    age = max(_age(path, descriptor), 0)
    return (
        f"{text}. Its last sign of life is {age:.0f} s old: it counts as dead after {PATIENCE:.0f} s without one, and "
        f"where you know that it is, delete {path}"
    )
