"""Regions with their scores and what refines their boxes: of both sides of an image, in one round or several."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from detection.geometry import clip, flip, has_area
from detection.types import RegionScores

# The margin that SVMs are trained to give a negative at most: a box that scores no more is none of its class.
CLEAR_NEGATIVE = -1.0

# (regions (N,), labels (N,)) int64 -> boxes (N, 4) float32 of these pairs.
Refine = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class ScoredRegions:
    """Regions of an image as they are scored. scores: with each region's own box for all classes. refine: gives better
    boxes; None: there are none.
    """

    scores: RegionScores
    refine: Refine | None

    @property
    def boxes(self) -> np.ndarray:
        """(R, 4) float32: the regions' own."""
        return self.scores.boxes[:, 0]

    def refined(self) -> RegionScores:
        """The scores with every class's refined box of every region."""
        if self.refine is None:
            return self.scores
        regions, labels = np.indices(self.scores.scores.shape).reshape(2, -1)
        boxes = self.refine(regions, labels).reshape(self.scores.boxes.shape)
        return RegionScores(self.scores.image_id, boxes, self.scores.scores)


# Boxes (R, 4) float32, image frame -> the same, scored.
Score = Callable[[np.ndarray], ScoredRegions]


def mean_of_sides(plain: ScoredRegions, mirrored: ScoredRegions, width: int) -> ScoredRegions:
    """The mean of the margins, and of the refined boxes, that regions have in an image and in its mirror image.

    mirrored: of the same regions, in the frame of the mirror image. width: of the image in px.
    """
    margins = (plain.scores.scores + mirrored.scores.scores) / 2

    def refine(regions: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return (plain.refine(regions, labels) + flip(mirrored.refine(regions, labels), width)) / 2

    scores = RegionScores(plain.scores.image_id, plain.scores.boxes, margins)
    return ScoredRegions(scores, None if plain.refine is None else refine)


def in_rounds(first: ScoredRegions, score: Score, size: tuple[int, int], rounds: int) -> ScoredRegions:
    """The regions, and behind them their refined boxes, scored and to be refined in their turn: `rounds` in all.

    Of each round those pairs of region and class go on that score above CLEAR_NEGATIVE, their boxes clipped to the
    image of `size` (height, width). Such a region is of its class alone: its score for the others is -inf.
    """
    latest = joined = first
    for _ in range(rounds - 1):
        latest = _next_round(latest, score, size)
        joined = _joined(joined, latest)
    return joined


def _next_round(before: ScoredRegions, score: Score, size: tuple[int, int]) -> ScoredRegions:
    regions, labels = np.nonzero(before.scores.scores > CLEAR_NEGATIVE)
    boxes = clip(before.refine(regions, labels), size)
    there = has_area(boxes)
    found, labels = score(boxes[there]), labels[there]
    rows, scores = np.arange(len(labels)), np.full_like(found.scores.scores, -np.inf)
    scores[rows, labels] = found.scores.scores[rows, labels]
    return ScoredRegions(RegionScores(found.scores.image_id, found.scores.boxes, scores), found.refine)


def _joined(first: ScoredRegions, second: ScoredRegions) -> ScoredRegions:
    count = len(first.scores.scores)

    def refine(regions: np.ndarray, labels: np.ndarray) -> np.ndarray:
        boxes, later = np.empty((len(regions), 4), np.float32), regions >= count
        boxes[~later] = first.refine(regions[~later], labels[~later])
        boxes[later] = second.refine(regions[later] - count, labels[later])
        return boxes

    boxes = np.concatenate([first.scores.boxes, second.scores.boxes])
    scores = np.concatenate([first.scores.scores, second.scores.scores])
    return ScoredRegions(RegionScores(first.scores.image_id, boxes, scores), refine)
