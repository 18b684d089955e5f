"""What a report is made of, values only, so that any detector's figures can be shown; and how much it shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from detection.evaluation import AtThresholds, Diagnosis, Difference, Evaluation, Intervals, at_thresholds
from detection.learning import Calibration
from detection.talking import percent
from detection.types import AnnotatedImage


@dataclass(frozen=True)
class ReportRun:
    """One run as a report shows it.

    name: how it is called. images: the evaluated images with their objects, in the order of the evaluation's
    ``image_ids``. evaluation, intervals, diagnosis: its figures; intervals None where none were asked for.
    calibration: the detector's probabilities and thresholds, the fixed ones where it has none. settings: nested, as
    kept in ``run.yaml``; versions: package -> version; stages: name -> seconds, finished and figures. mining: header
    and rows of the mining log, () where there is none. notes: what a reader should know of the data, one sentence each.
    """

    name: str
    images: Sequence[AnnotatedImage]
    evaluation: Evaluation
    intervals: Intervals | None
    diagnosis: Diagnosis
    calibration: Calibration
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    stages: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    mining: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        ids = tuple(one.image_id for one in self.images)
        if ids != self.evaluation.image_ids:
            raise ValueError(
                f"report of {self.name}: expected the {len(self.evaluation.image_ids)} evaluated images in order, "
                f"got {len(ids)} images"
            )

    @property
    def classes(self) -> tuple[str, ...]:
        """The class list."""
        return self.evaluation.classes

    @cached_property
    def shown(self) -> AtThresholds:
        """What is found, missed and false at the thresholds."""
        return at_thresholds(self.evaluation, self.calibration)

    def shown_ranks(self, label: int) -> int:
        """How many of a class's detections reach its threshold: the first ones of its ``Matches``."""
        return int((self.evaluation.per_class[label].matches.scores >= self.calibration.thresholds[label]).sum())

    def found_objects(self, label: int) -> np.ndarray:
        """(G,) bool: which of a class's objects, in the order of its ``ClassObjects``, a shown detection found."""
        ranks = self.evaluation.per_class[label].found.found
        return (ranks >= 0) & (ranks < self.shown_ranks(label))

    def probabilities(self, label: int) -> np.ndarray:
        """(N,) float64 in [0, 1]: of each of a class's detections, in the order of its ``Matches``."""
        scores = self.evaluation.per_class[label].matches.scores
        return self.calibration.probabilities(scores, np.full(len(scores), label))

    def said(self, label: int, score: float) -> str:
        """A score as a probability in words; ~ stands before one that is rough."""
        chance = self.calibration.probabilities(np.array([score]), np.array([label]))[0]
        return f"{'' if self.calibration.trained[label] else '~'}{percent(chance)}"


@dataclass(frozen=True)
class Comparison:
    """A second run on the same images and classes. difference: of its figures minus the first run's."""

    other: ReportRun
    difference: Difference | None


@dataclass(frozen=True)
class ReportSettings:
    """How much the HTML report shows. Nothing here changes a figure.

    Args:
        photos: most whole photos, the hardest first: those with the most missed objects and false boxes.
        photo_side: px of the longer side of a whole photo.
        pictures: most pictures of each kind (found, false, missed) a class.
        max_pictures: most pictures of all kinds and classes; every class gets its first ones before any gets more.
        picture_side: px of the longer side of a picture.
        max_megabytes: size of the HTML file, in 10^6 bytes, that pictures do not make it exceed (14 leaves
            some of the 15 that mail servers pass).
        curves: most classes whose precision-recall curve is drawn, those with the most objects; the others are
            in the CSV file.
        bins: steps of the probability in the table of other thresholds, and intervals in that of reliability.
        least_in_bin: detections that an interval needs for its share of right ones to be drawn.
    """

    photos: int = 60
    photo_side: int = 480
    pictures: int = 6
    max_pictures: int = 600
    picture_side: int = 260
    max_megabytes: float = 14.0
    curves: int = 200
    bins: int = 20
    least_in_bin: int = 10

    def __post_init__(self) -> None:
        least = {
            "photos": 0, "photo_side": 64, "pictures": 0, "max_pictures": 0, "picture_side": 64, "max_megabytes": 0.1,
            "curves": 0, "bins": 2, "least_in_bin": 1,
        }  # fmt: skip
        for key, bound in least.items():
            if not getattr(self, key) >= bound:
                raise ValueError(f"report {key}: expected a number >= {bound}, got {getattr(self, key)!r}")
