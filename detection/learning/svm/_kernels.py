"""Compiled kernels of learning: products of float32 rows and dual coordinate descent.

Only sums of products may be reassociated (for SIMD). No loop is peeled for alignment and no thread is
started, so a result depends on its operands alone: not on where they lie, on other rows or classes, or on the
number of threads.
"""

import numpy as np
from numba import njit

# Rows and classes whose products share their loads: twelve sums, three values and one weight are AVX2's 16 registers.
ROW_BLOCK = 3
CLASS_BLOCK = 4
# Rows that meet all classes before the next ones come: 15 rows of 6,048 values stay in a cache of 512 KiB.
_PANEL = 5 * ROW_BLOCK

_SUMS = {"reassoc", "contract", "nsz"}


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_SUMS)
def _dot(row, weights):
    total = np.float32(0)
    for k in range(row.shape[0]):
        total += row[k] * weights[k]
    return total


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_SUMS)
def _axpy(factor, row, weights):
    for k in range(row.shape[0]):
        weights[k] += factor * row[k]


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_SUMS)
def _dot_block(first, second, third, w0, w1, w2, w3, out):
    """Twelve products of three rows and four weight vectors into out (3, 4).

    One weight is loaded at a time, so that nothing has to leave the registers.
    """
    a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = c0 = c1 = c2 = c3 = np.float32(0)
    for k in range(first.shape[0]):
        x, y, z = first[k], second[k], third[k]
        weight = w0[k]
        a0 += x * weight
        b0 += y * weight
        c0 += z * weight
        weight = w1[k]
        a1 += x * weight
        b1 += y * weight
        c1 += z * weight
        weight = w2[k]
        a2 += x * weight
        b2 += y * weight
        c2 += z * weight
        weight = w3[k]
        a3 += x * weight
        b3 += y * weight
        c3 += z * weight
    out[0, 0], out[0, 1], out[0, 2], out[0, 3] = a0, a1, a2, a3
    out[1, 0], out[1, 1], out[1, 2], out[1, 3] = b0, b1, b2, b3
    out[2, 0], out[2, 1], out[2, 2], out[2, 3] = c0, c1, c2, c3


@njit(cache=True, nogil=True, error_model="numpy")
def products(values, weights, wanted, out):
    """out[r, c] = values[r] . weights[c] where wanted[r, c // CLASS_BLOCK]; the rest of `out` stays as it is.

    (R, D), (C, D) and (R, C) float32, wanted (R, C / CLASS_BLOCK) bool. Every product takes the same path of
    additions: where rows are short of a block, the last one is computed again rather than otherwise.
    """
    block = np.empty((ROW_BLOCK, CLASS_BLOCK), np.float32)
    rows = np.empty(_PANEL + ROW_BLOCK, np.int64)
    for start in range(0, values.shape[0], _PANEL):
        stop = min(start + _PANEL, values.shape[0])
        for b in range(wanted.shape[1]):
            count = 0
            for r in range(start, stop):
                if wanted[r, b]:
                    rows[count] = r
                    count += 1
            if count == 0:
                continue
            rows[count : count + ROW_BLOCK] = rows[count - 1]
            c = b * CLASS_BLOCK
            for i in range(0, count, ROW_BLOCK):
                r, s, t = rows[i], rows[i + 1], rows[i + 2]
                _dot_block(
                    values[r], values[s], values[t], weights[c], weights[c + 1], weights[c + 2], weights[c + 3], block
                )
                for j in range(CLASS_BLOCK):
                    out[r, c + j] = block[0, j]
                    out[s, c + j] = block[1, j]
                    out[t, c + j] = block[2, j]


@njit(cache=True, nogil=True, error_model="numpy")
def row_products(values, rows, weights, out):
    """out[i] = values[rows[i]] . weights; (M, D) float32, (N,) int64, (D,) float32, (N,) float32."""
    for i in range(rows.shape[0]):
        out[i] = _dot(values[rows[i]], weights)


@njit(cache=True, nogil=True, error_model="numpy")
def combine_rows(values, rows, factors, out):
    """Weighted sum of rows: out = sum_i factors[i] values[rows[i]]; factors (N,) float64, out (D,) float64."""
    out[:] = 0
    for i in range(rows.shape[0]):
        if factors[i] != 0:
            _axpy(factors[i], values[rows[i]], out)


@njit(cache=True, nogil=True, error_model="numpy")
def _shuffle(active, count, state):
    """Fisher-Yates with xorshift64*; state (1,) uint64, never 0."""
    for i in range(count - 1, 0, -1):
        x = state[0]
        x ^= x >> np.uint64(12)
        x ^= x << np.uint64(25)
        x ^= x >> np.uint64(27)
        state[0] = x
        high = (x * np.uint64(0x2545F4914F6CDD1D)) >> np.uint64(32)
        j = np.int64((high * np.uint64(i + 1)) >> np.uint64(32))
        active[i], active[j] = active[j], active[i]


