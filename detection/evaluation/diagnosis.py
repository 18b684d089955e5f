"""Where a detector fails: kinds of false positives, kinds of missed objects, and what repairing each would give."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from detection.evaluation.errors import (
    COUNTED_KINDS,
    ERROR_TYPES,
    KINDS,
    ClassErrors,
    DetectionCase,
    Kind,
    NearestObject,
    class_errors,
)
from detection.evaluation.matching import DUPLICATE
from detection.evaluation.misses import ASPECTS, CAUSES, SIZES, Cause, MissCause, MissedObject, MissTable, bin_places
from detection.evaluation.results import ClassEvaluation, Evaluation, mean
from detection.evaluation.settings import DiagnosisSettings
from detection.geometry import area
from detection.types import AnnotatedImage

_BINS = {"size": SIZES, "aspect": ASPECTS, "truncation": ("whole", "truncated")}


@dataclass(frozen=True)
class Diagnosis:
    """Where the detector fails.

    evaluation: what was diagnosed. annotations: of its images. per_class: in the class list's order. shares: mean of
    the classes' shares over those with top-ranked detections. mean_ap: the mAP that repaired is to be compared with: of
    VOC 2010 under a metric over several IoU thresholds, else the evaluation's. repaired: mAP with one error type out of
    the way, by type, None without objects; localisation_removed as in `ClassErrors`. missed: all missed objects, class
    by class, in the annotations' order. by_size, by_aspect, by_truncation ("whole", "truncated"; None where the format
    does not tell). causes: how many misses have each cause, None where proposals were not looked at.
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

    def case(self, label: int, rank: int) -> DetectionCase:
        """The detection of class `label` with that rank, explained."""
        return _case(self.evaluation, self.annotations, self.per_class[label], label, rank)

    def cases(self, label: int, kinds: Sequence[Kind] = KINDS, limit: int | None = None) -> list[DetectionCase]:
        """The first `limit` detections of a class that are of these kinds, by descending score."""
        wanted = [KINDS.index(kind) for kind in kinds]
        ranks = np.flatnonzero(np.isin(self.per_class[label].kinds, wanted))[:limit]
        return [self.case(label, int(rank)) for rank in ranks]

    def missed_of(self, label: int) -> list[MissedObject]:
        """The missed objects of one class."""
        return [one for one in self.missed if one.label == label]

    def causes_of(self, label: int) -> dict[Cause, int] | None:
        """`causes` of one class."""
        return None if self.causes is None else _count_causes(self.missed_of(label))

    def to_json(self) -> dict[str, Any]:
        """Plain data for a JSON file: all but the single detections."""
        return {
            "settings": asdict(self.settings),
            "mAP": self.mean_ap,
            "shares": self.shares,
            "repaired": self.repaired,
            "localisation_removed": self.localisation_removed,
            "missed": {
                "count": len(self.missed),
                "causes": self.causes,
                "by_size": asdict(self.by_size),
                "by_aspect": asdict(self.by_aspect),
                "by_truncation": None if self.by_truncation is None else asdict(self.by_truncation),
            },
            "per_class": {one.name: self._class_to_json(label, one) for label, one in enumerate(self.per_class)},
        }

    def _class_to_json(self, label: int, one: ClassErrors) -> dict[str, Any]:
        names = ("top", "cut", "shares", "repaired", "localisation_removed")
        figures = {name: getattr(one, name) for name in names}
        return {**figures, "missed": len(self.missed_of(label)), "causes": self.causes_of(label)}


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
    gone (`localisation_removed`: by taking them away as well). Under a metric over several IoU
    thresholds (coco) these are VOC 2010 figures.

    Raises ValueError where the annotations are not the evaluation's, or a cause is absent.
    """
    settings = settings or DiagnosisSettings()
    if tuple(one.image_id for one in annotations) != evaluation.image_ids:
        raise ValueError("diagnosis: expected the images of the evaluation, got others")
    errors = class_errors(evaluation, annotations, settings)
    of_classes = [_objects(one, annotations) for one in evaluation.per_class]
    missed = [
        _missed_object(evaluation, annotations, errors[label], label, place, objects, causes)
        for label, objects in enumerate(of_classes)
        for place in np.flatnonzero(objects.missed)
    ]
    by_size, by_aspect, by_truncation = (_miss_table(names, of_classes, kind) for kind, names in _BINS.items())
    with_objects, ranked = [one for one in errors if one.repaired is not None], [one for one in errors if one.top]
    repaired = {kind: mean(one.repaired[kind] for one in with_objects) for kind in ERROR_TYPES}
    voc10 = mean(one.ap10 for one in evaluation.per_class)
    return Diagnosis(
        settings=settings,
        evaluation=evaluation,
        annotations=tuple(annotations),
        per_class=errors,
        shares={kind: mean(one.shares[kind] for one in ranked) or 0.0 for kind in COUNTED_KINDS},
        mean_ap=voc10 if evaluation.metric.thresholds else evaluation.mean_ap,
        repaired=repaired if with_objects else None,
        localisation_removed=mean(one.localisation_removed for one in with_objects),
        missed=tuple(missed),
        by_size=by_size,
        by_aspect=by_aspect,
        by_truncation=by_truncation if all(one.truncated is not None for one in annotations) else None,
        causes=None if causes is None else _count_causes(missed),
    )


def missed_rows(evaluation: Evaluation, annotations: Sequence[AnnotatedImage]) -> dict[str, list[int]]:
    """Image id -> rows of its missed objects, of images that have some: those not found among the top-ranked."""
    rows: dict[str, list[int]] = {}
    for one in evaluation.per_class:
        objects = one.found
        for place in np.flatnonzero(_is_missed(one)):
            image_id = annotations[objects.images[place]].image_id
            rows.setdefault(image_id, []).append(int(objects.rows[place]))
    return {image_id: sorted(found) for image_id, found in rows.items()}


def score_cuts(evaluation: Evaluation) -> np.ndarray:
    """(L,) float64: the least score of each class's top-ranked detections; minus infinity where all are top-ranked.

    Top-ranked are as many as there are objects that count, ignored detections not counted.
    """
    ranked = ((one.objects, one.scores) for one in evaluation.per_class)
    return np.array([scores[count - 1] if 0 < count <= len(scores) else -np.inf for count, scores in ranked], float)


def _is_missed(one: ClassEvaluation) -> np.ndarray:
    """(G,) bool, of the `ClassObjects` of a class."""
    counted = np.flatnonzero(one.matches.counts)[: one.objects]
    last = counted[-1] if len(counted) else -1
    return one.found.counts & ((one.found.found < 0) | (one.found.found > last))


class _Objects(NamedTuple):
    """The objects of one class that count. places: in its `ClassObjects`; size, aspect, truncation: in _BINS."""

    places: np.ndarray
    missed: np.ndarray
    size: np.ndarray
    aspect: np.ndarray
    truncation: np.ndarray


def _objects(one: ClassEvaluation, annotations: Sequence[AnnotatedImage]) -> _Objects:
    found = one.found
    places = np.flatnonzero(found.counts)
    boxes = found.boxes[places].astype(np.float64)
    pairs = [(annotations[found.images[place]].truncated, found.rows[place]) for place in places]
    truncated = [marks is not None and bool(marks[row]) for marks, row in pairs]
    aspects = (boxes[:, 2] - boxes[:, 0]) / (boxes[:, 3] - boxes[:, 1])
    missed = _is_missed(one)[places]
    return _Objects(places, missed, bin_places(area(boxes)), bin_places(aspects), np.array(truncated, np.int64))


def _miss_table(names: Sequence[str], of_classes: Sequence[_Objects], kind: str) -> MissTable:
    """Objects and misses of all classes in the bins of one kind."""
    counts = np.zeros((2, len(names)), np.int64)
    for one in of_classes:
        places = getattr(one, kind)
        counts += [np.bincount(which, minlength=len(names)) for which in (places, places[one.missed])]
    return MissTable(*(dict(zip(names, row.tolist(), strict=True)) for row in counts))


def _missed_object(
    evaluation: Evaluation,
    annotations: Sequence[AnnotatedImage],
    errors: ClassErrors,
    label: int,
    place: int,
    objects: _Objects,
    causes: Mapping[tuple[str, int], MissCause] | None,
) -> MissedObject:
    one, position = evaluation.per_class[label], objects.places[place]
    image, row, rank, nearest = (
        int(getattr(one.found, name)[position]) for name in ("images", "rows", "found", "nearest")
    )
    truth = annotations[image]
    if causes is not None and (truth.image_id, row) not in causes:
        raise ValueError(f"diagnosis: expected the cause of missed object {row} of image {truth.image_id!r}, got none")
    size, aspect = SIZES[objects.size[place]], ASPECTS[objects.aspect[place]]
    truncated = None if truth.truncated is None else bool(truth.truncated[row])
    found_score = float(one.matches.scores[rank]) if rank >= 0 else None
    best = _case(evaluation, annotations, errors, label, nearest) if nearest >= 0 else None
    cause = None if causes is None else causes[truth.image_id, row]
    box = tuple(truth.boxes[row].tolist())
    return MissedObject(image, truth.image_id, row, label, box, size, aspect, truncated, found_score, best, cause)


def _case(
    evaluation: Evaluation, annotations: Sequence[AnnotatedImage], errors: ClassErrors, label: int, rank: int
) -> DetectionCase:
    matches = evaluation.per_class[label].matches
    image, row, nearest = int(matches.images[rank]), int(errors.nearest[rank]), None
    truth = annotations[image]
    if row >= 0:
        own = tuple(truth.boxes[row].tolist())
        nearest = NearestObject(row, int(truth.labels[row]), own, float(errors.overlaps[rank]))
    score, box, kind = float(matches.scores[rank]), tuple(matches.boxes[rank].tolist()), KINDS[errors.kinds[rank]]
    duplicate = bool(matches.outcomes[rank] == DUPLICATE)
    return DetectionCase(image, truth.image_id, label, rank, score, box, kind, duplicate, nearest)


def _count_causes(missed: Sequence[MissedObject]) -> dict[Cause, int]:
    counts = Counter(one.cause.cause for one in missed)
    return {cause: counts[cause] for cause in CAUSES}
