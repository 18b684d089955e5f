"""Kinds of false positives, after Hoiem, Chodpathumwan and Dai, Diagnosing Error in Object Detectors, ECCV 2012."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

import numpy as np

from detection.evaluation.matching import DUPLICATE, FALSE_POSITIVE, IGNORED, TRUE_POSITIVE, ReadOnlyArrays
from detection.evaluation.metrics import at_one_threshold
from detection.evaluation.metrics.metric import precision_recall
from detection.evaluation.results import ClassEvaluation, Evaluation
from detection.evaluation.settings import DiagnosisSettings
from detection.geometry import iou
from detection.types import AnnotatedImage

Kind = Literal["correct", "localisation", "similar", "other", "background", "ignored"]
# Numbers of the kinds in arrays are places in this list. The four between the ends are the error types; all but the
# last are what a top-ranked detection can be.
KINDS: tuple[Kind, ...] = get_args(Kind)
ERROR_TYPES: tuple[Kind, ...] = KINDS[1:5]
COUNTED_KINDS: tuple[Kind, ...] = KINDS[:5]

Box = tuple[float, float, float, float]
# (precision, recall) -> AP.
Average = Callable[[np.ndarray, np.ndarray], float]


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
    error on an object that a higher-scoring detection has. nearest: for a correct, ignored or mislocalised detection
    the object of its class, for similar and other the object of that class, for background whatever it overlaps most;
    None where it overlaps nothing.
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
class ClassErrors(ReadOnlyArrays):
    """One class. N detections, in the order of its ``Matches``.

    kinds: (N,) int8, places in KINDS. nearest: (N,) int64, row of the object that the kind refers to in the image's
    annotation, -1 for none (see `DetectionCase`). overlaps: (N,) float64, IoU with it. top: how many detections are
    top-ranked: as many as there are objects that count, ignored ones not counted, fewer where there are fewer. cut:
    score of the last of them, None where there is none. shares: of the top-ranked, by kind without ignored, summing
    to 1; all 0 where top is 0. repaired: AP with one error type out of the way, by type (see `diagnose`); None without
    objects. localisation_removed: AP with localisation errors removed instead of put right; None without objects.
    """

    name: str
    kinds: np.ndarray
    nearest: np.ndarray
    overlaps: np.ndarray
    top: int
    cut: float | None
    shares: Mapping[Kind, float]
    repaired: Mapping[Kind, float] | None
    localisation_removed: float | None


def similar_classes(classes: Sequence[str], groups: Sequence[Sequence[str]]) -> np.ndarray:
    """(L, L) bool: whether two different classes are in a group together."""
    similar = np.zeros((len(classes), len(classes)), dtype=bool)
    for group in groups:
        members = np.array([name in group for name in classes], dtype=bool)
        similar |= members[:, None] & members[None, :]
    np.fill_diagonal(similar, False)
    return similar


def class_errors(
    evaluation: Evaluation, annotations: Sequence[AnnotatedImage], settings: DiagnosisSettings
) -> tuple[ClassErrors, ...]:
    """The kind of every detection, class by class. annotations: those of the evaluation.

    Correct, ignored: as matched. Localisation: an object of the class is overlapped by `near_iou` or more, but too
    little to match or found by a higher-scoring detection. Else similar, then other: an object of such a class is
    overlapped by `near_iou` or more. Else background. Difficult objects explain errors like any other, unless they
    are dropped.
    """
    explained = _explain(evaluation, annotations, settings)
    bounds = np.cumsum([0, *(one.detections for one in evaluation.per_class)])
    average = at_one_threshold(evaluation.metric).average
    return tuple(
        _class_errors(one, *(array[start:stop] for array in explained), average)
        for one, (start, stop) in zip(evaluation.per_class, pairwise(bounds), strict=True)
    )


def _explain(
    evaluation: Evaluation, annotations: Sequence[AnnotatedImage], settings: DiagnosisSettings
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(kind, row of the object that explains it, IoU) of all detections, class after class in rank order."""
    per_class = evaluation.per_class
    labels = np.repeat(np.arange(len(per_class)), [one.detections for one in per_class])
    images, boxes, outcomes = (
        np.concatenate([empty, *(getattr(one.matches, name) for one in per_class)])
        for name, empty in (
            ("images", np.zeros(0, np.int64)),
            ("boxes", np.zeros((0, 4), np.float32)),
            ("outcomes", np.zeros(0, np.int8)),
        )
    )
    similar = similar_classes(evaluation.classes, settings.similar)
    kinds, nearest, overlaps = np.zeros(len(labels), np.int8), np.full(len(labels), -1), np.zeros(len(labels))
    by_image = np.argsort(images, kind="stable")
    bounds = np.searchsorted(images[by_image], np.arange(len(annotations) + 1))
    for truth, (start, stop) in zip(annotations, pairwise(bounds), strict=True):
        rows = by_image[start:stop]
        kinds[rows], nearest[rows], overlaps[rows] = _explain_image(
            boxes[rows], labels[rows], outcomes[rows], truth, similar, evaluation.settings.difficult == "drop", settings
        )
    return kinds, nearest, overlaps


