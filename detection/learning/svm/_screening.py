"""Which rows can have a loss: those that an earlier score and the change of the weights since cannot rule out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Unit roundoff of float32.
_ROUNDOFF = 2.0**-24


@dataclass(frozen=True)
class Reference:
    """The margins of all rows at some weights: margins (M,) float32, inf where a row is no sample; weights (D,)."""

    weights: np.ndarray
    bias: float
    margins: np.ndarray


def possible_losses(reference: Reference, weights: np.ndarray, bias: float, norms: np.ndarray) -> np.ndarray:
    """(n,) int64, ascending: all rows but those whose margin at (weights (D,) float32, bias) is 1 or more for certain.

    norms: (M,) float32, the rows' lengths as computed in float32. By Cauchy and Schwarz a score changes by no more
    than |row| |change of the weights| + |change of the bias|. To that is added what rounding may have done to a
    reference score summed in float32 in any order: at most D units of roundoff of |row| |weights| (Higham, *Accuracy
    and Stability of Numerical Algorithms*, 2002, section 3.1), and the same again for the norms.
    """
    then = reference.weights.astype(np.float64)
    drift = float(np.linalg.norm(weights.astype(np.float64) - then))
    # Eight more than the length: the bias, its sum with the product, and the steps below.
    rounding = (len(weights) + 8) * _ROUNDOFF * 1.01
    reach = (drift + rounding * float(np.linalg.norm(then))) * (1 + rounding)
    least = 1 + abs(bias - reference.bias) + rounding * (abs(bias) + abs(reference.bias) + 2)
    return np.flatnonzero(~(reference.margins - norms * np.float32(reach * (1 + rounding)) >= np.float32(least)))
