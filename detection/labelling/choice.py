"""Which photo to label next: the one whose labels teach most, as far as that can be told before.

Two measures, and their product. Uncertainty: the entropy of the probabilities of what is found in a photo (for SVMs,
closeness to the margin: Tong and Koller, JMLR 2, 2001), summed over the most uncertain, each weighed by how rare its
class is (Brust, Käding, Denzler, arXiv 1809.09875, who compare sum, mean and maximum). Novelty: the distance to the
nearest photo that is labelled or chosen already, so that what is chosen covers the set (core set, greedy k-centre:
Sener and Savarese, arXiv 1708.00489). The product asks for both, as diverse mini-batches do (Zhdanov, arXiv
1901.05954).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from detection.talking import percent

Rule = Literal["both", "uncertainty", "core-set", "random"]

# Detections of a photo that count: a crowded photo is not to win by its crowd alone.
_MOST_UNCERTAIN = 5
# Of the largest in the choice: from these shares on a measure is named as a reason.
_NAMED_UNCERTAIN, _NAMED_NOVEL = 0.5, 0.75
# A class counts as rare that has at most this share of the boxes that classes have on average.
_RARE = 0.5


@dataclass(frozen=True)
class Candidate:
    """A photo that may be chosen. descriptor: (D,) float32 of norm 1. chances (K,) float64 and labels (K,) int64: the
    probabilities and classes of what is found in it; none where nothing is looked for yet.
    """

    image_id: str
    descriptor: np.ndarray
    chances: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Choice:
    """A chosen photo, and why, for people to read."""

    image_id: str
    reason: str


def choose(
    candidates: Sequence[Candidate],
    known: np.ndarray,
    counts: np.ndarray,
    classes: Sequence[str],
    most: int,
    rule: Rule = "both",
    seed: int = 0,
) -> list[Choice]:
    """At most so many of the candidates, the one that teaches most first; each counts as labelled for the next.

    known: (M, D) float32 descriptors of the labelled photos. counts: (L,) boxes of each class so far. seed: of the
    rule "random", and of the first photo where nothing is known.
    """
    order = np.random.default_rng(seed).permutation(len(candidates))
    candidates = [candidates[place] for place in order]
    if rule == "random" or not candidates:
        return [Choice(one.image_id, "by chance") for one in candidates[:most]]
    weights = class_weights(counts)
    uncertain = np.array([uncertainty(one.chances, one.labels, weights) for one in candidates])
    descriptors = np.stack([one.descriptor for one in candidates])
    distances = np.full(len(candidates), np.inf)
    for one in known:
        distances = np.minimum(distances, _distances(descriptors, one))
    chosen: list[Choice] = []
    left = np.ones(len(candidates), bool)
    largest, farthest = uncertain.max(), 1e-12
    shares = uncertain / largest if largest > 0 else np.ones(len(candidates))
    while left.any() and len(chosen) < most:
        is_known = np.isfinite(distances).all()
        farthest = max(farthest, distances[left].max()) if is_known else farthest
        novel = distances / farthest if is_known else np.ones(len(candidates))
        worth = {"both": shares * novel, "uncertainty": shares, "core-set": novel}[rule]
        best = int(np.argmax(np.where(left, worth, -np.inf)))
        reasons = []
        if largest > 0 and rule != "core-set":
            reasons += _uncertain_reasons(candidates[best], shares[best], weights, counts, classes)
        if rule != "uncertainty" and is_known and novel[best] >= _NAMED_NOVEL:
            reasons.append(f"unlike what is labelled ({percent(novel[best])} of the farthest)")
        fallback = "the first" if not len(known) and not chosen else "little of either: the best that is left"
        chosen.append(Choice(candidates[best].image_id, "; ".join(reasons) or fallback))
        left[best] = False
        distances = np.minimum(distances, _distances(descriptors, descriptors[best]))
    return chosen


def class_weights(counts: np.ndarray) -> np.ndarray:
    """(L,) float64, mean 1: the fewer boxes a class has, the more an uncertain one of it counts."""
    weights = (counts.sum() + len(counts)) / (counts + 1.0)
    return weights / weights.mean() if len(weights) else weights


def uncertainty(chances: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> float:
    """Sum of the largest weighted entropies, in bits, of what is found in a photo; 0 where nothing is."""
    return float(np.sort(_entropies(chances) * weights[labels])[-_MOST_UNCERTAIN:].sum())


def _entropies(chances: np.ndarray) -> np.ndarray:
    inner = np.clip(chances, 1e-12, 1 - 1e-12)
    return -(inner * np.log2(inner) + (1 - inner) * np.log2(1 - inner))


def _distances(descriptors: np.ndarray, one: np.ndarray) -> np.ndarray:
    """(N,) Euclidean distances of vectors of norm 1."""
    return np.sqrt(np.maximum(2 - 2 * (descriptors @ one), 0))


def _uncertain_reasons(
    one: Candidate, share: float, weights: np.ndarray, counts: np.ndarray, classes: Sequence[str]
) -> list[str]:
    order = np.argsort(-_entropies(one.chances) * weights[one.labels], kind="stable")[:2]
    reasons = []
    if share >= _NAMED_UNCERTAIN and len(order):
        found = ", ".join(f"{classes[one.labels[row]]} {percent(one.chances[row])}" for row in order)
        reasons.append(f"uncertain: {found}")
    mean = counts.mean()
    rare = [label for label in dict.fromkeys(one.labels[order].tolist()) if counts[label] <= _RARE * mean]
    reasons += [f"perhaps a rare class: {classes[label]} ({counts[label]} boxes so far)" for label in rare]
    return reasons