def _explain_image(
    boxes: np.ndarray,
    labels: np.ndarray,
    outcomes: np.ndarray,
    truth: AnnotatedImage,
    similar: np.ndarray,
    drop_difficult: bool,
    settings: DiagnosisSettings,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    kinds = np.full(len(boxes), KINDS.index("background"), dtype=np.int8)
    nearest, overlaps = np.full(len(boxes), -1), np.zeros(len(boxes))
    present = np.flatnonzero(~truth.difficult) if drop_difficult else np.arange(len(truth.labels))
    if not len(present) or not len(boxes):
        return kinds, nearest, overlaps
    shared, theirs = iou(boxes, truth.boxes[present]), truth.labels[present]
    same, alike = labels[:, None] == theirs[None, :], similar[labels[:, None], theirs[None, :]]
    lines = np.arange(len(boxes))
    # From the last resort to the first choice; each overwrites what is before it.
    for kind, of_kind, least in (
        ("background", np.ones_like(same), np.finfo(float).tiny),
        ("other", ~same & ~alike, settings.near_iou),
        ("similar", alike, settings.near_iou),
        ("localisation", same, settings.near_iou),
    ):
        own = np.where(of_kind, shared, -1)
        best = own.argmax(axis=1)
        hit = own[lines, best] >= least
        kinds[hit], nearest[hit], overlaps[hit] = KINDS.index(kind), present[best[hit]], own[lines[hit], best[hit]]
    # A match, of the same class as the last choice, may rest on less than near_iou, where the threshold is below it.
    matched = outcomes != FALSE_POSITIVE
    nearest[matched], overlaps[matched] = present[best[matched]], own[lines[matched], best[matched]]
    for outcome, kind in ((TRUE_POSITIVE, "correct"), (DUPLICATE, "localisation"), (IGNORED, "ignored")):
        kinds[outcomes == outcome] = KINDS.index(kind)
    return kinds, nearest, overlaps


def _class_errors(one: ClassEvaluation, kinds, nearest, overlaps, average: Average) -> ClassErrors:
    ranked = kinds[one.matches.counts]
    top = min(one.objects, len(ranked))
    counts = np.bincount(ranked[:top], minlength=len(KINDS))
    repaired, removed = None, None
    if one.objects:
        hits = one.matches.hits
        keeping = {kind: ranked != KINDS.index(kind) for kind in ERROR_TYPES}
        repaired = {kind: average(*precision_recall(hits[kept], one.objects)) for kind, kept in keeping.items()}
        removed = repaired["localisation"]
        repaired["localisation"] = _well_located(one, kinds, nearest, average)
    cut = float(one.scores[top - 1]) if top else None
    shares = dict(zip(COUNTED_KINDS, (counts[: len(COUNTED_KINDS)] / max(top, 1)).tolist(), strict=True))
    return ClassErrors(one.name, kinds, nearest, overlaps, top, cut, shares, repaired, removed)


def _well_located(one: ClassEvaluation, kinds: np.ndarray, nearest: np.ndarray, average: Average) -> float:
    """AP where mislocalised detections lie on their objects: the highest-scoring on each counts, others are gone."""
    on_object = np.isin(kinds, [KINDS.index("correct"), KINDS.index("localisation")])
    rows = 1 + int(max(nearest.max(initial=0), one.found.rows.max(initial=0)))
    identities = one.matches.images * rows + nearest
    objects = (one.found.images * rows + one.found.rows)[one.found.counts]
    ranks = np.flatnonzero(on_object)
    hits = np.zeros(len(kinds), dtype=bool)
    hits[ranks[np.unique(identities[ranks], return_index=True)[1]]] = True
    hits &= np.isin(identities, objects)
    kept = hits | ~(on_object | (kinds == KINDS.index("ignored")))
    return average(*precision_recall(hits[kept], one.objects))
