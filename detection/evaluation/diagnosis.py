"""Where a detector fails: kinds of false positives, kinds of missed objects, and what repairing each would give."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from detection.evaluation.errors import (
    ERROR_TYPES,
    KINDS,
    ClassErrors,
    DetectionCase,
    Kind,
    NearestObject,
    class_errors,
)
from detection.evaluation.matching import DUPLICATE, IGNORED
from detection.evaluation.misses import ASPECTS, CAUSES, SIZES, Cause, MissCause, MissedObject, MissTable, bin_places
from detection.evaluation.results import Evaluation
from detection.evaluation.settings import DiagnosisSettings
from detection.geometry import area
from detection.types import AnnotatedImage

_TRUNCATION = ("whole", "truncated")


@dataclass(frozen=True)
class Diagnosis:
    """Where the detector fails.

    evaluation: what was diagnosed. annotations: of its images. per_class: in the class list's order. shares: mean of
    the classes' shares over those with top-ranked detections. mean_ap: the mAP that repaired is to be compared with: of
    VOC 2010 under metric coco, else the evaluation's. repaired: mAP with one error type out of the way, by type, None
    without objects; localisation_removed as in `ClassErrors`. missed: all missed objects, class by class, in the
    annotations' order. by_size, by_aspect, by_truncation ("whole", "truncated"; None where the format does not tell).
    causes: how many misses have each cause, None where proposals were not looked at.
    """

    settings: DiagnosisSettings
    evaluation: Evaluation
    annotations: tuple[AnnotatedImage, ...]
    per_class: tuple[ClassErrors, ...]
    shares: Mapping[Kind, float]
    mean_ap: float | None
    repaired: Mapping[Kind, float] | None
    localisation_removed: float | None
    missed: tuple[MissedObject, ...]
    by_size: MissTable
    by_aspect: MissTable
    by_truncation: MissTable | None
    causes: Mapping[Cause, int] | None

    @property
    def classes(self) -> tuple[str, ...]:
        """The class list."""
        return self.evaluation.classes

    def case(self, label: int, rank: int) -> DetectionCase:
        """The detection of class `label` with that rank, explained."""
        return _case(self.evaluation, self.annotations, self.per_class[label], label, rank)

    def cases(self, label: int, kinds: Sequence[Kind] = KINDS, limit: int | None = None) -> list[DetectionCase]:
        """The surest detections of a class that are of these kinds, at most `limit`, by descending score."""
        wanted = [KINDS.index(kind) for kind in kinds]
        ranks = np.flatnonzero(np.isin(self.per_class[label].kinds, wanted))[:limit]
        return [self.case(label, int(rank)) for rank in ranks]

    def causes_of(self, label: int) -> dict[Cause, int] | None:
        """How many misses of one class have each cause; None where proposals were not looked at."""
        return None if self.causes is None else _count_causes(one for one in self.missed if one.label == label)

    def to_json(self) -> dict[str, Any]:
        """Plain data for a JSON file: all but the single detections."""
        truncation = None if self.by_truncation is None else asdict(self.by_truncation)
        return {
            "settings": asdict(self.settings),
            "mAP": self.mean_ap,
            "shares": dict(self.shares),
            "repaired": None if self.repaired is None else dict(self.repaired),
            "localisation_removed": self.localisation_removed,
            "missed": {
                "count": len(self.missed),
                "causes": None if self.causes is None else dict(self.causes),
                "by_size": asdict(self.by_size),
                "by_aspect": asdict(self.by_aspect),
                "by_truncation": truncation,
            },
            "per_class": {one.name: self._class_to_json(label) for label, one in enumerate(self.per_class)},
        }

    def _class_to_json(self, label: int) -> dict[str, Any]:
        one = self.per_class[label]
        return {
            "top": one.top,
            "cut": one.cut,
            "shares": dict(one.shares),
            "repaired": None if one.repaired is None else dict(one.repaired),
            "localisation_removed": one.localisation_removed,
            "missed": sum(miss.label == label for miss in self.missed),
            "causes": self.causes_of(label),
        }


def diagnose(
    evaluation: Evaluation,
    annotations: Sequence[AnnotatedImage],
    settings: DiagnosisSettings | None = None,
    causes: Mapping[tuple[str, int], MissCause] | None = None,
) -> Diagnosis:
    """Explain what `evaluate` found.

    annotations: those it was given. causes: (image id, row of the object) -> why it was missed, of every object
    that `missed_rows` names; see `explain_misses`.

    An error type is repaired (`Diagnosis.repaired`) by taking its detections away, as Hoiem et al. do; localisation by
    putting mislocalised detections right, so that the highest-scoring on each object finds it and its duplicates are
    gone (`localisation_removed`: by taking them away as well). Under metric coco these are VOC 2010 figures.

    Raises ValueError where the annotations are not the evaluation's, or a cause is absent.
    """
    settings = settings or DiagnosisSettings()
    if tuple(one.image_id for one in annotations) != evaluation.image_ids:
        raise ValueError("diagnosis: expected the images of the evaluation, got others")
    errors = class_errors(evaluation, annotations, settings)
    missed: list[MissedObject] = []
    tables = _Tables(annotations)
    for label, one in enumerate(errors):
        missed += _missed_objects(evaluation, annotations, one, label, causes, tables)
    with_objects = [one for one in errors if one.repaired is not None]
    ranked = [one for one in errors if one.top]
    return Diagnosis(
        settings=settings,
        evaluation=evaluation,
        annotations=tuple(annotations),
        per_class=errors,
        shares={kind: _mean([one.shares[kind] for one in ranked]) or 0.0 for kind in KINDS if kind != "ignored"},
        mean_ap=_mean_ap(evaluation),
        repaired={kind: _mean([one.repaired[kind] for one in with_objects]) for kind in ERROR_TYPES}
        if with_objects
        else None,
        localisation_removed=_mean([one.localisation_removed for one in with_objects]),
        missed=tuple(missed),
        by_size=tables.table("size"),
        by_aspect=tables.table("aspect"),
        by_truncation=tables.table("truncation"),
        causes=None if causes is None else _count_causes(missed),
    )


def missed_rows(evaluation: Evaluation, annotations: Sequence[AnnotatedImage]) -> dict[str, list[int]]:
    """Image id -> rows of its missed objects, of images that have some: those not found among the top-ranked."""
    rows: dict[str, list[int]] = {}
    for label in range(len(evaluation.per_class)):
        objects = evaluation.per_class[label].found
        for place in np.flatnonzero(_is_missed(evaluation, label)):
            image_id = annotations[objects.images[place]].image_id
            rows.setdefault(image_id, []).append(int(objects.rows[place]))
    return {image_id: sorted(found) for image_id, found in rows.items()}


def score_cuts(evaluation: Evaluation) -> np.ndarray:
    """(L,) float64: the least score of each class's top-ranked detections; minus infinity where all are top-ranked.

    Top-ranked are as many as there are objects that count, ignored detections not counted.
    """
    cuts = [
        float(one.scores[one.objects - 1]) if 0 < one.objects <= len(one.scores) else -np.inf
        for one in evaluation.per_class
    ]
    return np.array(cuts, dtype=np.float64)


def _is_missed(evaluation: Evaluation, label: int) -> np.ndarray:
    one = evaluation.per_class[label]
    counted = np.flatnonzero(one.matches.outcomes != IGNORED)[: one.objects]
    last = counted[-1] if len(counted) else -1
    return one.found.counts & ((one.found.found < 0) | (one.found.found > last))


class _Tables:
    """Counts of objects and misses in bins of every kind."""

    def __init__(self, annotations: Sequence[AnnotatedImage]) -> None:
        self._bins: dict[str, tuple[str, ...]] = {"size": SIZES, "aspect": ASPECTS}
        if all(one.truncated is not None for one in annotations):
            self._bins["truncation"] = _TRUNCATION
        self._counts = {kind: np.zeros((2, len(names)), np.int64) for kind, names in self._bins.items()}

    def add(self, missed: bool, **places: int) -> None:
        """Count an object; places: kind of bin -> the object's place among its names."""
        for kind, place in places.items():
            if kind in self._counts:
                self._counts[kind][:, place] += (1, missed)

    def table(self, kind: str) -> MissTable | None:
        """The counts of one kind; None where it is not known of every image."""
        if kind not in self._bins:
            return None
        return MissTable(*(dict(zip(self._bins[kind], row.tolist(), strict=True)) for row in self._counts[kind]))


