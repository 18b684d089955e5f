"""Where what is made once on a machine is kept: compiled kernels, converted networks. Loads nothing heavy.

Kernels are kept beside the package, as numba does it, where that can be written and SPPNET_CACHE names no other place.
"""

import logging
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

# numba's own variable: a folder, or nothing for the places that numba chooses by itself.
_NUMBA = "NUMBA_CACHE_DIR"
_OWN = "SPPNET_CACHE"


def cache_folder() -> Path:
    """Where things are kept: SPPNET_CACHE, or a folder of the system's place for caches.

    Raises RuntimeError where the system tells no home folder.
    """
    if own := os.environ.get(_OWN):
        return Path(own)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "sppnet"


def choose_kernel_folder(package: Path) -> None:
    """Let numba keep the kernels of `package` where that can be done; a place for a while is told in one line.

    NUMBA_CACHE_DIR, where it is set, is left as it is. Worker processes inherit the choice.
    """
    if _NUMBA in os.environ or (_OWN not in os.environ and os.access(package, os.W_OK)):
        return
    folder = _usable(lambda: cache_folder() / "numba")
    if folder is None:
        folder = _usable(_folder_for_a_while) or Path(tempfile.mkdtemp(prefix="sppnet-"))
        logging.getLogger("detection").warning(
            "compiled code cannot be kept beside the package or in the cache folder: it is kept in %s, as long as "
            "that is there; %s names another folder", folder, _OWN,
        )  # fmt: skip
    os.environ[_NUMBA] = str(folder)
    if "numba" in sys.modules:  # a program has loaded it, and it has read the environment
        sys.modules["numba"].config.CACHE_DIR = str(folder)


def _usable(choose: Callable[[], Path]) -> Path | None:
    try:
        folder = choose()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return None
    return folder if os.access(folder, os.W_OK) else None


def _folder_for_a_while() -> Path:
    """A folder of this user's among the temporary ones; raises PermissionError for one that another user has made.

    What numba keeps is code that runs.
    """
    user = os.getuid() if hasattr(os, "getuid") else None
    folder = Path(tempfile.gettempdir()) / f"sppnet-{'cache' if user is None else user}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if user is not None and (found.st_uid != user or found.st_mode & 0o022 or folder.is_symlink()):
        raise PermissionError(folder)
    return folder


_is_told = False


def tell_compiling(say: Callable[[str], None]) -> None:
    """Say once, where numba is loaded and compiles something, what the wait is for; of several workers the first."""
    name, is_worker = multiprocessing.current_process().name, multiprocessing.parent_process() is not None

    def say_once(_: str) -> None:
        global _is_told
        if not _is_told:
            _is_told = True
            say("compiling what is compiled once on a machine: up to a minute (sppnet warmup does it beforehand)")

    if not is_worker or name.endswith("-1"):
        _listen(say_once)


def tell_kernels(say: Callable[[str], None]) -> None:
    """Say the name of each kernel as numba begins to compile it, in place of `tell_compiling`'s line."""
    global _is_told
    _is_told = True
    _listen(say)


def _listen(begun: Callable[[str], None]) -> None:
    """Call `begun` with the name of each kernel that is compiled; what it calls is compiled with it."""
    event = sys.modules.get("numba.core.event")
    if event is None:
        return

    class Listener(event.Listener):
        depth = 0

        def on_start(self, compiling: Any) -> None:
            if not self.depth:
                begun(compiling.data["dispatcher"].py_func.__name__)
            self.depth += 1

        def on_end(self, _: Any) -> None:
            self.depth -= 1

    event.register("numba:compile", Listener())
