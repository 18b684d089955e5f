"""Mutated inputs for every reader: a right answer, or a refusal that names the file; no crash, hang or growth."""

import os
import random
import resource
import select
import shlex
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from detection.data import DataError
from tests.campaign.calls import address_space
from tests.campaign.changes import mutated
from tests.campaign.readers import Reader, readers
from tests.campaign.runs import Material
from tests.campaign.trials import Job, Trial

COUNT = 1200
# Beyond what the process has, MiB; seconds for one file of some hundred bytes, more than any limit of the readers' own.
MEMORY, SECONDS = 1500, 90
_LONGEST_MESSAGE = 5000


def jobs(material: Material, seed: int, share: float) -> Iterator[Job]:
    """A job for each reader."""
    for reader in readers(material):
        count = max(round(COUNT * share), 2)
        yield Job("inputs", reader.name, partial(_try_reader, reader=reader, seed=seed, count=count), limit=3000)


def content(reader: Reader, original: bytes, seed: int, number: int) -> bytes:
    """The changed file of a number; number 0 is the file as it is."""
    return mutated(original, random.Random(f"{seed} {reader.name} {number}")) if number else original


def fault(reader: Reader, path: Path, whole: bool = False) -> str:
    """What is wrong with how a reader takes a file, nothing where it is read or refused by name.

    whole: it has to be read.
    """
    try:
        reader.read(path)
    except (ValueError, OSError) as error:
        text = f"{getattr(error, 'file', '')} {error}" if isinstance(error, DataError) else str(error)
        if whole:
            return f"a whole file was refused: {error!r}"
        if not any(name in text for name in (path.name, path.parent.name, *reader.also)):
            return f"{type(error).__name__} that names no file: {text[:300]}\n{_where(error)}"
        return "" if len(text) < _LONGEST_MESSAGE else f"a message of {len(text)} letters: {text[:200]}"
    except AssertionError as error:
        return str(error)
    except BaseException as error:
        return f"{type(error).__name__}: {str(error)[:300]}\n{_where(error)}"
    return ""


def _where(error: BaseException) -> str:
    lines = traceback.format_exception(error)
    return "".join(lines)[-1200:]


def _try_reader(folder: Path, reader: Reader, seed: int, count: int) -> Iterator[Trial]:
    """Inputs in a child that is started again behind one that has ended it."""
    sample = folder / "sample"
    sample.mkdir()
    path = reader.write(sample)
    original = path.read_bytes()
    first = 0
    while first <= count:
        for number, found in _in_child(reader, path, original, seed, range(first, count + 1)):
            first = number + 1
            kept = folder / "input"
            if found:
                # The child goes on with its own.
                shutil.rmtree(kept, ignore_errors=True)
                shutil.copytree(sample, kept, symlinks=True)
                (kept / path.relative_to(sample)).write_bytes(content(reader, original, seed, number))
            command = (
                f"python -m tests.campaign --show {shlex.quote(reader.name)} {kept.name}/{path.relative_to(sample)}"
            )
            yield Trial(f"{reader.name} input {number}", found, command, (kept,) if found else ())


def _in_child(reader: Reader, path: Path, original: bytes, seed: int, numbers: range) -> Iterator[tuple[int, str]]:
    """(number, fault) of each input until one ends the child or takes too long."""
    receive, send = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(receive)
            _read_all(reader, path, original, seed, numbers, send)
        finally:
            os._exit(0)
    os.close(send)
    number, waiting, started = numbers.start, b"", time.monotonic()
    with os.fdopen(receive, "rb", buffering=0) as pipe:
        while number < numbers.stop:
            ready, _, _ = select.select([pipe], [], [], max(started + SECONDS - time.monotonic(), 0))
            part = pipe.read(65536) if ready else b""
            waiting += part
            *lines, waiting = waiting.split(b"\0")
            for line in lines:
                yield number, line.decode(errors="replace")
                number, started = number + 1, time.monotonic()
            if not part:
                os.kill(pid, signal.SIGKILL)
                _, status = os.waitpid(pid, 0)
                if number < numbers.stop:
                    ended = f"died of signal {os.WTERMSIG(status)}" if ready else f"took more than {SECONDS} s"
                    yield number, f"the process {ended}"
                return
    os.waitpid(pid, 0)


def _read_all(reader: Reader, path: Path, original: bytes, seed: int, numbers: range, send: int) -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(null, stream)
    sys.stdout, sys.stderr = (open(os.devnull, "w") for _ in range(2))  # noqa: SIM115 (for the rest of this process)
    fault(reader, path)  # once without a limit: it loads what reading needs
    address_space(MEMORY)()
    for number in numbers:
        path.write_bytes(content(reader, original, seed, number))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        found = fault(reader, path, whole=number == 0)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        if grown > MEMORY / 2 and not found:
            found = f"took {grown:.0f} MiB for a file of {path.stat().st_size} bytes"
        os.write(send, found.encode(errors="backslashreplace")[:4000].replace(b"\0", b"\\0") + b"\0")


def show(material: Material, name: str, path: Path) -> int:
    """Read a file with a reader and print what is wrong with that; exit status 1 where something is."""
    reader = next(one for one in readers(material) if one.name == name)
    found = fault(reader, path.resolve())
    print(found or "read, or refused by name")
    return 1 if found else 0