def _missed_objects(
    evaluation: Evaluation,
    annotations: Sequence[AnnotatedImage],
    errors: ClassErrors,
    label: int,
    causes: Mapping[tuple[str, int], MissCause] | None,
    tables: _Tables,
) -> Iterator[MissedObject]:
    one = evaluation.per_class[label]
    objects, missed = one.found, _is_missed(evaluation, label)
    places = np.flatnonzero(objects.counts)
    boxes = objects.boxes[places].astype(np.float64)
    sizes = bin_places(area(boxes))
    aspects = bin_places((boxes[:, 2] - boxes[:, 0]) / (boxes[:, 3] - boxes[:, 1]))
    for place, size, aspect in zip(places, sizes, aspects, strict=True):
        truth, row = annotations[objects.images[place]], int(objects.rows[place])
        truncated = None if truth.truncated is None else bool(truth.truncated[row])
        tables.add(bool(missed[place]), size=size, aspect=aspect, truncation=int(bool(truncated)))
        if not missed[place]:
            continue
        nearest, rank = int(objects.nearest[place]), int(objects.found[place])
        yield MissedObject(
            image=int(objects.images[place]),
            image_id=truth.image_id,
            row=row,
            label=label,
            box=tuple(truth.boxes[row].tolist()),
            size=SIZES[size],
            aspect=ASPECTS[aspect],
            truncated=truncated,
            found_score=float(one.matches.scores[rank]) if rank >= 0 else None,
            best=_case(evaluation, annotations, errors, label, nearest) if nearest >= 0 else None,
            cause=_cause(causes, truth.image_id, row),
        )


