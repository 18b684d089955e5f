"""Files of proposals in every format: one reader, one writer."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from detection.data.foreign.child import ForeignReader
from detection.data.foreign.mat import write_mat
from detection.proposals.foreign.proposal_files import BoxConvention, ProposalFile
from detection.proposals.foreign.text import (
    read_csv_rows,
    read_json_rows,
    read_npz_rows,
    write_csv_rows,
    write_json_rows,
    write_npz_rows,
)
from detection.storage import error_text

ProposalFormat = Literal["mat", "pkl", "json", "csv", "npz"]
WrittenFormat = Literal["mat", "json", "csv", "npz"]

# This package's own: JSON objects, CSV, .npz.
OWN = BoxConvention("xyxy", 0, "exclusive")
# R-CNN, SPP_net and Fast R-CNN: cells of MATLAB's selective search (fast-rcnn/lib/datasets/pascal_voc.py swaps the
# columns and takes 1 off; rcnn/imdb/roidb_from_voc.m swaps them).
MAT_CELLS = BoxConvention("yxyx", 1, "inclusive")
# Fast R-CNN's demo: one image's matrix, used as it is (fast-rcnn/tools/demo.py).
MAT_MATRIX = BoxConvention("xyxy", 0, "inclusive")
# Detectron: 1-based MATLAB boxes less 1 (Detectron/tools/convert_selective_search.py), widths with + 1.
DETECTRON = BoxConvention("xyxy", 0, "inclusive")
# detectron2: BoxMode.XYXY_ABS (0) and XYWH_ABS (1), continuous (detectron2/data/build.py, structures/boxes.py).
DETECTRON2 = {0: BoxConvention("xyxy", 0, "exclusive"), 1: BoxConvention("xywh", 0, "exclusive")}
# mmdetection's proposal lists: corners of continuous boxes.
MMDETECTION = BoxConvention("xyxy", 0, "exclusive")
# COCO: x, y, width, height in continuous px.
COCO = BoxConvention("xywh", 0, "exclusive")
# Of a .mat with one image's matrix, what its name has after the image's id.
_MATRIX_SUFFIX = "_boxes"
# Letters of a list in a message.
_SHOWN = 200


@dataclass(frozen=True)
class _Format:
    """How files of one kind are read and written. convention: of what is written."""

    suffixes: tuple[str, ...]
    read: Callable[[Path, ForeignReader], ProposalFile]
    write: Callable[[Path, Mapping[str, np.ndarray]], None] | None = None
    convention: BoxConvention = OWN


def format_of(path: Path | str) -> str:
    """The format that a file's extension says. Raises ValueError for another one."""
    suffix = Path(path).suffix.lower()
    for name, one in _FORMATS.items():
        if suffix in one.suffixes:
            return name
    known = " ".join(suffix for one in _FORMATS.values() for suffix in one.suffixes)
    raise ValueError(f"{path}: expected a file named {known}, got {suffix or 'no extension'!r}")


def read_proposals(
    path: Path | str, file_format: ProposalFormat | None = None, reader: ForeignReader | None = None
) -> ProposalFile:
    """The proposals of a file, as they stand there, each image's best first. file_format: None goes by the extension.

    mat: cells ``boxes`` and perhaps ``images`` (R-CNN, SPP_net, Fast R-CNN), or one image's matrix ``boxes``, whose
    image is the file's name; v5, or v7.3 with h5py. pkl: Detectron's and detectron2's dictionary, mmdetection's
    list. json: {image_id: rows} or COCO results. csv: image_id and four numbers a line. npz: see ``write_proposals``,
    or an array an image. Of a folder, all files of these kinds are read as one. A fifth number, Detectron's scores and
    COCO's order the proposals, largest first, equal ones as they stand; scores are not kept. mat and pkl are read in a
    process of their own: `reader` is one for many calls, None starts one for this call.

    Raises FileNotFoundError, and ValueError naming file and image for what is not such a file.
    """
    path = Path(path)
    with nullcontext(reader) if reader is not None else ForeignReader() as reader:
        return _read_folder(path, file_format, reader) if path.is_dir() else _read_file(path, file_format, reader)


def _read_file(path: Path, file_format: ProposalFormat | None, reader: ForeignReader) -> ProposalFile:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected a file of proposals, found none")
    return _FORMATS[file_format or format_of(path)].read(path, reader)


