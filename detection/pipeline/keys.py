"""Keys of data: equal keys, equal content. Each stage adds its settings and a version: ``Stage.key``."""

from collections.abc import Mapping, Sequence
from typing import Any

from detection.storage import file_fingerprint, fingerprint
from detection.types import AnnotatedImage

# To be raised when a change of the code changes what is learned from the same input.
_TRAINING_VERSION = 1


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


def pass_key(training: str, images: Sequence[AnnotatedImage]) -> str:
    """Key of passes over the images that can be used, by which interrupted ones go on; `training`: it begins so."""
    return f"{training} {fingerprint([one.image_id for one in images])}"
