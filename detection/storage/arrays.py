"""Named arrays in one safetensors file. The only place where safetensors is called."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from detection.storage.atomic import atomic_path


def write_arrays(path: Path | str, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Write arrays and string metadata, atomically. Strided and Fortran-ordered arrays are made contiguous.

    (safetensors 0.8 writes their memory as it lies and says nothing.) Equal input gives equal bytes. Raises
    ValueError for an object or string array.
    """
    for name, value in arrays.items():
        if np.asarray(value).dtype.kind not in "biuf":
            raise ValueError(f"{path}: array {name!r}: expected numbers, got dtype {np.asarray(value).dtype}")
    contiguous = {name: np.asarray(value, order="C") for name, value in arrays.items()}
    with atomic_path(path) as temporary:
        save_file(contiguous, str(temporary), metadata={str(k): str(v) for k, v in metadata.items()})
        _sort_metadata(temporary)


def _sort_metadata(path: Path) -> None:
    """Put the metadata of a file in order in place: safetensors 0.8 writes it in a random one.

    The file starts with the length of its header, 8 bytes little-endian, and the header as compact JSON.
    """
    with path.open("r+b") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        if "__metadata__" in header:
            header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode().ljust(length)
        if len(text) != length:
            raise ValueError(f"{path}: expected a header of {length} bytes, got {len(text)} with its metadata in order")
        file.seek(8)
        file.write(text)


def read_metadata(path: Path | str) -> dict[str, str]:
    """The metadata of a file without its arrays. Raises ValueError where the file is not whole."""
    with _opened(path) as file:
        return dict(file.metadata() or {})


def read_arrays(path: Path | str, names: Iterable[str] | None = None) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """(arrays, metadata) of a file; only `names` if given. Raises ValueError naming the file and the key."""
    with _opened(path) as file:
        wanted = list(file.keys()) if names is None else names
        return {name: file.get_tensor(name) for name in wanted}, dict(file.metadata() or {})


@contextmanager
def _opened(path: Path | str) -> Iterator[safe_open]:
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: expected a safetensors file, found none")
    try:
        with safe_open(str(path), framework="numpy") as file:
            yield file
    except SafetensorError as error:
        raise ValueError(f"{path}: expected a whole safetensors file, got {error}") from error
