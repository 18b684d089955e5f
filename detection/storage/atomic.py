"""Files that are either whole or absent."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

# libyaml, where PyYAML was built with it: some ten times faster.
_SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path in the same folder; on success it is moved over `path` in one step.

    Folders are made as needed. If the body raises, `path` is as it was and the temporary file is gone. A
    process killed in between leaves a file whose name starts with ``.tmp-``, which nothing reads.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".tmp-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes files that only their owner may read; a result is shared like any new file.
        temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def write_text(path: Path | str, text: str) -> None:
    """Write UTF-8 text with Unix line ends, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path | str, value: Any) -> None:
    """Write JSON, atomically. Floats keep every digit; NaN and infinity are refused with ValueError."""
    write_text(path, json.dumps(value, allow_nan=False, ensure_ascii=False, indent=1) + "\n")


def read_json(path: Path | str) -> Any:
    """Read a JSON file. Raises ValueError naming the file where it is not JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: expected JSON, got {error}") from error


def write_yaml(path: Path | str, value: Any) -> None:
    """Write YAML in the order of the mapping's keys, atomically."""
    write_text(path, yaml.safe_dump(value, sort_keys=False, allow_unicode=True))


def read_yaml(path: Path | str) -> Any:
    """Read a YAML file without running anything in it. Raises ValueError naming the file."""
    try:
        return yaml.load(Path(path).read_text(encoding="utf-8"), Loader=_SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: expected YAML, got {error}") from error