def _cause(causes: Mapping[tuple[str, int], MissCause] | None, image_id: str, row: int) -> MissCause | None:
    if causes is None:
        return None
    if (image_id, row) not in causes:
        raise ValueError(f"diagnosis: expected the cause of missed object {row} of image {image_id!r}, got none")
    return causes[image_id, row]


def _case(
    evaluation: Evaluation, annotations: Sequence[AnnotatedImage], errors: ClassErrors, label: int, rank: int
) -> DetectionCase:
    matches = evaluation.per_class[label].matches
    truth, row = annotations[matches.images[rank]], int(errors.nearest[rank])
    nearest = None
    if row >= 0:
        box = tuple(truth.boxes[row].tolist())
        nearest = NearestObject(row, int(truth.labels[row]), box, float(errors.overlaps[rank]))
    return DetectionCase(
        image=int(matches.images[rank]),
        image_id=truth.image_id,
        label=label,
        rank=rank,
        score=float(matches.scores[rank]),
        box=tuple(matches.boxes[rank].tolist()),
        kind=KINDS[errors.kinds[rank]],
        duplicate=bool(matches.outcomes[rank] == DUPLICATE),
        nearest=nearest,
    )


def _count_causes(missed: Sequence[MissedObject] | Iterator[MissedObject]) -> dict[Cause, int]:
    counts = dict.fromkeys(CAUSES, 0)
    for one in missed:
        counts[one.cause.cause] += 1
    return counts


def _mean_ap(evaluation: Evaluation) -> float | None:
    coco = evaluation.settings.metric == "coco"
    return _mean([one.ap10 for one in evaluation.per_class if one.ap10 is not None]) if coco else evaluation.mean_ap


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if len(values) else None