def _read_folder(folder: Path, file_format: ProposalFormat | None, reader: ForeignReader) -> ProposalFile:
    """The files of a folder, sorted by name, as one: all of one convention, with image ids."""
    kinds = [suffix for name, one in _FORMATS.items() if file_format in (None, name) for suffix in one.suffixes]
    paths = [one for one in sorted(folder.iterdir()) if one.suffix.lower() in kinds and not one.name.startswith(".")]
    if not paths:
        raise FileNotFoundError(f"{folder}: expected files named {' '.join(kinds)}, found none")
    files = [_read_file(one, file_format, reader) for one in paths]
    for one in files:
        if one.image_ids is None or one.convention != files[0].convention:
            raise ValueError(
                f"{one.path}: expected image ids and boxes of {files[0].convention}, as in {files[0].path}, "
                f"got {'no ids' if one.image_ids is None else one.convention}; read it by itself"
            )
    ids = tuple(image_id for one in files for image_id in one.image_ids or ())
    boxes = tuple(rows for one in files for rows in one.boxes)
    numbered = all(one.numbered for one in files)
    return ProposalFile(str(folder), files[0].format, files[0].convention, ids, boxes, numbered)


def _from_rows(
    path: Path, file_format: str, convention: BoxConvention, rows: Mapping[str, Any], numbered: bool = False
) -> ProposalFile:
    ids = tuple(rows)
    boxes = tuple(_boxes(rows[key], f"{path}: image {key!r}") for key in ids)
    return ProposalFile(str(path), file_format, convention, ids, boxes, numbered)


def _boxes(rows: Any, where: str, scores: Any = None) -> np.ndarray:
    """(R, 4) float64 of rows of four or five numbers, by falling `scores`; None: by the fifth number, if any."""
    try:
        values = np.array(rows)
        if values.size == 0:
            values = np.zeros((0, 4))
        if values.dtype.kind not in "iuf" or values.ndim != 2 or values.shape[1] not in (4, 5):
            raise ValueError(f"{values.dtype} of shape {values.shape}")
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(
            f"{where}: expected rows of four numbers (a fifth is a score), got {error_text(error)}"
        ) from error
    # Not before float64: MATLAB's uint16 wraps round when 1 is taken off 0.
    values = values.astype(np.float64)
    if scores is None:
        scores = values[:, 4] if values.shape[1] == 5 else np.zeros(len(values))
    try:
        scores = np.asarray(scores, dtype=np.float64).ravel()
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"{where}: expected numbers as scores, got {error_text(error)}") from error
    if len(scores) != len(values):
        raise ValueError(f"{where}: expected {len(values)} scores, got {len(scores)}")
    return values[np.argsort(-scores, kind="stable"), :4]


def _read_mat(path: Path, reader: ForeignReader) -> ProposalFile:
    images, cells = reader.read("mat", path)
    if isinstance(cells, np.ndarray):
        key = path.stem.removesuffix(_MATRIX_SUFFIX) or path.stem
        return _from_rows(path, "mat", MAT_MATRIX, {key: cells})
    boxes = tuple(_boxes(cell, f"{path}: cell {place}") for place, cell in enumerate(cells, start=1))
    return ProposalFile(str(path), "mat", MAT_CELLS, None if images is None else tuple(images), boxes)


def _read_pkl(path: Path, reader: ForeignReader) -> ProposalFile:
    content = reader.read("pickle", path)
    if isinstance(content, (list, tuple)):
        boxes = [_boxes(one, f"{path}: list {place}") for place, one in enumerate(content, start=1)]
        return ProposalFile(str(path), "pkl", MMDETECTION, None, tuple(boxes))
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected a dictionary with boxes and ids, got {type(content).__name__}")
    boxes, scores, ids = (
        next((content[key] for key in keys if key in content), None)
        for keys in (("boxes", "proposal_boxes"), ("scores", "objectness_logits"), ("ids", "indexes"))
    )
    if boxes is None:
        found = ", ".join(map(str, content))[:_SHOWN] or "none"
        raise ValueError(f"{path}: expected the keys boxes and ids or indexes, got {found}")
    return _detectron(path, boxes, scores, ids, _detectron_convention(path, content))


def _detectron_convention(path: Path, content: dict) -> BoxConvention:
    if "bbox_mode" in content:
        mode = content["bbox_mode"]
        number = mode.item() if isinstance(mode, np.ndarray) and mode.size == 1 else mode
        if type(number) is not int or number not in DETECTRON2:
            raise ValueError(f"{path}: expected bbox_mode 0 (XYXY_ABS) or 1 (XYWH_ABS), got {mode!r:.80}")
        return DETECTRON2[number]
    return DETECTRON2[0] if {"proposal_boxes", "objectness_logits"} & set(content) else DETECTRON


