"""What decides the result of each stage, as one key a stage: equal keys, equal results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from detection.storage import file_fingerprint, fingerprint
from detection.types import AnnotatedImage

# To be raised when a change of the code changes what training, detection, evaluation or the explaining of misses give
# for the same input.
_TRAINING_VERSION = 1
_DETECTION_VERSION = 1
_EVALUATION_VERSION = 2
_MISSES_VERSION = 1
_REPORT_VERSION = 1


def image_key(image: AnnotatedImage) -> str:
    """Key of an image's pixels in the frame of its boxes: file content and size."""
    return fingerprint(file_fingerprint(image.path), image.size)


def images_key(images: Sequence[AnnotatedImage], image_keys: Mapping[str, str]) -> str:
    """Key of images without their objects, in order."""
    return fingerprint([[one.image_id, image_keys[one.image_id]] for one in images])


def annotations_key(images: Sequence[AnnotatedImage], image_keys: Mapping[str, str]) -> str:
    """Key of images and their objects, in order."""
    rows = [[one.image_id, image_keys[one.image_id], one.boxes, one.labels, one.difficult] for one in images]
    return fingerprint(rows)


def training_key(annotations: str, vectors: str, classes: Sequence[str], settings: Any) -> str:
    """Key of what is learned from annotations and vectors (their keys) under `settings`."""
    return fingerprint(_TRAINING_VERSION, annotations, vectors, list(classes), type(settings).__name__, settings)


def detection_key(images: str, vectors: str, trained: Mapping[str, str], settings: Any) -> str:
    """Key of the detections that a trained detector gives in images (their key); `trained`: the keys of its parts."""
    return fingerprint(_DETECTION_VERSION, images, vectors, dict(trained), settings)


def evaluation_key(detections: str, annotations: str, classes: Sequence[str], settings: Any) -> str:
    """Key of the figures of detections against annotations (their keys) under `settings`."""
    return fingerprint(_EVALUATION_VERSION, detections, annotations, list(classes), settings)


def misses_key(detections: str, annotations: str, classes: Sequence[str], settings: Any) -> str:
    """Key of why objects were missed by detections; arguments of `evaluation_key`, settings of matching alone."""
    return fingerprint(_MISSES_VERSION, "misses", detections, annotations, list(classes), settings)


def report_key(evaluation: str, misses: str, settings: Any, record: Mapping[str, Any]) -> str:
    """Key of the report of an evaluation and its misses (their keys), with the run's record as it shows it."""
    return fingerprint(_REPORT_VERSION, "report", evaluation, misses, settings, record)
