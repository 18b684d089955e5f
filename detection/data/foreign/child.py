"""Readers of binary formats in a process of their own, where they may crash, never end, or want all memory.

The libraries behind these formats were written for files of friends; a file of a few hundred bytes can make them crash
or ask for any amount. What comes back is plain: JSON, and arrays as their bytes.
"""

import json
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from detection.storage.bounded import TooLargeError
from detection.storage.names import error_text

MAX_BYTES = 2**32
# Memory, and seconds of a processor, that reading a file may take: so much, and more with its size.
MEMORY, MEMORY_PER_BYTE = 2**30, 8
SECONDS, BYTES_PER_SECOND = 20, 2**20
# Of a clock on the wall, where other programs compute too, or where no limit of the processor's seconds can be set.
WAITING = 4
# Kind of file -> (module of this package, its function of a path).
_READERS = {"mat": ("mat", "read_mat"), "pickle": ("pickled", "read_pickle")}
_NUMBERS = "biuf"
_MAX_BITS = 1000
# Bytes that tell the length of an answer.
_LENGTH = 8
# Seconds that a child has to go when nothing more is asked of it.
_PARTING = 1


class ForeignReader:
    """Reads files in one child process, which is started for the first of them; a context, at whose end it goes."""

    def __init__(self) -> None:
        self._process: subprocess.Popen | None = None

    def __enter__(self) -> "ForeignReader":
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def read(self, kind: str, path: Path | str) -> Any:
        """What `read_mat` or `read_pickle` gives for a file; kind: mat or pickle. Tuples come as lists.

        Raises ValueError naming the file as they do, and where reading crashed or went beyond its memory or time;
        TooLargeError beyond MAX_BYTES.
        """
        size = os.path.getsize(path)
        if size > MAX_BYTES:
            raise TooLargeError(f"{path}: expected at most {MAX_BYTES:,} bytes, got {size:,}")
        process = self._process = self._process or _start()
        memory, seconds, late = MEMORY + MEMORY_PER_BYTE * size, SECONDS + size // BYTES_PER_SECOND, threading.Event()
        clock = threading.Timer(WAITING * seconds, lambda: (late.set(), process.kill()))
        clock.start()
        try:
            process.stdin.write(f"{json.dumps([kind, os.fspath(path), memory, seconds])}\n".encode())
            process.stdin.flush()
            answer = _received(process.stdout)
        except (OSError, ValueError, EOFError) as error:
            self._end()
            ended = (
                f"took more than {WAITING * seconds} s" if late.is_set() else f"ended its process ({_end_of(process)})"
            )
            raise ValueError(f"{path}: expected a {kind} file that can be read; reading it {ended}") from error
        except BaseException:
            self._end()
            raise
        finally:
            clock.cancel()
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer["value"]

    def _end(self) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        with suppress(OSError):  # what it did not take any more
            process.stdin.close()
        try:
            process.wait(_PARTING)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def _start() -> subprocess.Popen:
    # The parent's own path: this package may have been found by any of its ways.
    code = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import serve; serve()"
    single = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([sys.executable, "-c", code], env={**os.environ, **single}, **pipes)


def _end_of(process: subprocess.Popen) -> str:
    code = process.returncode
    return signal.Signals(-code).name if code < 0 else f"status {code}"


def serve() -> None:
    """The child: answers each line of its input, a list of kind, path, memory and seconds, until that ends."""
    answers = os.fdopen(os.dup(1), "wb")
    # What a library prints is no answer.
    os.dup2(2, 1)
    with suppress(KeyboardInterrupt):
        for line in sys.stdin.buffer:
            kind, path, memory, seconds = json.loads(line)
            module, function = _READERS[kind]
            read = getattr(import_module(f"{__package__}.{module}"), function)
            _limit(memory, seconds)
            text, arrays = _answer(read, path)
            answers.write(len(text).to_bytes(_LENGTH, "little") + text)
            for one in arrays:
                answers.write(np.ascontiguousarray(one).data)
            answers.flush()


def _answer(read: Callable[[str], Any], path: str) -> tuple[bytes, list[np.ndarray]]:
    """(JSON text with the value, or the error; the arrays that it names by number)."""
    arrays: list[np.ndarray] = []
    try:
        value = _plain(read(path), arrays, {})
        return json.dumps({"value": value, "arrays": [(one.dtype.str, one.shape) for one in arrays]}).encode(), arrays
    except Exception as error:
        text = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error_text(error)}"
        named = text if text.startswith(path) else f"{path}: expected a file of proposals, got {text}"
        return json.dumps({"error": named}).encode(), []


def _plain(value: Any, arrays: list[np.ndarray], seen: dict[int, int]) -> Any:
    """A value as JSON has it; arrays go into `arrays`, each once. Raises ValueError for what no such file holds."""
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in _NUMBERS:
            raise ValueError(f"an array of {value.dtype}")
        if id(value) not in seen:
            seen[id(value)] = len(arrays)
            arrays.append(value)
        return {"array": seen[id(value)]}
    if isinstance(value, dict):
        if unfit := [key for key in value if not isinstance(key, (str, int, float))]:
            raise ValueError(f"a {type(unfit[0]).__name__} as the key of a dictionary")
        return {"dict": [[key, _plain(one, arrays, seen)] for key, one in value.items()]}
    if isinstance(value, (list, tuple)):
        return [_plain(one, arrays, seen) for one in value]
    if isinstance(value, bytes):
        return value.decode("latin1")
    if isinstance(value, int) and value.bit_length() > _MAX_BITS:
        raise ValueError(f"a number of {value.bit_length()} bits, at most {_MAX_BITS} are read")
    if value is None or isinstance(value, (str, int, float)):
        return value
    raise ValueError(f"a {type(value).__name__}")


def _received(stream: BinaryIO) -> dict[str, Any]:
    """What `serve` answered. Raises EOFError where it ends before."""
    answer = json.loads(_exactly(stream, int.from_bytes(_exactly(stream, _LENGTH), "little")))
    arrays = []
    for kind, shape in answer.get("arrays", ()):
        count = math.prod(shape) * np.dtype(kind).itemsize
        arrays.append(np.frombuffer(_exactly(stream, count), kind).reshape(shape))
    return {"value": _restored(answer["value"], arrays)} if "value" in answer else answer


def _exactly(stream: BinaryIO, count: int) -> bytes:
    content = stream.read(count)
    if len(content) < count:
        raise EOFError
    return content


def _restored(value: Any, arrays: list[np.ndarray]) -> Any:
    if isinstance(value, list):
        return [_restored(one, arrays) for one in value]
    if isinstance(value, dict):
        if "array" in value:
            return arrays[value["array"]]
        return {key: _restored(one, arrays) for key, one in value["dict"]}
    return value


def _limit(memory: int, seconds: int) -> None:
    """Limit what is taken from here on, bytes and seconds of a processor, where the system can."""
    try:
        import resource
    except ImportError:  # Windows
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    _set(resource, "RLIMIT_CPU", int(used.ru_utime + used.ru_stime) + seconds)
    _set(resource, "RLIMIT_AS", _memory() + memory)
    _set(resource, "RLIMIT_CORE", 0)


def _set(resource: Any, name: str, value: int) -> None:
    # Some systems know a limit and refuse to set it; a lower one is in force already.
    with suppress(ValueError, OSError):
        limit = getattr(resource, name)
        resource.setrlimit(limit, (value, resource.getrlimit(limit)[1]))


def _memory() -> int:
    """Bytes of address space that this process has."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return MEMORY
