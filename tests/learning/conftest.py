"""Small made-up training sets: features carry the class and the offset of the nearest object, with noise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from detection.geometry import iou
from detection.learning import TrainingRegions
from detection.types import RegionFeatures


def random_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    corners = rng.uniform(0, 70, (count, 2))
    return np.concatenate([corners, corners + rng.uniform(10, 30, (count, 2))], axis=1).astype(np.float32)


def _features(rng, boxes, objects, labels, length, noise):
    values = rng.normal(0, noise, (len(boxes), length))
    if len(objects):
        pairs = iou(boxes, objects)
        best = pairs.argmax(axis=1)
        values[np.arange(len(boxes)), labels[best]] += 3 * pairs.max(axis=1)
        values[:, -4:] += 0.05 * (objects[best] - boxes)
    return values.astype(np.float32)


def make_image(rng, name, proposals, objects, num_classes, length, noise, layer) -> TrainingRegions:
    boxes = random_boxes(rng, objects)
    labels = rng.integers(0, num_classes, objects)
    near = boxes[rng.integers(0, objects, proposals // 2)] if objects else np.zeros((0, 4), np.float32)
    near = near + rng.uniform(-6, 6, near.shape).astype(np.float32)
    near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 1)
    proposals_boxes = np.concatenate([near, random_boxes(rng, proposals - len(near))])
    return TrainingRegions(
        proposals=RegionFeatures(
            name, proposals_boxes, _features(rng, proposals_boxes, boxes, labels, length, noise), layer
        ),
        objects=RegionFeatures(name, boxes, _features(rng, boxes, boxes, labels, length, noise), layer),
        labels=labels.astype(np.int64),
        difficult=rng.random(objects) < 0.2,
    )


@pytest.fixture
def make_regions() -> Callable[..., list[TrainingRegions]]:
    """A function that makes a list of images; every fourth has no object, every fifth no proposal."""

    def make(images=12, proposals=60, num_classes=3, length=16, noise=0.5, seed=0, layer="pool5"):
        rng = np.random.default_rng(seed)
        return [
            make_image(
                rng,
                f"img {i}",
                0 if i % 5 == 4 else proposals,
                0 if i % 4 == 3 else int(rng.integers(1, 4)),
                num_classes,
                length,
                noise,
                layer,
            )
            for i in range(images)
        ]

    return make
