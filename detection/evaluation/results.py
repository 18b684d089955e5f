"""The immutable result of an evaluation."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from math import fsum
from typing import Any

import numpy as np

from detection.evaluation.coco_figures import CocoFigures
from detection.evaluation.matching import DUPLICATE, IGNORED, TRUE_POSITIVE, ClassObjects, Matches, ReadOnlyArrays
from detection.evaluation.metrics import METRICS, Metric
from detection.evaluation.settings import EvaluationSettings

FORMAT_VERSION = 1


@dataclass(frozen=True)
class ClassEvaluation(ReadOnlyArrays):
    """One class.

    ap: average precision in [0, 1] by the metric of the settings, None where the class has no object that counts;
    ap07 and ap10 the same by the two VOC metrics, at the settings' IoU threshold. objects: how many
    count. difficult: how many are marked difficult, whatever the settings make of them. scores, precision,
    recall: (M,) float32, float64, float64, after each detection that is not ignored, by descending score; the
    recall is NaN without objects. matches: what became of every detection. found: what became of every object.
    """

    name: str
    ap: float | None
    ap07: float | None
    ap10: float | None
    objects: int
    difficult: int
    scores: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    matches: Matches
    found: ClassObjects

    @property
    def detections(self) -> int:
        """All detections of the class, the ignored ones too."""
        return len(self.matches.outcomes)

    @property
    def true_positives(self) -> int:
        """Objects found."""
        return self._count(TRUE_POSITIVE)

    @property
    def greatest_recall(self) -> float | None:
        """Share of the objects found at any score; None without objects."""
        return self.true_positives / self.objects if self.objects else None

    @property
    def average_best_overlap(self) -> float | None:
        """Mean over the objects that count of the greatest IoU with a detection of the class; None without objects."""
        overlaps = self.found.overlaps[self.found.counts]
        # Summed exactly, so that the order of the images does not matter.
        return fsum(overlaps) / len(overlaps) if len(overlaps) else None

    @property
    def ignored(self) -> int:
        """Detections on difficult objects, which count neither way."""
        return self._count(IGNORED)

    @property
    def false_positives(self) -> int:
        """Detections that found no object, or one that a higher-scoring detection had found (`duplicates`)."""
        return self.detections - self.true_positives - self.ignored

    @property
    def duplicates(self) -> int:
        """Those of the false positives that lie on an object already found."""
        return self._count(DUPLICATE)

    def counts(self) -> dict[str, int]:
        """The class in numbers, by name."""
        keys = ("objects", "difficult", "detections", "true_positives", "false_positives", "duplicates", "ignored")
        return {key: getattr(self, key) for key in keys}

    def _count(self, outcome: int) -> int:
        return int((self.matches.outcomes == outcome).sum())


@dataclass(frozen=True)
class Evaluation:
    """The outcome of one pass of matching.

    per_class: in the order of the class list. image_ids: of the annotated images, in order. images_without_detections:
    how many of them have none. warnings: what a reader of the figure should know, one sentence each. coco: COCO's
    figures, where the metric is over several IoU thresholds.
    """

    settings: EvaluationSettings
    per_class: tuple[ClassEvaluation, ...]
    image_ids: tuple[str, ...]
    images_without_detections: int
    warnings: tuple[str, ...]
    coco: CocoFigures | None = None

    @property
    def metric(self) -> Metric:
        """The metric of `ap`."""
        return METRICS[self.settings.metric]

    @property
    def images(self) -> int:
        """How many were annotated."""
        return len(self.image_ids)

    @property
    def classes(self) -> tuple[str, ...]:
        """The class list."""
        return tuple(one.name for one in self.per_class)

    @property
    def mean_ap(self) -> float | None:
        """Mean of the AP over the classes with objects, in [0, 1]; None where no class has one."""
        return mean(one.ap for one in self.per_class)

    @property
    def mean_recall(self) -> float | None:
        """Mean of the greatest recall over the classes with objects."""
        return mean(one.greatest_recall for one in self.per_class)

    @property
    def detections(self) -> int:
        """All detections in annotated images."""
        return sum(one.detections for one in self.per_class)

    def to_json(self) -> dict[str, Any]:
        """Plain data for a JSON file: fractions in [0, 1], None where a class has no object."""

        def by_class(field: str) -> dict[str, float | None]:
            return {one.name: getattr(one, field) for one in self.per_class}

        return {
            "format_version": FORMAT_VERSION,
            "metric": self.settings.metric,
            "mAP": self.mean_ap,
            "per_class": by_class("ap"),
            "settings": asdict(self.settings),
            "voc07": by_class("ap07"),
            "voc10": by_class("ap10"),
            "recall": by_class("greatest_recall"),
            "average_best_overlap": by_class("average_best_overlap"),
            **({} if self.coco is None else {"coco": self.coco.to_json()}),
            "counts": {
                "images": self.images,
                "images_without_detections": self.images_without_detections,
                "detections": self.detections,
                "per_class": {one.name: one.counts() for one in self.per_class},
            },
            "warnings": list(self.warnings),
        }


def mean(values: Iterable[float | None]) -> float | None:
    """Mean of the values that are known; None where none is."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
