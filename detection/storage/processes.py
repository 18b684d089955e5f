"""Which machine this is, whether a process that left its number still runs, and what this one may still take."""

import ctypes
import os
import platform
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# Fields of /proc/PID/stat behind the name, which may hold blanks: the state, and the start in ticks since boot.
_STATE, _STARTED = 0, 19
# OpenProcess: PROCESS_QUERY_LIMITED_INFORMATION.
_QUERY = 0x1000


@lru_cache(maxsize=1)
def machine() -> str:
    """A name of the running system that no other has; containers on one kernel share it, a restart gives another.

    Where the system has no such name (all but Linux), the host's.
    """
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return platform.node()


def address_space_left() -> int | None:
    """Bytes that this process may still map; None without a limit (``ulimit -v``), or where no system tells."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except (ImportError, OSError):
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY else max(limit - pages * resource.getpagesize(), 0)


def process_started(process: int) -> str | None:
    """When a process of this machine started, as the system tells it; None where there is none of the number.

    Numbers are given again: a process is the same one where this is.
    """
    if process <= 0:
        return None
    if sys.platform.startswith("linux"):
        return _started_linux(process)
    return _started_windows(process) if os.name == "nt" else _started_posix(process)


def _started_linux(process: int) -> str | None:
    try:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    # A zombie has ended; its parent has not asked yet.
    return None if fields[_STATE] in "ZX" else fields[_STARTED]


def _started_posix(process: int) -> str | None:
    asked = ["ps", "-o", "lstart=", "-p", str(process)]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip() or None


def _started_windows(process: int) -> str | None:
    kernel = ctypes.windll.kernel32
    handle = kernel.OpenProcess(_QUERY, False, process)
    if not handle:
        return None
    times = [ctypes.c_ulonglong() for _ in range(4)]
    try:
        told = kernel.GetProcessTimes(handle, *map(ctypes.byref, times))
    finally:
        kernel.CloseHandle(handle)
    started, ended = times[0].value, times[1].value
    return str(started) if told and not ended else None
