"""Named arrays in one safetensors file, with a fingerprint of all of it. The only place that knows the format."""

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from detection.storage.atomic import atomic_path
from detection.storage.names import error_text
from detection.storage.notices import notice_older

# What safetensors calls the types that are written.
_TYPES = {
    "bool": "BOOL", "uint8": "U8", "int8": "I8", "uint16": "U16", "int16": "I16", "uint32": "U32", "int32": "I32",
    "uint64": "U64", "int64": "I64", "float16": "F16", "float32": "F32", "float64": "F64",
}  # fmt: skip
_FINGERPRINT = "fingerprint"
# In the metadata of every file of this project.
_OWN = "format_version"
_ALIGNMENT = 8


def write_arrays(
    path: Path | str, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str], durable: bool = False
) -> None:
    """Write arrays and string metadata, atomically, with a fingerprint that `read_arrays` checks.

    Strided and Fortran-ordered arrays are made contiguous. Equal input gives equal bytes. durable: see `atomic_path`.
    Raises ValueError for an object or string array, and for metadata of the fingerprint's name.
    """
    texts = {str(key): str(value) for key, value in metadata.items()}
    if _FINGERPRINT in texts:
        raise ValueError(f"{path}: metadata {_FINGERPRINT!r}: expected another name")
    plain = {name: _plain(path, name, np.asarray(value)) for name, value in arrays.items()}
    texts[_FINGERPRINT] = _fingerprint(plain, texts)
    header: dict[str, Any] = {"__metadata__": dict(sorted(texts.items()))}
    end = 0
    # Wide values first, as safetensors has them: so each array is aligned.
    order = sorted(plain, key=lambda name: (-plain[name].itemsize, name))
    for name in order:
        start, end = end, end + plain[name].nbytes
        kind, shape = _TYPES[plain[name].dtype.name], list(plain[name].shape)
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text = text.ljust(-(-len(text) // _ALIGNMENT) * _ALIGNMENT)
    with atomic_path(path, durable) as temporary, temporary.open("wb") as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for name in order:
            file.write(_bytes(plain[name]))


def _plain(path: Path | str, name: str, value: np.ndarray) -> np.ndarray:
    """The array, contiguous and little-endian."""
    if value.dtype.name not in _TYPES:
        raise ValueError(f"{path}: array {name!r}: expected numbers, got dtype {value.dtype}")
    return np.asarray(value, value.dtype.newbyteorder("<"), order="C")


def _bytes(value: np.ndarray) -> np.ndarray:
    return value.reshape(-1).view(np.uint8)


def _fingerprint(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> str:
    """8 hex digits over names, types, shapes, values and metadata: a crc, which finds any damage of up to 32 bits in
    a row, and of other damage all but one case in 4e9.
    """
    shapes = [[name, value.dtype.name, list(value.shape)] for name, value in sorted(arrays.items())]
    rest = sorted((key, value) for key, value in metadata.items() if key != _FINGERPRINT)
    found = zlib.crc32(json.dumps([shapes, rest]).encode())
    for name in sorted(arrays):
        found = zlib.crc32(_bytes(arrays[name]), found)
    return f"{found:08x}"


def read_metadata(path: Path | str) -> dict[str, str]:
    """The metadata of a file without its arrays, which are not checked. Raises ValueError where it is not whole."""
    with _opened(path) as file:
        return _others(file.metadata() or {})


def read_arrays(path: Path | str, names: Iterable[str] | None = None) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """(arrays, metadata) of a file; only `names` if given.

    Raises ValueError naming the file, and what differs: where it is cut or damaged, and has no array of a name. A
    file without a fingerprint is of an earlier version, or another program's, and is read as it is.
    """
    with _opened(path) as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        metadata = dict(file.metadata() or {})
    expected = metadata.get(_FINGERPRINT)
    if expected is not None and expected != (found := _fingerprint(arrays, metadata)):
        raise ValueError(f"{path}: damaged: expected content of fingerprint {expected}, got {found}")
    if expected is None and _OWN in metadata:
        notice_older(path)
    missing = sorted(set(names or ()) - set(arrays))
    if missing:
        raise ValueError(f"{path}: expected the arrays {', '.join(missing)}, found none")
    return {name: arrays[name] for name in (arrays if names is None else names)}, _others(metadata)


def _others(metadata: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in metadata.items() if key != _FINGERPRINT}


@contextmanager
def _opened(path: Path | str) -> Iterator[safe_open]:
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: expected a safetensors file, found none")
    try:
        with safe_open(str(path), framework="numpy") as file:
            yield file
    except SafetensorError as error:
        raise ValueError(f"{path}: expected a whole safetensors file, got {error_text(error)}") from error
