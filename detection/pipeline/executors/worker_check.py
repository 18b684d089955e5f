"""Whether a worker elsewhere would give the same bits: it is looked at before its first task."""

import platform
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from detection.engines.processor import processor_kind
from detection.storage import file_fingerprint, fingerprint, write_text
from detection.storage.atomic import temporary_prefix
from detection.storage.run import versions

_PASSED: set[str] = set()


class Expected(NamedTuple):
    """What a worker must be like. token: a file that it must see, which holds `secret`.

    facts: name -> what decides bits, of the machine where the command was started.
    """

    token: Path
    secret: str
    facts: Mapping[str, str]


@contextmanager
def expected_of_workers(folder: Path, mixed_processors: bool) -> Iterator[Expected]:
    """What is expected of workers that write in `folder`, where a token lies while the block lasts.

    mixed_processors: whatever their processors.
    """
    secret = secrets.token_hex(16)
    token = folder.absolute() / f"{temporary_prefix()}{secret}.token"
    facts = {name: value for name, value in _facts().items() if name != "processor" or not mixed_processors}
    write_text(token, secret)
    try:
        yield Expected(token, secret, facts)
    finally:
        token.unlink(missing_ok=True)


@lru_cache(maxsize=1)
def _facts() -> dict[str, str]:
    package = Path(__file__).parents[2]
    sources = [[path.relative_to(package).as_posix(), file_fingerprint(path)] for path in sorted(package.rglob("*.py"))]
    software = {name: version for name, version in versions().items() if name != "platform"}
    return {**software, "sources of sppnet": fingerprint(sources), "processor": processor_kind()}


def check_worker(expected: Expected, name: str) -> None:
    """Refuse the worker that this process is, with ValueError, where it would write other files, or elsewhere.

    It must have the same versions and processor, and see the token. What has passed is not looked at again. Weights are
    checked where they are loaded: ``pipeline.source.matching_extractor``. name: what the worker is called.
    """
    if expected.secret in _PASSED:
        return
    where = f"{name} on {platform.node()}"
    try:
        found = expected.token.read_text(encoding="utf-8")
    except FileNotFoundError:
        found = None
    if found != expected.secret:
        raise ValueError(
            f"{where}: expected to see {expected.token.parent} as the machine does where the command was started, "
            f"{'it is not there' if not expected.token.parent.is_dir() else 'it is another folder'}: what is read and "
            "written must lie on a disk that all workers have under the same path"
        )
    own = _facts()
    if differing := [
        f"{name} {value}, got {own.get(name)}" for name, value in expected.facts.items() if own.get(name) != value
    ]:
        raise ValueError(
            f"{where}: expected {'; '.join(differing)}: results would not be the same to the bit. Install the same "
            "packages there; workers of another processor are taken with --mixed_processors true"
        )
    _PASSED.add(expected.secret)
