import importlib.util
from pathlib import Path

import numpy as np
import pytest

from detection.data import write_digits


@pytest.fixture(scope="module")
def example():
    path = Path(__file__).resolve().parents[2] / "examples" / "dense_sift.py"
    specification = importlib.util.spec_from_file_location("dense_sift", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_descriptors_lie_on_a_grid(example):
    square = np.zeros((example.SIDE, example.SIDE), np.uint8)
    square[:, 32:] = 200
    found = example.dense_sift(square)
    assert found.shape == (128, 13, 13)
    norms = np.linalg.norm(found, axis=0)
    assert norms[:, 6] == pytest.approx(1, abs=1e-3)
    # Rows of an upright edge are alike, columns are not.
    assert np.allclose(found[:, 3], found[:, 9], atol=0.05)
    assert not np.allclose(found[:, :, 0], found[:, :, 6], atol=0.05)


def test_codes_are_few_and_in_place(example):
    descriptors = np.random.default_rng(0).random((128, 3, 4)).astype(np.float32)
    dictionary = np.eye(128)[:20]
    found = example.codes(descriptors, dictionary)
    assert found.shape == (20, 3, 4)
    assert ((found > 0).sum(axis=0) == example.ATOMS).all()
    largest = descriptors[:20].reshape(20, -1).argmax(axis=0)
    assert (found.reshape(20, -1).argmax(axis=0) == largest).all()


def test_digits_are_cut_out_and_told_apart(example, tmp_path):
    write_digits(tmp_path / "digits", trainval=12, test=4)
    squares, labels = example.cut_outs(tmp_path / "digits", "trainval")
    assert len(squares) == len(labels) >= 12
    assert {one.shape for one in squares} == {(example.SIDE, example.SIDE)}
    vectors = np.array([example.pool_map(example.dense_sift(one), (2, 1)) for one in squares])
    assert (example.classify(vectors, labels, vectors) == labels).mean() > 0.9
