"""Screening leaves out rows that have no loss, and no other."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.learning.svm import _kernels
from detection.learning.svm._screening import Reference, possible_losses


def rows_and_weights(length, scale, move, seed, rows=200):
    """Rows, norms, weights and bias before and after; many of the new margins lie within rounding of 1."""
    rng = np.random.default_rng(seed)
    weights = (rng.normal(0, scale, (1, length))).astype(np.float32)
    change = rng.normal(0, 1, length)
    after = (weights[0] + move * change / np.linalg.norm(change)).astype(np.float32)
    values = rng.normal(0, 1, (rows, length)).astype(np.float32)
    # Shifted along the change, which is the worst case of Cauchy and Schwarz, and on to a margin of about 1.
    values += np.outer(rng.uniform(-30, 30, rows), change / np.linalg.norm(change)).astype(np.float32)
    bias, new_bias = 0.25, 0.25 + 0.1 * move
    lacking = 1 + rng.normal(0, 1e-6, rows) - (values @ after + new_bias)
    values += np.outer(lacking / max(float(after @ after), 1e-12), after).astype(np.float32)
    products, squares = np.empty((1, rows), np.float32), np.empty(rows, np.float32)
    _kernels.products_and_squares(values, weights, products, squares)
    margins = products[0] + np.float32(bias)
    return values, np.sqrt(squares), Reference(weights[0], bias, margins), after, new_bias


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([1, 7, 64, 500]),
    st.sampled_from([0.01, 0.3, 3.0]),
    st.sampled_from([0.0, 1e-7, 1e-3, 0.1]),
    st.integers(0, 2**32 - 1),
)
def test_no_row_with_a_loss_is_left_out(length, scale, move, seed):
    values, norms, reference, weights, bias = rows_and_weights(length, scale, move, seed)
    exact = values.astype(np.float64) @ weights.astype(np.float64) + bias
    found = possible_losses(reference, weights, bias, norms)
    assert set(np.flatnonzero(exact < 1)) <= set(found)
    assert (np.diff(found) > 0).all()


def test_rows_far_from_the_margin_are_left_out_until_the_weights_have_moved_that_far():
    values = np.array([[3, 0], [2, 0], [0, 1], [1, 0]], np.float32)
    weights = np.array([1, 0], np.float32)
    reference = Reference(weights, 0.0, np.array([3, 2, 0, np.inf], np.float32))
    norms = np.linalg.norm(values, axis=1)

    def found(move, bias=0.0):
        return possible_losses(reference, weights + np.array([0, move], np.float32), bias, norms).tolist()

    assert found(0) == [2]
    assert found(0.45) == [2]
    assert found(0.55) == [1, 2]
    assert found(0.7) == [0, 1, 2]
    assert found(0, bias=-1.5) == [1, 2]


@pytest.mark.parametrize("classes", [1, 4, 8])
def test_products_and_squares(classes):
    rng = np.random.default_rng(0)
    values, weights = (rng.normal(size=(n, 37)).astype(np.float32) for n in (50, classes))
    for rows in (0, 1, 2, 14, 15, 16, 50):
        products, squares = np.empty((classes, rows), np.float32), np.empty(rows, np.float32)
        _kernels.products_and_squares(values[:rows], weights, products, squares)
        np.testing.assert_allclose(products, weights @ values[:rows].T, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(squares, (values[:rows] ** 2).sum(axis=1), rtol=1e-5)
        again = np.empty_like(products)
        _kernels.products_and_squares(values[:rows], weights, again, squares[:0])
        np.testing.assert_allclose(again, products, rtol=1e-5, atol=1e-5)
        _kernels.products_and_squares(values[:rows], np.ascontiguousarray(weights[:, :20]), again, squares[:0])
        np.testing.assert_allclose(again, weights[:, :20] @ values[:rows, :20].T, rtol=1e-4, atol=1e-4)
