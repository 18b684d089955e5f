"""How the C library treats memory that is set free: maps of tens of MB come and go with every convolution."""

from __future__ import annotations

import ctypes
import os
import platform
from functools import lru_cache

# Options of mallopt(3) with their numbers in glibc's malloc.h, and the values set here. Blocks up to the first size
# come from the heap, which is the largest that glibc takes (and the most it would come to by itself); so much free
# memory at the heap's end is kept; it grows by so much at a time.
_MIB = 2**20
_OPTIONS = {"M_MMAP_THRESHOLD": (-3, 32 * _MIB), "M_TRIM_THRESHOLD": (-1, 256 * _MIB), "M_TOP_PAD": (-2, 32 * _MIB)}
# Who has set one of them has a reason.
_OWN_CHOICE = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_", "MALLOC_MMAP_MAX_")


@lru_cache(maxsize=1)
def keep_freed_memory() -> bool:
    """Let the process use freed blocks again instead of asking the system for fresh ones, page by page.

    Holds for the whole process and changes no result; up to 256 MiB more may stay with it. Nothing is done outside
    glibc, or where the environment sets malloc's options. Returns whether it was done.
    """
    if platform.libc_ver()[0] != "glibc" or any(name in os.environ for name in _OWN_CHOICE):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return all(bool(mallopt(number, value)) for number, value in _OPTIONS.values())
