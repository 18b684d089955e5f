"""Proposals in MATLAB's files: cells of boxes, with image names (R-CNN, SPP_net) or without, or one image's matrix."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io

from detection.data.problems import DAMAGE_ERRORS
from detection.storage import atomic_path, error_text

# A v7.3 file is HDF5 behind a header that says so; its first bytes, and HDF5's own.
_HEADER_73 = b"MATLAB 7.3"
_HDF5 = b"\x89HDF\r\n\x1a\n"
_BOXES, _IMAGES = "boxes", "images"
# What scipy.io raises on a damaged file.
_ERRORS = (*DAMAGE_ERRORS, scipy.io.matlab.MatReadError, MemoryError)


def read_mat(path: Path | str) -> tuple[list[str] | None, list[np.ndarray] | np.ndarray]:
    """(image names or None, proposals): one (R, 4) numeric array an image for cells, one alone for a matrix.

    Variables boxes and, where there, images; MATLAB v4 to v7 through SciPy, v7.3 through h5py. Raises ValueError
    naming the file for anything else, and where h5py is absent.
    """
    with Path(path).open("rb") as file:
        start = file.read(len(_HEADER_73))
    is_73 = start == _HEADER_73 or start.startswith(_HDF5)
    content = _read_73(path) if is_73 else _read_5(path)
    if _BOXES not in content:
        names = ", ".join(sorted(content)) or "none"
        raise ValueError(f"{path}: expected a variable 'boxes', got {names}")
    boxes, images = content[_BOXES], content.get(_IMAGES)
    return images, boxes


def _read_5(path: Path | str) -> dict[str, Any]:
    try:
        names = [name for name, _, _ in scipy.io.whosmat(str(path))]
        wanted = [name for name in (_BOXES, _IMAGES) if name in names]
        content = scipy.io.loadmat(str(path), variable_names=wanted) if wanted else {}
    except _ERRORS as error:
        raise ValueError(f"{path}: expected a MATLAB file, got {type(error).__name__}: {error_text(error)}") from error
    found: dict[str, Any] = dict.fromkeys(names)
    if _BOXES in wanted:
        value = content[_BOXES]
        found[_BOXES] = [np.asarray(cell) for cell in value.ravel()] if value.dtype == object else value
    if _IMAGES in wanted:
        found[_IMAGES] = [_text(cell) for cell in content[_IMAGES].ravel()]
    return found


def _text(cell: Any) -> str:
    value = np.asarray(cell)
    return str(value.ravel()[0]) if value.size else ""


def _read_73(path: Path | str) -> dict[str, Any]:
    try:
        import h5py
    except ImportError as error:
        raise ValueError(
            f"{path}: expected the package h5py, which MATLAB v7.3 files need (pip install 'sppnet[mat73]'), found none"
        ) from error
    try:
        with h5py.File(path, "r") as file:
            found: dict[str, Any] = dict.fromkeys(name for name in file if not name.startswith("#"))
            if _BOXES in found:
                found[_BOXES] = _boxes_73(file, h5py)
            if _IMAGES in found:
                found[_IMAGES] = [_text_73(cell) for cell in _cells_73(file, _IMAGES, h5py)]
            return found
    except (*_ERRORS, RuntimeError, AttributeError) as error:
        raise ValueError(
            f"{path}: expected a MATLAB v7.3 file, got {type(error).__name__}: {error_text(error)}"
        ) from error


def _boxes_73(file: Any, h5py: Any) -> list[np.ndarray] | np.ndarray:
    value = file[_BOXES]
    if h5py.check_ref_dtype(value.dtype) is None:
        return _matrix_73(value)
    return [_matrix_73(cell) for cell in _cells_73(file, _BOXES, h5py)]


def _cells_73(file: Any, name: str, h5py: Any) -> list[Any]:
    value = file[name]
    if h5py.check_ref_dtype(value.dtype) is None:
        raise ValueError(f"variable {name!r}: expected a cell array")
    # MATLAB is column-major and HDF5 row-major: all axes are reversed.
    return [file[reference] for reference in value[()].T.ravel(order="F")]


def _matrix_73(value: Any) -> np.ndarray:
    # An empty array is stored as the list of its sizes.
    return np.zeros((0, 4)) if value.attrs.get("MATLAB_empty", 0) else np.asarray(value[()]).T


def _text_73(value: Any) -> str:
    if value.attrs.get("MATLAB_empty", 0):
        return ""
    return np.asarray(value[()]).ravel().astype("<u2").tobytes().decode("utf-16-le")


def write_mat(path: Path | str, proposals: Mapping[str, np.ndarray]) -> None:
    """Write cells boxes (1 x N, each R x 4) and images (N x 1), MATLAB v5, compressed; atomically.

    proposals: image id -> (R, 4) numbers as they are to stand.
    """
    boxes, names = np.empty((1, len(proposals)), dtype=object), np.empty((len(proposals), 1), dtype=object)
    for index, (image_id, values) in enumerate(proposals.items()):
        boxes[0, index], names[index, 0] = values, image_id
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        scipy.io.savemat(file, {_IMAGES: names, _BOXES: boxes}, do_compression=True)
