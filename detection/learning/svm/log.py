"""What a mining says of itself afterwards."""

from dataclasses import dataclass, field

import numpy as np

from detection.learning.svm.linear_svms import LinearSVMs

# A class with fewer positives than this is worth a warning.
FEW_POSITIVES = 10


@dataclass(frozen=True)
class MiningEntry:
    """One training of one class. images: images seen in the pass when it happened (pass from 1).

    positives, negatives: trained on. added: negatives new since the last training. evicted: negatives
    dropped after it. objective, gap: of the problem at the features' target norm. left_out: hard negatives
    that were not added for lack of memory.
    """

    label: int
    mining_pass: int
    images: int
    positives: int
    negatives: int
    added: int
    evicted: int
    objective: float
    gap: float
    iterations: int
    converged: bool
    left_out: int = 0


@dataclass(frozen=True)
class TrainingSamples:
    """What a class was trained on last and kept: its positives, then the negatives that were not dropped.

    image_ids: N strings. boxes: (N, 4) float32, image frame. margins: (N,) float32, scores by the trained SVM.
    alphas: (N,) float32, dual variables: those above 0 are the support vectors.
    """

    label: int
    positives: int
    image_ids: tuple[str, ...]
    boxes: np.ndarray
    margins: np.ndarray
    alphas: np.ndarray


@dataclass(frozen=True)
class MiningLog:
    """What happened: every training, the features' mean norm and scale, and the most memory held for rows.

    samples: of every SVM that was trained. held_out: of each fold the SVMs without it, where that was asked for. Both
    are left out when logs are compared.
    """

    entries: tuple[MiningEntry, ...]
    positives: tuple[int, ...]
    mean_norm: float
    scale: float
    images: int
    peak_rows: int
    peak_bytes: int
    samples: tuple[TrainingSamples, ...] = field(default=(), compare=False)
    held_out: tuple[LinearSVMs, ...] = field(default=(), compare=False)
