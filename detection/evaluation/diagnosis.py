"""Where a detector fails: kinds of false positives, kinds of missed objects, and what mending each would give.

After Hoiem, Chodpathumwan and Dai, Diagnosing Error in Object Detectors, ECCV 2012; the causes of misses are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from detection.evaluation.settings import DiagnosisSettings

Kind = Literal["correct", "localisation", "similar", "other", "background", "ignored"]
# Numbers of the kinds in arrays are places in this list. The four between the ends are the error types.
KINDS: tuple[Kind, ...] = ("correct", "localisation", "similar", "other", "background", "ignored")
ERROR_TYPES: tuple[Kind, ...] = KINDS[1:5]

Cause = Literal["no window", "moved away", "scored low", "suppressed"]
CAUSES: tuple[Cause, ...] = ("no window", "moved away", "scored low", "suppressed")

# Extra small to extra large, extra tall to extra wide: names of the bins of area and of width / height.
SIZES = ("XS", "S", "M", "L", "XL")
ASPECTS = ("XT", "T", "M", "W", "XW")

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class NearestObject:
    """The object that a detection's kind refers to. row: in its image's annotation. overlap: IoU, > 0."""

    row: int
    label: int
    box: Box
    overlap: float


@dataclass(frozen=True)
class DetectionCase:
    """One detection explained, for a gallery.

    image: position among the annotations. rank: from 0 among its class's detections. duplicate: a localisation
    error on an object that a surer detection has. nearest: for a correct, ignored or mislocalised detection the object
    of its class, for similar and other the object of that class, for background whatever it overlaps most; None where
    it overlaps nothing.
    """

    image: int
    image_id: str
    label: int
    rank: int
    score: float
    box: Box
    kind: Kind
    duplicate: bool
    nearest: NearestObject | None


@dataclass(frozen=True)
class MissCause:
    """Why no detection among the top-ranked found an object, and the window that came nearest to doing so.

    window: its box before regression, image frame; box: the box that was scored, after regression and clipping; both
    None where the image has no window at all. overlap: IoU of `window` with the object. box_overlap: of `box`. score:
    of `box` for the object's class, None where it has none (an untrained class). Which window is shown: under
    "no window" and "moved away" the one with the greatest IoU, else the surest of those whose `box` would match.
    """

    cause: Cause
    window: Box | None
    overlap: float
    box: Box | None
    box_overlap: float
    score: float | None


@dataclass(frozen=True)
class MissedObject:
    """An object that counts and that no detection among the top-ranked of its class found.

    image: position among the annotations; row: in that image's annotation. size, aspect: its bins among the objects
    of its class (SIZES, ASPECTS). truncated: as annotated, None where the format does not tell. found_score: score of
    its true positive further down the ranking, None where there is none. best: the detection of its class with the
    greatest IoU, at any rank; None where none overlaps it. cause: None where windows were not looked at.
    """

    image: int
    image_id: str
    row: int
    label: int
    box: Box
    size: str
    aspect: str
    truncated: bool | None
    found_score: float | None
    best: DetectionCase | None
    cause: MissCause | None


@dataclass(frozen=True)
class ClassErrors:
    """One class. N detections, in the order of its ``Matches``.

    kinds: (N,) int8, places in KINDS. nearest: (N,) int64, row of the object that the kind refers to in the image's
    annotation, -1 for none (see `DetectionCase`). overlaps: (N,) float64, IoU with it. top: how many detections are
    top-ranked: as many as there are objects that count, ignored ones not counted, fewer where there are fewer. cut:
    score of the last of them, None where there is none. shares: of the top-ranked, by kind without ignored, summing
    to 1; all 0 where top is 0. mended: AP with one error type out of the way, by type (see `diagnose`); None without
    objects. localisation_removed: AP with localisation errors removed instead of put right; None without objects.
    """

    name: str
    kinds: np.ndarray
    nearest: np.ndarray
    overlaps: np.ndarray
    top: int
    cut: float | None
    shares: Mapping[Kind, float]
    mended: Mapping[Kind, float] | None
    localisation_removed: float | None

    def __post_init__(self) -> None:
        for array in (self.kinds, self.nearest, self.overlaps):
            array.flags.writeable = False


@dataclass(frozen=True)
class MissTable:
    """How many objects that count there are and were missed in each bin, all classes together, by bin name."""

    objects: Mapping[str, int]
    missed: Mapping[str, int]


@dataclass(frozen=True)
class Diagnosis:
    """Where the detector fails.

    per_class: in the class list's order. shares: mean of the classes' shares over those with top-ranked detections.
    mended: mAP with one error type out of the way, by type, None without objects; localisation_removed as in
    `ClassErrors`. missed: all missed objects, class by class, in the annotations' order. by_size, by_aspect,
    by_truncation ("whole", "truncated"; None where the format does not tell). causes: how many misses have each
    cause, None where windows were not looked at.
    """

    settings: DiagnosisSettings
    classes: tuple[str, ...]
    per_class: tuple[ClassErrors, ...]
    shares: Mapping[Kind, float]
    mean_ap: float | None
    mended: Mapping[Kind, float] | None
    localisation_removed: float | None
    missed: tuple[MissedObject, ...]
    by_size: MissTable
    by_aspect: MissTable
    by_truncation: MissTable | None
    causes: Mapping[Cause, int] | None

    def cases(self, label: int, kinds: tuple[Kind, ...] | None = None, limit: int | None = None) -> list[DetectionCase]:
        """The surest detections of a class of the given kinds (None: all), at most `limit`, surest first."""
        raise NotImplementedError

    def to_json(self) -> dict[str, Any]:
        """Plain data for a JSON file: all but the single detections."""
        raise NotImplementedError
