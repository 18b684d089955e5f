"""Proposals in JSON, CSV and .npz."""

import csv
import io
import json
import math
import struct
import tokenize
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from detection.data.box_files import CSV_HEADER, read_csv
from detection.data.json_items import read_entries
from detection.data.problems import DAMAGE_ERRORS
from detection.storage import atomic_path, error_text, write_text

# Named lists of rows: image id -> rows of numbers; the fifth, where there is one, is a score.
Rows = dict[str, Any]

_COCO_BOX = "bbox"
# Of our own .npz: all boxes in one array, those of image i from offsets[i] on.
_NPZ_KEYS = {"image_ids", "offsets", "boxes"}
_NPZ_ERRORS = (
    *DAMAGE_ERRORS,
    zipfile.BadZipFile,
    tokenize.TokenError,
    struct.error,
    MemoryError,
    RuntimeError,  # encrypted, or a header nested without end
)
# Bytes that one byte of an .npz may become, above the first MIN_INFLATED; boxes become some 5, and deflate knows 1,000.
MAX_INFLATION = 200
MIN_INFLATED = 2**20


def read_json_rows(path: Path | str) -> tuple[Rows, bool, bool]:
    """(image id -> rows, whether the file is a list of COCO results, whose boxes are x, y, width, height, whether the
    ids are whole numbers).

    {image_id: [[x1, y1, x2, y2], ...]}, or [{"image_id": ..., "bbox": [...], "score": ...}, ...]. NaN is read, and
    reported later with the other faults. Raises ValueError naming the file and the place.
    """
    is_coco, entries = read_entries(Path(path), finite=False)
    if not is_coco:
        return {one.key: one.value for one in entries}, False, False
    rows: Rows = {}
    kinds = set()
    for _, place, _, one in entries:
        if not isinstance(one, dict) or "image_id" not in one or not isinstance(one.get(_COCO_BOX), list):
            raise ValueError(f"{path}: row {place}: expected an object with image_id and bbox, got {one!r:.80}")
        score = [one["score"]] if "score" in one else []
        kinds.add(type(one["image_id"]))
        rows.setdefault(str(one["image_id"]), []).append(one[_COCO_BOX] + score)
    return rows, True, kinds == {int}


def write_json_rows(path: Path | str, proposals: Mapping[str, np.ndarray]) -> None:
    """Write {image_id: [[...], ...]}, a line an image, every digit; atomically."""
    lines = [f"{json.dumps(key, ensure_ascii=False)}: {boxes.tolist()}" for key, boxes in proposals.items()]
    write_text(path, "{" + ",\n".join(lines) + "}\n")


def read_csv_rows(path: Path | str) -> Rows:
    """Image id -> rows of a CSV file: image_id, four numbers and, if wanted, a score a line; see `read_csv`.

    A line without numbers names an image without proposals. Raises ValueError naming file and line.
    """
    rows: Rows = {}
    for where, image_id, numbers in read_csv(path):
        if len(numbers) not in (0, 4, 5):
            raise ValueError(f"{where}: expected four numbers and perhaps a score, got {len(numbers)}")
        rows.setdefault(image_id, [])
        rows[image_id] += [numbers] if numbers else []
    return rows


def write_csv_rows(path: Path | str, proposals: Mapping[str, np.ndarray]) -> None:
    """Write image_id,x1,y1,x2,y2 with that header, every digit; an image without proposals is its id alone."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")  # both are then quoted within an id
    writer.writerow(CSV_HEADER)
    for image_id, boxes in proposals.items():
        writer.writerows([image_id, *box] for box in boxes.tolist() or [[""] * 4])
    with atomic_path(path) as temporary:
        # newline="": a line end within an id stays what it is.
        temporary.write_text(text.getvalue(), encoding="utf-8", newline="")


def read_npz_rows(path: Path | str) -> Rows:
    """Image id -> (R, 4) or (R, 5) array, of `write_npz_rows` or of a file with an array an image, named by its id.

    Nothing pickled is read. Raises ValueError naming the file.
    """
    try:
        _check_sizes(Path(path))
        with np.load(path, allow_pickle=False) as content:
            arrays = {name: content[name] for name in content.files}
    except _NPZ_ERRORS as error:
        raise ValueError(
            f"{path}: expected an .npz of numbers, got {type(error).__name__}: {error_text(error)}"
        ) from error
    except AttributeError as error:  # np.load gives an array for a .npy file
        raise ValueError(f"{path}: expected an .npz, got a single array") from error
    if not set(arrays) >= _NPZ_KEYS:
        return arrays
    image_ids, offsets, boxes = (arrays[name] for name in ("image_ids", "offsets", "boxes"))
    good = image_ids.ndim == 1 and image_ids.dtype.kind == "U" and offsets.shape == (len(image_ids) + 1,)
    good = good and offsets.dtype.kind in "iu" and offsets[0] == 0 and offsets[-1] == len(boxes)
    if not good or (np.diff(offsets.astype(np.int64)) < 0).any():
        raise ValueError(f"{path}: expected image_ids (N,) text, offsets (N + 1,) from 0 to the number of boxes")
    ends = offsets.astype(np.int64).tolist()
    return {str(key): boxes[ends[i] : ends[i + 1]] for i, key in enumerate(image_ids)}


def _check_sizes(path: Path) -> None:
    """Raise ValueError where the arrays of an .npz are larger than the file can hold, before any is made."""
    limit = MIN_INFLATED + MAX_INFLATION * path.stat().st_size
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if (total := sum(one.file_size for one in members)) > limit:
            raise ValueError(f"{total:,} bytes of arrays, at most {limit:,} are read of a file of this size")
        for member in members:
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError(f"array {member.filename!r:.80}: compression {member.compress_type}, expected deflate")
            with archive.open(member) as stream:
                version = np.lib.format.read_magic(stream)
                read = {1: np.lib.format.read_array_header_1_0}.get(version[0], np.lib.format.read_array_header_2_0)
                shape, _, dtype = read(stream)
                size, there = math.prod(shape) * dtype.itemsize, member.file_size - stream.tell()
            if size != there and not dtype.hasobject:
                raise ValueError(f"array {member.filename!r:.80}: {dtype} of shape {shape} in {there} bytes")


def write_npz_rows(path: Path | str, proposals: Mapping[str, np.ndarray]) -> None:
    """Write image_ids (N,), offsets (N + 1,) int64 and boxes (all, 4), compressed; atomically.

    Raises ValueError for an id that ends in a NUL, which NumPy's text drops.
    """
    ids = np.array(list(proposals), dtype=str)
    if ids.tolist() != list(proposals):
        raise ValueError(f"{path}: expected image ids that do not end in a NUL character")
    offsets = np.cumsum([0, *map(len, proposals.values())], dtype=np.int64)
    boxes = np.concatenate([np.zeros((0, 4), np.float32), *proposals.values()])
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, image_ids=ids, offsets=offsets, boxes=boxes)
