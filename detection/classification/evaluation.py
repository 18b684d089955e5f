"""Classification of whole images: average precision over images (devkit 2007, VOCcode/VOCevalcls.m), and accuracy."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from detection.evaluation.evaluate import evaluate
from detection.evaluation.results import Evaluation
from detection.types import AnnotatedImage, ClassificationImage, Detections

_SIZE = (1, 1)


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
    truth = [_as_objects(image) for image in images]
    found = [_as_detections(image, row) for image, row in zip(images, scores, strict=True)]
    return evaluate(found, truth, classes, metric=metric)


def _as_objects(image: ClassificationImage) -> AnnotatedImage:
    labels = np.flatnonzero(image.presence >= 0)
    boxes = np.tile(np.array([0, 0, 1, 1], np.float32), (len(labels), 1))
    return AnnotatedImage(image.image_id, Path(image.path), _SIZE, boxes, labels, image.presence[labels] == 0)


def _as_detections(image: ClassificationImage, scores: np.ndarray) -> Detections:
    labels = np.argsort(-scores, kind="stable")
    boxes = np.tile(np.array([0, 0, 1, 1], np.float32), (len(labels), 1))
    return Detections(image.image_id, boxes, scores[labels], labels)


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
