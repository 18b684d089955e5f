"""What a mining writes after every few images, and how a trainer takes it up again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from detection.learning.svm._trainer import Trainer

# What a trainer knows of itself, as plain data.
_FACTS = ("layer", "length", "images", "mean_norm", "scale", "number", "done", "added", "last_image", "image_ids")
# Numbers of each SVM's cache.
_COUNTS = 6


def trainer_state(trainer: Trainer) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """(arrays, facts) for `MiningCheckpoint.write`: all but the rows, which have a file of their own."""
    counts = [
        [len(one.places), one.positives, one.added, one.left_out, one.trained, one.on_the_way] for one in trainer.caches
    ]
    norms, about_norms = trainer.sample.state()
    arrays = {
        "counts": np.array(counts, np.int64).reshape(-1, _COUNTS),
        "places": _joined([one.places for one in trainer.caches], np.zeros(0, np.int64)),
        "alphas": _joined([one.alphas for one in trainer.caches], np.zeros(0, np.float32)),
        "keys": _joined([one.keys for one in trainer.caches], np.zeros((0, 2), np.int64)),
        "boxes": _joined([one.boxes for one in trainer.caches], np.zeros((0, 4), np.float32)),
        "origins": _joined([one.origins for one in trainer.caches], np.zeros(0, np.int64)),
        "checks": trainer.store.used_checks(),
        "norms": norms,
    }
    if trainer.number:
        arrays |= {"weights": trainer.weights, "biases": trainer.biases}
    facts = {name: getattr(trainer, name) for name in _FACTS}
    entries = [dict(vars(one)) for one in trainer.entries]
    return arrays, facts | {"peak_rows": trainer.store.peak_rows, "norms": about_norms, "entries": entries}


def restore_trainer(trainer: Trainer, arrays: Mapping[str, np.ndarray], facts: dict[str, Any]) -> bool:
    """Bring a new trainer to a state of `trainer_state`; False where the file of rows does not go with it."""
    from detection.learning.svm.mining import MiningEntry

    for name in _FACTS:
        setattr(trainer, name, facts[name])
    trainer.entries = [MiningEntry(**one) for one in facts["entries"]]
    trainer.sample.restore(arrays["norms"], facts["norms"])
    trainer.weights, trainer.biases = arrays.get("weights"), arrays.get("biases")
    starts = np.zeros(3, np.int64)
    for cache, numbers in zip(trainer.caches, arrays["counts"], strict=True):
        count, positives, added, left_out, trained, on_the_way = numbers
        ends = starts + np.array([count, count - positives, positives])
        for name in ("places", "alphas", "boxes"):
            setattr(cache, name, arrays[name][starts[0] : ends[0]])
        cache.keys = arrays["keys"][starts[1] : ends[1]]
        cache.origins = arrays["origins"][starts[2] : ends[2]]
        cache.positives, cache.added, cache.left_out = int(positives), int(added), int(left_out)
        cache.trained, cache.on_the_way, starts = bool(trained), bool(on_the_way), ends
    trainer.store.open(trainer.length, kept=True)
    return trainer.store.restore([one.places for one in trainer.caches], arrays["checks"], facts["peak_rows"])


def _joined(parts: Sequence[np.ndarray], empty: np.ndarray) -> np.ndarray:
    return np.concatenate([empty, *parts])
