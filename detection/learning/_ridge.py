"""Ridge regression on float32 rows, solved on the smaller side."""

from __future__ import annotations

import numpy as np
from scipy.linalg import cho_factor, cho_solve, get_blas_funcs

# Relative residual of the normal equations at which refinement stops, and the steps it may take. Each step gains
# about four digits at the condition numbers of this use; where single precision does not get there, double is used.
_RESIDUAL = 1e-7
_STEPS = 6
# Rows or columns turned into float64 at a time.
_BLOCK = 512


def solve_ridge(rows: np.ndarray, targets: np.ndarray, ridge: float, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Minimise |s rows B + 1 c' - targets|^2 + ridge (|B|^2 + |c|^2), s the scale.

    rows: (N, D) float32. targets: (N, 4) float64. Returns (s B (D, 4), c (4,)) float64: slopes for rows as
    they come, and the constant, which is regularised too. The Gram matrix of the smaller side is factored
    once, in float32, and the solution refined with residuals in float64.
    """
    dual = len(rows) <= rows.shape[1]

    def forward(slopes, constant):
        return scale * _times(rows, slopes) + constant

    def backward(errors):
        return scale * _transposed_times(rows, errors), errors.sum(axis=0)

    if dual:
        # (A A' + ridge I) z = targets; slopes = A' z.
        def operate(z):
            return forward(*backward(z)) + ridge * z

        slopes, constant = backward(_solve(lambda dtype: _dual_gram(rows, ridge, scale, dtype), operate, targets))
        return scale * slopes, constant

    def operate(x):
        slopes, constant = backward(forward(x[:-1], x[-1]))
        return np.concatenate([slopes, constant[None]]) + ridge * x

    slopes, constant = backward(targets)
    right = np.concatenate([slopes, constant[None]])
    x = _solve(lambda dtype: _primal_gram(rows, ridge, scale, dtype), operate, right)
    return scale * x[:-1], x[-1]


def _solve(gram, operate, right: np.ndarray) -> np.ndarray:
    """Solve operate(x) = right for x by a factored approximation of the operator and iterative refinement."""
    goal = _RESIDUAL * np.linalg.norm(right)
    x = np.full_like(right, np.nan)
    for dtype in (np.float32, np.float64):
        try:
            factor = cho_factor(gram(dtype), lower=True, overwrite_a=True, check_finite=False)
        except np.linalg.LinAlgError:
            continue
        x, residual = np.zeros_like(right), right
        for _ in range(_STEPS):
            x = x + cho_solve(factor, residual.astype(dtype), check_finite=False)
            residual = right - operate(x)
            if np.linalg.norm(residual) <= goal:
                return x
    if not np.isfinite(x).all():
        raise ValueError("solve_ridge: expected finite features and targets, got a solution that is not")
    # Double precision has no more digits to give.
    return x


def _lower_gram(rows: np.ndarray, factor: float, of_rows: bool) -> np.ndarray:
    """The lower triangle of factor * rows rows' (or of factor * rows' rows), the rest undefined; Fortran order."""
    (syrk,) = get_blas_funcs(("syrk",), (rows,))
    # Transposed, C-ordered rows are the Fortran order that BLAS takes without a copy.
    return syrk(factor, rows.T, trans=of_rows, lower=1)


def _dual_gram(rows, ridge, scale, dtype):
    gram = _lower_gram(rows.astype(dtype, copy=False), scale**2, of_rows=True)
    gram += dtype(1)
    gram[np.diag_indices_from(gram)] += dtype(ridge)
    return gram


def _primal_gram(rows, ridge, scale, dtype):
    length = rows.shape[1]
    gram = np.empty((length + 1, length + 1), dtype, order="F")
    gram[:length, :length] = _lower_gram(rows.astype(dtype, copy=False), scale**2, of_rows=False)
    gram[length, :length] = scale * rows.sum(axis=0, dtype=np.float64)
    gram[length, length] = len(rows)
    gram[np.diag_indices_from(gram)] += dtype(ridge)
    return gram


def _times(rows, right):
    out = np.empty((len(rows), right.shape[1]))
    for start in range(0, len(rows), _BLOCK):
        out[start : start + _BLOCK] = rows[start : start + _BLOCK].astype(np.float64) @ right
    return out


def _transposed_times(rows, right):
    out = np.zeros((rows.shape[1], right.shape[1]))
    for start in range(0, len(rows), _BLOCK):
        out += rows[start : start + _BLOCK].astype(np.float64).T @ right[start : start + _BLOCK]
    return out
