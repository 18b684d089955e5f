"""From which margin a class's detections are worth showing."""

import numpy as np


def best_threshold(scores: np.ndarray, chances: np.ndarray, objects: int, precision: float | None = None) -> float:
    """The margin from which F1, 2 found / (objects + shown), is to be expected the best; of several the highest.

    scores: (N,) margins, at least one. chances: (N,) float64, the probability of each that it finds an object: these
    are smoother than what happened to be found, and F1 on other images is better by them (docs/probabilities.md).
    objects: how many there were to be found. precision: instead the margin from which this share of the shown is to be
    expected right and the most objects found; where no share is so large, the one from which it is the greatest. The
    result lies half-way to the next lower margin, so that it hangs on no detection.
    """
    order = np.argsort(-scores, kind="stable")
    ranked, found = scores[order].astype(np.float64), np.cumsum(chances[order], dtype=np.float64)
    shown = np.arange(1, len(ranked) + 1)
    # Equal margins are shown together, so that a threshold lies behind the last of them.
    ends = np.append(ranked[:-1] > ranked[1:], True)
    if precision is None:
        worth = 2 * found / (objects + shown)
    else:
        share = found / shown
        worth = np.where(share >= precision, 1 + found, share)
    last = int(np.argmax(np.where(ends, worth, -1.0)))
    return float(ranked[last : last + 2].mean())
