"""Classification of whole images: average precision over images (devkit 2007, VOCcode/VOCevalcls.m), and accuracy."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from detection.evaluation.evaluate import evaluate
from detection.evaluation.results import Evaluation
from detection.types import AnnotatedImage, ClassificationImage, Detections


def evaluate_classification(
    scores: np.ndarray, images: Sequence[ClassificationImage], classes: Sequence[str], metric: str = "voc07"
) -> Evaluation:
    """AP of every class over images ranked by their score, and its mean.

    scores: (N, L) finite, one row an image. An image with difficult objects alone of a class is ignored for it, as the
    devkit has it. It is detection with one object and one detection that fill the image, so that ``intervals`` and
    ``difference`` take the result as they take any other. Raises ValueError where shapes do not fit.
    """
    scores = np.asarray(scores, np.float32)
    if scores.shape != (len(images), len(classes)):
        raise ValueError(f"classification: expected scores {(len(images), len(classes))}, got {scores.shape}")
    whole, truth, found = np.tile(np.array([0, 0, 1, 1], np.float32), (len(classes), 1)), [], []
    for image, row in zip(images, scores, strict=True):
        labels, ranked = np.flatnonzero(image.presence >= 0), np.argsort(-row, kind="stable")
        path, difficult = Path(image.path), image.presence[labels] == 0
        truth.append(AnnotatedImage(image.image_id, path, (1, 1), whole[: len(labels)], labels, difficult))
        found.append(Detections(image.image_id, whole, row[ranked], ranked))
    return evaluate(found, truth, classes, metric=metric)


def accuracy(scores: np.ndarray, images: Sequence[ClassificationImage]) -> float:
    """Share of the images whose best-scored class is on them, in [0, 1]; the first of equal scores counts.

    Images without any class, or whose best-scored one is there with difficult objects alone, are left out. NaN where
    none is left.
    """
    if not len(images):
        return float("nan")
    presence = np.array([one.presence for one in images])
    best = presence[np.arange(len(images)), np.asarray(scores).argmax(axis=1)]
    counted = (presence == 1).any(axis=1) & (best != 0)
    return float((best[counted] == 1).mean()) if counted.any() else float("nan")