def _detectron(path: Path, boxes: Any, scores: Any, ids: Any, convention: BoxConvention) -> ProposalFile:
    names = None if ids is None else [_id(one, path) for one in _each(ids, f"{path}: ids")]
    numbered = names is not None and all(type(one) is int for one in names)
    names = None if names is None else tuple(map(str, names))
    boxes = _each(boxes, f"{path}: boxes")
    scores = [None] * len(boxes) if scores is None else _each(scores, f"{path}: scores")
    if len(scores) != len(boxes):
        raise ValueError(f"{path}: expected scores of each of {len(boxes)} images, got {len(scores)}")
    pairs = enumerate(zip(boxes, scores, strict=True), start=1)
    found = tuple(_boxes(rows, f"{path}: image {place}", values) for place, (rows, values) in pairs)
    return ProposalFile(str(path), "pkl", convention, names, found, numbered)


def _each(values: Any, where: str) -> list[Any]:
    """The items of a list or array. Raises ValueError for what has none."""
    if isinstance(values, np.ndarray) and values.ndim > 0:
        return list(values)
    if not isinstance(values, list):
        raise ValueError(f"{where}: expected a list with an item an image, got {values!r:.80}")
    return values


def _id(value: Any, path: Path) -> str | int | float:
    value = value.item() if isinstance(value, (np.ndarray, np.generic)) and value.size == 1 else value
    if not isinstance(value, (str, int, float)):
        raise ValueError(f"{path}: expected text or a number as the id of an image, got {value!r:.80}")
    return value


def _read_json(path: Path, _: ForeignReader) -> ProposalFile:
    rows, is_coco, numbered = read_json_rows(path)
    return _from_rows(path, "json", COCO if is_coco else OWN, rows, numbered)


_FORMATS = {
    "mat": _Format((".mat",), _read_mat, write_mat, MAT_CELLS),
    "pkl": _Format((".pkl", ".pickle"), _read_pkl),
    "json": _Format((".json",), _read_json, write_json_rows),
    "csv": _Format((".csv",), lambda path, _: _from_rows(path, "csv", OWN, read_csv_rows(path)), write_csv_rows),
    "npz": _Format((".npz",), lambda path, _: _from_rows(path, "npz", OWN, read_npz_rows(path)), write_npz_rows),
}


def written_convention(path: Path | str, file_format: WrittenFormat | None = None) -> BoxConvention:
    """What a written file's numbers mean by custom. Raises ValueError for a format that is not written."""
    chosen = file_format or format_of(path)
    if chosen not in get_args(WrittenFormat):
        raise ValueError(f"{path}: expected a format out of {', '.join(get_args(WrittenFormat))}, got {chosen}")
    return _FORMATS[chosen].convention


def write_proposals(
    path: Path | str,
    proposals: Mapping[str, np.ndarray],
    file_format: WrittenFormat | None = None,
    convention: BoxConvention | None = None,
) -> None:
    """Write proposals of images, atomically: image id -> (R, 4) float32 half-open, image frame, best first.

    npz: image_ids, offsets, boxes. json: {image_id: [[x1, y1, x2, y2], ...]}. csv: image_id,x1,y1,x2,y2. mat: Fast
    R-CNN's cells ``boxes``, with ``images`` beside them. file_format: None goes by the extension. convention: None is
    the format's custom: half-open x1, y1, x2, y2, and yxyx, 1-based, inclusive for mat. Read back as written,
    proposals are bit-equal (in another convention than the package's own, corners that are multiples of 2^-29 px).

    Raises ValueError for another format, boxes that are not (R, 4) float32, and an empty or unencodable id.
    """
    convention = convention or written_convention(path, file_format)
    for image_id, boxes in proposals.items():
        _check_written(path, image_id, boxes)
    values = {key: boxes if convention == OWN else convention.from_half_open(boxes) for key, boxes in proposals.items()}
    _FORMATS[file_format or format_of(path)].write(Path(path), values)


def _check_written(path: Path | str, image_id: str, boxes: np.ndarray) -> None:
    if boxes.dtype != np.float32 or boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(
            f"{path}: image {image_id!r}: expected float32 boxes of shape (any, 4), got {boxes.dtype} {boxes.shape}"
        )
    try:
        encoded = image_id.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{path}: image {image_id!r}: expected an id that UTF-8 can write") from error
    if not encoded:
        raise ValueError(f"{path}: expected image ids, got an empty one")
