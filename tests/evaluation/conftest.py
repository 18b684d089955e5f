"""Records and random cases that several tests of this room use."""

from pathlib import Path

import numpy as np
import pytest

from detection.types import AnnotatedImage, Detections


def make_truth(image_id, boxes, labels=None, difficult=None, size=(100, 100), **more):
    boxes = np.array(boxes, dtype=np.float32).reshape(-1, 4)
    labels = np.zeros(len(boxes), np.int64) if labels is None else np.array(labels, dtype=np.int64)
    difficult = np.zeros(len(boxes), bool) if difficult is None else np.array(difficult, dtype=bool)
    return AnnotatedImage(image_id, Path(f"{image_id}.jpg"), size, boxes, labels, difficult, **more)


def make_found(image_id, boxes, scores, labels=None):
    boxes = np.array(boxes, dtype=np.float32).reshape(-1, 4)
    labels = np.zeros(len(boxes), np.int64) if labels is None else np.array(labels, dtype=np.int64)
    return Detections(image_id, boxes, np.array(scores, dtype=np.float32), labels)


def make_case(seed, images=6, class_count=3, distinct=True):
    """(detections, annotations); distinct: no two scores are equal."""
    generator = np.random.default_rng(seed)
    detections, annotations = [], []
    for i in range(images):
        objects, proposals = int(generator.integers(0, 5)), int(generator.integers(0, 15))
        labels = generator.integers(0, class_count, objects)
        difficult = generator.random(objects) < 0.2
        annotations.append(make_truth(f"image {i}", _boxes(generator, objects), labels, difficult))
        scores = generator.random(proposals)
        scores = -np.sort(-(scores if distinct else np.round(scores, 1)))
        labels = generator.integers(0, class_count, proposals)
        detections.append(make_found(f"image {i}", _boxes(generator, proposals), scores, labels))
    return detections, annotations


def _boxes(generator, count):
    corner = generator.integers(0, 6, (count, 2)) * 5
    return np.concatenate([corner, corner + generator.integers(1, 5, (count, 2)) * 5], axis=1)


@pytest.fixture(scope="session")
def truth():
    return make_truth


@pytest.fixture(scope="session")
def found():
    return make_found


@pytest.fixture(scope="session")
def random_case():
    return make_case
