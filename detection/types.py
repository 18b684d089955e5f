"""The records that stages exchange. They check themselves when built; `Detections` go to another library's and back.

Letters: H, W image height and width in px; G objects; R proposals; U different vectors of theirs; L classes; S scales;
T stages of a backbone; C, h, w channels, rows and columns of a map; D length of a feature vector; K detections.

Image frame: pixels of the original image, continuous (pixel i spans [i, i + 1)), origin at the top left.
Boxes are float32 x1, y1, x2, y2 in that frame and half-open, so a width is x2 - x1 and no ``+ 1`` exists
anywhere. Every size is (height, width). An array of shape (0, 4) is always legal.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

LAYERS = ("pool5", "fc6", "fc7")
MAP_DTYPES = ("float16", "float32")

# How a function goes over independent parts of its work: as `map` does, one after the other, or in several threads
# (``Executor.map``). No result depends on it.
MapFunction = Callable[[Callable[..., Any], Iterable[Any]], Iterable[Any]]


def _dtype_name(value: Any) -> str:
    return str(getattr(value, "dtype", type(value).__name__)).removeprefix("torch.")


def check_array(value: Any, dtype: str, shape: tuple[int | None, ...], what: str, image_id: str) -> None:
    """Raise ``ValueError`` unless `value` is an array or tensor of `dtype` and `shape` (None: any length).

    Tensors are recognised by their attributes, so that this module needs no torch.
    """
    found_dtype = _dtype_name(value)
    found_shape = tuple(getattr(value, "shape", ()))
    shapes_agree = len(found_shape) == len(shape) and all(
        want is None or want == got for want, got in zip(shape, found_shape, strict=True)
    )
    if found_dtype != dtype or not shapes_agree or not hasattr(value, "dtype"):
        wanted = ", ".join("any" if n is None else str(n) for n in shape)
        raise ValueError(
            f"{what} of image {image_id!r}: expected {dtype} of shape ({wanted}), "
            f"got {found_dtype} of shape {found_shape}"
        )


def _check_size(size: Any, image_id: str) -> None:
    if len(size) != 2 or not all(isinstance(n, int) and n > 0 for n in size):
        raise ValueError(f"size of image {image_id!r}: expected (height, width) in px, both > 0, got {size!r}")


def _check_positive_area(boxes: np.ndarray, what: str, image_id: str) -> None:
    bad = ~((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"{what} of image {image_id!r}: expected x1 < x2 and y1 < y2, "
            f"got {boxes[row].tolist()} in row {row} ({int(bad.sum())} such rows)"
        )


def _check_inside(boxes: np.ndarray, size: tuple[int, int], what: str, image_id: str) -> None:
    height, width = size
    bad = (boxes[:, :2] < 0).any(axis=1) | (boxes[:, 2] > width) | (boxes[:, 3] > height)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"{what} of image {image_id!r}: expected boxes inside (height, width) = {size}, "
            f"got {boxes[row].tolist()} in row {row}"
        )


def _check_labels(labels: np.ndarray, image_id: str) -> None:
    if len(labels) and labels.min() < 0:
        raise ValueError(f"labels of image {image_id!r}: expected >= 0, got {int(labels.min())}")


def _check_rows(rows: np.ndarray, proposals: int, vectors: int, image_id: str) -> None:
    check_array(rows, "int64", (proposals,), "rows of features", image_id)
    if proposals and not (rows.min() >= 0 and rows.max() < vectors):
        raise ValueError(
            f"rows of features of image {image_id!r}: expected 0 .. {vectors - 1}, got {rows.min()} .. {rows.max()}"
        )


@dataclass(frozen=True)
class AnnotatedImage:
    """One image of a data set with its objects.

    image_id: the split file's string. path: the image file. size: (height, width) in px of the frame the
    boxes are in. boxes: (G, 4) float32, image frame, inside the image, positive area. labels: (G,) int64,
    index into the run's class list. difficult: (G,) bool; objects so marked are kept by readers. truncated:
    (G,) bool, objects of which the box holds only a part; areas: (G,) float64, px^2 of the objects themselves, without
    what else their boxes hold; both None where the data set's format does not tell.
    """

    image_id: str
    path: Path
    size: tuple[int, int]
    boxes: np.ndarray
    labels: np.ndarray
    difficult: np.ndarray
    truncated: np.ndarray | None = None
    areas: np.ndarray | None = None

    def __post_init__(self) -> None:
        _check_size(self.size, self.image_id)
        check_array(self.boxes, "float32", (None, 4), "boxes", self.image_id)
        count = len(self.boxes)
        check_array(self.labels, "int64", (count,), "labels", self.image_id)
        check_array(self.difficult, "bool", (count,), "difficult", self.image_id)
        if self.truncated is not None:
            check_array(self.truncated, "bool", (count,), "truncated", self.image_id)
        if self.areas is not None:
            check_array(self.areas, "float64", (count,), "areas", self.image_id)
        _check_positive_area(self.boxes, "boxes", self.image_id)
        _check_inside(self.boxes, self.size, "boxes", self.image_id)
        _check_labels(self.labels, self.image_id)


@dataclass(frozen=True)
class ClassificationImage:
    """One image with what is on it, but not where. presence: (L,) int8, as in the devkit's CLASS_SPLIT.txt: 1 where the
    image shows the class, -1 where it does not, 0 where it shows difficult objects of it alone.
    """

    image_id: str
    path: Path
    presence: np.ndarray

    def __post_init__(self) -> None:
        check_array(self.presence, "int8", (None,), "presence", self.image_id)
        if not np.isin(self.presence, (-1, 0, 1)).all():
            raise ValueError(f"presence of image {self.image_id!r}: expected -1, 0 or 1, got {self.presence.tolist()}")


@dataclass(frozen=True)
class Proposals:
    """Candidate proposals of one image, best first: never ground truth.

    boxes: (R, 4) float32, image frame, inside the image, positive area. size: (height, width) in px.
    source: what made them, e.g. ``"selective_search/fast"``.
    """

    image_id: str
    size: tuple[int, int]
    boxes: np.ndarray
    source: str

    def __post_init__(self) -> None:
        _check_size(self.size, self.image_id)
        check_array(self.boxes, "float32", (None, 4), "proposals", self.image_id)
        _check_positive_area(self.boxes, "proposals", self.image_id)
        _check_inside(self.boxes, self.size, "proposals", self.image_id)


@dataclass(frozen=True)
class FeaturePyramid:
    """The convolutional maps of one image at S scales and T stages.

    maps: S tuples of T arrays (C_t, h, w), float16 or float32. scales: (S,) float64, resized px per image px. strides:
    (T,) int64 and offsets: (T, 2) float64 (y, x): the centre of cell (i, j) of stage t lies at offsets[t] + strides[t]
    * (i, j) in continuous px of the resized image. size: (height, width) of the image in px. mirrored: of its mirror
    image, or None.
    """

    image_id: str
    size: tuple[int, int]
    maps: tuple[tuple[Any, ...], ...]
    scales: np.ndarray
    strides: np.ndarray
    offsets: np.ndarray
    mirrored: FeaturePyramid | None = None

    def __post_init__(self) -> None:
        _check_size(self.size, self.image_id)
        if self.mirrored is not None and self.mirrored.size != self.size:
            raise ValueError(f"mirrored maps, image {self.image_id!r}: expected {self.size}, got {self.mirrored.size}")
        stages = len(self.strides)
        check_array(self.scales, "float64", (len(self.maps),), "scales", self.image_id)
        check_array(self.strides, "int64", (None,), "strides", self.image_id)
        check_array(self.offsets, "float64", (stages, 2), "offsets", self.image_id)
        for scale_index, stage_maps in enumerate(self.maps):
            where = f"of image {self.image_id!r}, scale {scale_index}"
            if len(stage_maps) != stages:
                raise ValueError(f"maps {where}: expected {stages} stages, got {len(stage_maps)}")
            for stage_index, one in enumerate(stage_maps):
                if len(one.shape) != 3 or min(one.shape) < 1 or _dtype_name(one) not in MAP_DTYPES:
                    raise ValueError(
                        f"map {where}, stage {stage_index}: expected {' or '.join(MAP_DTYPES)} of shape (channels, "
                        f"rows, columns), all > 0, got {_dtype_name(one)} of shape {tuple(one.shape)}"
                    )


@dataclass(frozen=True)
class RegionFeatures:
    """One vector a proposal; proposals of equal vectors may share one.

    boxes: (R, 4) float32, image frame. values: (R, D) float32; with `rows` (U, D), the U different vectors. layer: see
    LAYERS. rows: (R,) int64, the row of `values` that is each proposal's vector; None: row i is proposal i's.
    """

    image_id: str
    boxes: np.ndarray
    values: np.ndarray
    layer: str
    rows: np.ndarray | None = None

    def __post_init__(self) -> None:
        check_array(self.boxes, "float32", (None, 4), "boxes", self.image_id)
        count = len(self.boxes) if self.rows is None else None
        check_array(self.values, "float32", (count, None), "features", self.image_id)
        if self.rows is not None:
            _check_rows(self.rows, len(self.boxes), len(self.values), self.image_id)
        if self.layer not in LAYERS:
            raise ValueError(
                f"layer of image {self.image_id!r}: expected one of {', '.join(LAYERS)}, got {self.layer!r}"
            )


@dataclass(frozen=True)
class RegionScores:
    """Every class's score and box for every proposal, before NMS.

    boxes: (R, L, 4) float32, image frame, finite, may reach outside the image or be empty until
    ``postprocess``. scores: (R, L) float32 SVM margins, no background column.
    """

    image_id: str
    boxes: np.ndarray
    scores: np.ndarray

    def __post_init__(self) -> None:
        check_array(self.scores, "float32", (None, None), "scores", self.image_id)
        check_array(self.boxes, "float32", (*self.scores.shape, 4), "boxes", self.image_id)


@dataclass(frozen=True)
class Detections:
    """What a detector found in one image, by descending score.

    boxes: (K, 4) float32, image frame, clipped to the image, positive area. scores: (K,) float32 falling.
    labels: (K,) int64, index into the class list. probabilities: (K,) float64 in [0, 1] that a box is right, or None;
    they rise with the scores of a class, not across classes.
    """

    image_id: str
    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    # Any: those of a detector are there, and its users need not ask.
    probabilities: Any = None

    def __post_init__(self) -> None:
        check_array(self.boxes, "float32", (None, 4), "boxes", self.image_id)
        check_array(self.scores, "float32", (len(self.boxes),), "scores", self.image_id)
        check_array(self.labels, "int64", (len(self.boxes),), "labels", self.image_id)
        _check_labels(self.labels, self.image_id)
        _check_positive_area(self.boxes, "boxes", self.image_id)
        if (np.diff(self.scores) > 0).any():
            row = int(np.flatnonzero(np.diff(self.scores) > 0)[0])
            raise ValueError(
                f"scores of image {self.image_id!r}: expected falling scores, got {self.scores[row]} "
                f"before {self.scores[row + 1]} in row {row}"
            )
        if self.probabilities is not None:
            check_array(self.probabilities, "float64", (len(self.boxes),), "probabilities", self.image_id)
            if not ((self.probabilities >= 0) & (self.probabilities <= 1)).all():
                raise ValueError(f"probabilities of image {self.image_id!r}: expected 0 to 1, got {self.probabilities}")

    def chosen(self, rows: np.ndarray) -> Detections:
        """Those of `rows`: (K,) bool, or places in rising order."""
        chances = None if self.probabilities is None else self.probabilities[rows]
        return replace(
            self, boxes=self.boxes[rows], scores=self.scores[rows], labels=self.labels[rows], probabilities=chances
        )

    def to_supervision(self, classes: Sequence[str] | None = None) -> Any:
        """The same as ``supervision.Detections``, for its trackers and annotators.

        xyxy: the boxes; confidence: the probabilities, or the scores where there are none; class_id: the labels; with
        `classes`, data["class_name"]: their names. Raises ImportError where supervision is not installed, ValueError
        for a label outside `classes`.
        """
        supervision = _supervision()
        confidence = self.scores if self.probabilities is None else self.probabilities.astype(np.float32)
        found = supervision.Detections(
            xyxy=self.boxes.copy(), confidence=confidence.copy(), class_id=self.labels.astype(int)
        )
        if classes is not None:
            if len(self.labels) and self.labels.max() >= len(classes):
                raise ValueError(
                    f"labels of image {self.image_id!r}: expected below {len(classes)}, got {int(self.labels.max())}"
                )
            found.data["class_name"] = np.array([classes[label] for label in self.labels], dtype=str)
        return found

    @classmethod
    def from_supervision(cls, found: Any, image_id: str) -> Detections:
        """Detections from ``supervision.Detections``, by descending score; what they say beyond is left out.

        Raises ValueError where they have no confidence or class, or a box of no area.
        """
        if found.confidence is None or found.class_id is None:
            lacking = "confidence" if found.confidence is None else "class_id"
            raise ValueError(f"detections of image {image_id!r}: expected confidence and class_id, got no {lacking}")
        order = np.argsort(-np.asarray(found.confidence), kind="stable")
        columns = (found.xyxy, np.float32), (found.confidence, np.float32), (found.class_id, np.int64)
        return cls(image_id, *(np.asarray(values)[order].astype(dtype) for values, dtype in columns))


def _supervision() -> Any:
    try:
        return importlib.import_module("supervision")
    except ImportError as error:
        raise ImportError('to_supervision needs the package supervision: pip install "sppnet[supervision]"') from error
