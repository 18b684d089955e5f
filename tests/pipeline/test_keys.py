from pathlib import Path

import numpy as np
import pytest

from detection.pipeline.keys import (
    annotations_key,
    image_key,
    images_key,
    training_key,
)
from detection.types import AnnotatedImage


def image(path=Path("a.jpg"), size=(40, 30), box=(0, 0, 10, 10), label=0, difficult=False, image_id="a"):
    return AnnotatedImage(
        image_id, path, size, np.array([box], np.float32), np.array([label]), np.array([difficult])
    )  # fmt: skip


@pytest.fixture
def file(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"pixels")
    return tmp_path / "a.jpg"


def test_image_key_is_of_content_and_frame(file):
    key = image_key(image(file))
    moved = file.with_name("b.jpg")
    moved.write_bytes(b"pixels")
    assert image_key(image(moved, box=(1, 1, 2, 2), image_id="b")) == key
    assert image_key(image(file, size=(30, 40))) != key
    file.write_bytes(b"others")
    assert image_key(image(file)) != key


@pytest.mark.parametrize("change", [{"box": (0, 0, 10, 11)}, {"label": 1}, {"difficult": True}])
def test_objects_are_in_the_annotations_key_alone(change):
    keys = {"a": "k"}
    assert annotations_key([image(**change)], keys) != annotations_key([image()], keys)
    assert images_key([image(**change)], keys) == images_key([image()], keys)


@pytest.mark.parametrize("make", [annotations_key, images_key])
def test_images_and_their_order_count(make):
    one, other, keys = image(), image(image_id="b"), {"a": "k", "b": "l"}
    assert make([one, other], keys) != make([other, one], keys)
    assert make([one], keys) != make([one, other], keys)
    assert make([one], keys) != make([one], {"a": "m"})
    assert make([], keys)


@pytest.mark.parametrize(
    ("make", "arguments", "changes"),
    [
        (training_key, ("a", "v", ["x", "y"], 1), ("b", "w", ["y", "x"], 2)),
    ],
)
def test_everything_is_in_the_key(make, arguments, changes):
    keys = {make(*arguments)}
    for position, change in enumerate(changes):
        keys.add(make(*(change if place == position else one for place, one in enumerate(arguments))))
    assert len(keys) == 1 + len(changes)