@njit(cache=True, nogil=True, error_model="numpy")
def descend(
    values, rows, signs, upper, diagonal, curvature, bias_unit,
    alphas, weights, bias, active, state, goal, cap, limit, visits,
):  # fmt: skip
    """Dual coordinate descent with shrinking (Hsieh et al. 2008, algorithm 3) over the samples in `active`.

    values: (M, D) float32; rows: (N,) int64, the row of each sample. signs, upper, diagonal, curvature: (N,)
    float32, where curvature is the diagonal of the dual's Hessian, 0 where it is yet to be computed.
    alphas (N,) float32, weights (D,) float32, bias (1,) float64 (weight of the constant feature `bias_unit`) and
    active (n,) int64 change in place. Stops when the projected gradients of the samples still active span less than
    `goal`, or after `limit` passes. A sample at a bound is left out once its gradient passes the last pass's extreme or
    `cap`. visits: (1,) int64, grows by the samples looked at. Returns the number of passes.
    """
    count = active.shape[0]
    zero = np.float32(0)
    old_high, old_low = cap, -cap
    for done in range(1, limit + 1):
        _shuffle(active, count, state)
        visits[0] += count
        high, low = -np.inf, np.inf
        position = 0
        while position < count:
            i = active[position]
            alpha, top, sign = alphas[i], upper[i], signs[i]
            row = values[rows[i]]
            score = _dot(row, weights) + np.float32(bias_unit * bias[0])
            gradient = sign * score - np.float32(1) + diagonal[i] * alpha
            projected = gradient
            shrink = False
            if alpha == zero:
                shrink = gradient > old_high
                projected = min(gradient, zero)
            elif alpha == top:
                shrink = gradient < old_low
                projected = max(gradient, zero)
            if shrink:
                count -= 1
                active[position], active[count] = active[count], active[position]
                continue
            high, low = max(high, projected), min(low, projected)
            if projected != zero:
                if curvature[i] == zero:
                    curvature[i] = _dot(row, row) + np.float32(bias_unit * bias_unit) + diagonal[i]
                alphas[i] = min(max(alpha - gradient / curvature[i], zero), top)
                step = (alphas[i] - alpha) * sign
                if step != zero:
                    _axpy(step, row, weights)
                    bias[0] += step * bias_unit
            position += 1
        if count == 0 or high - low <= goal:
            return done
        old_high = min(high, cap) if high > 0 else cap
        old_low = max(low, -cap) if low < 0 else -cap
    return limit


@njit(cache=True, nogil=True, error_model="numpy")
def gram_rows(values, rows, first, out):
    """out[i, j] = out[j, i] = values[rows[i]] . values[rows[j]] for all j >= first and all i.

    values: (M, D) float32; rows: (n,) int64; out: (>= n, >= n) float32, whose part before `first` is there already.
    """
    count = rows.shape[0]
    block = np.empty((ROW_BLOCK, CLASS_BLOCK), np.float32)
    for start in range(0, count, _PANEL):
        stop = min(start + _PANEL, count)
        for c in range(max(first, start), count, CLASS_BLOCK):
            w0, w1 = values[rows[c]], values[rows[min(c + 1, count - 1)]]
            w2, w3 = values[rows[min(c + 2, count - 1)]], values[rows[min(c + 3, count - 1)]]
            for i in range(start, stop, ROW_BLOCK):
                s, t = min(i + 1, stop - 1), min(i + 2, stop - 1)
                _dot_block(values[rows[i]], values[rows[s]], values[rows[t]], w0, w1, w2, w3, block)
                for j in range(CLASS_BLOCK):
                    column = min(c + j, count - 1)
                    out[i, column], out[s, column], out[t, column] = block[0, j], block[1, j], block[2, j]
                    out[column, i], out[column, s], out[column, t] = block[0, j], block[1, j], block[2, j]


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_SUMS)
def _add_row(step, row, unit, scores):
    for j in range(scores.shape[0]):
        scores[j] += step * (row[j] + unit)


@njit(cache=True, nogil=True, error_model="numpy")
def descend_gram(gram, signs, upper, diagonal, bias_unit, alphas, scores, state, goal, limit):
    """`descend` on n samples whose products are known: a sample costs nothing to look at and n to change.

    gram: (>= n, >= n) float32. signs, upper, diagonal, alphas: (n,) float32; alphas and scores (n,) float64, those of
    the weights, change in place. No sample is left out. Returns the number of passes.
    """
    count = alphas.shape[0]
    unit = bias_unit * bias_unit
    order = np.arange(count)
    for done in range(1, limit + 1):
        _shuffle(order, count, state)
        high, low = -np.inf, np.inf
        for position in range(count):
            i = order[position]
            alpha, top = np.float64(alphas[i]), np.float64(upper[i])
            gradient = signs[i] * scores[i] - 1 + diagonal[i] * alpha
            projected = gradient
            if alpha == 0:
                projected = min(gradient, 0.0)
            elif alphas[i] == upper[i]:
                projected = max(gradient, 0.0)
            high, low = max(high, projected), min(low, projected)
            if projected != 0:
                curvature = gram[i, i] + unit + diagonal[i]
                alphas[i] = np.float32(min(max(alpha - gradient / curvature, 0.0), top))
                step = (np.float64(alphas[i]) - alpha) * signs[i]
                if step != 0:
                    _add_row(step, gram[i, :count], unit, scores)
        if high - low <= goal:
            return done
    return limit
