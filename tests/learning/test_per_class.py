from dataclasses import dataclass

import numpy as np
import pytest

from detection.learning.per_class import PerClass
from detection.storage import read_arrays, write_arrays


@dataclass(frozen=True)
class Toy(PerClass):
    KIND = "toy"
    weights: np.ndarray
    trained: np.ndarray
    layer: str


def make(count, layer="pool5", first=0):
    return Toy(np.arange(first, first + 2 * count).reshape(count, 2), np.arange(count) % 2 == 0, layer)


def test_chosen_classes():
    found = make(4).select(np.array([3, 0]))
    assert (found.weights.tolist(), found.trained.tolist(), found.layer) == ([[6, 7], [0, 1]], [False, True], "pool5")


def test_classes_of_two():
    found = make(2).joined(make(1, first=10))
    assert (found.weights.tolist(), found.trained.tolist()) == ([[0, 1], [2, 3], [10, 11]], [True, False, True])
    with pytest.raises(ValueError, match="toy: expected layer 'pool5', got 'fc7'"):
        make(2).joined(make(2, "fc7"))


def test_round_trip_on_disk(tmp_path):
    write_arrays(tmp_path / "toy.safetensors", *make(3).to_arrays())
    arrays, metadata = read_arrays(tmp_path / "toy.safetensors")
    assert metadata == {"kind": "toy", "format_version": "1", "layer": "pool5"}
    again = Toy.from_arrays(arrays, metadata)
    assert (again.weights == make(3).weights).all()
    assert (again.trained == make(3).trained).all()
    assert again.layer == "pool5"
    for change in ({"kind": "other"}, {"format_version": "2"}):
        with pytest.raises(ValueError, match="expected kind 'toy' in format_version '1'"):
            Toy.from_arrays(arrays, metadata | change)
