"""A trainer (`_trainer.py`, which imports this) as arrays and plain data, with which an interrupted mining goes on; its
rows have a file of their own.
"""

from dataclasses import fields
from typing import Any

import numpy as np

from detection.learning.svm.log import MiningEntry

# What a trainer knows of itself, as plain data.
_FACTS = ("layer", "length", "number", "done", "added", "last_image", "images")
# Between the ids of images in one array.
_BETWEEN_IDS = "\0"
# Names of files may hold bytes that are no UTF-8, which Python has as lone surrogates.
_ANY_NAME = "surrogatepass"
_LOGGED = tuple(one.name for one in fields(MiningEntry))


def state_of(trainer: Any) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """(arrays, facts) for `MiningCheckpoint.write`."""
    caches, sample = trainer.caches, trainer.sample
    arrays = {f"{i}.{name}": getattr(one, name) for i, one in enumerate(caches) for name in one.ARRAYS}
    arrays |= sample.arrays()
    arrays |= {"checks": trainer.store.used_checks(), "weights": trainer.weights, "biases": trainer.biases}
    arrays["positions"] = np.array(list(trainer.image_ids), np.int64)
    ids = _BETWEEN_IDS.join(trainer.image_ids.values())
    arrays["image_ids"] = np.frombuffer(ids.encode(errors=_ANY_NAME), np.uint8)
    # As JSON the log would take ten times its bytes on the way.
    arrays |= {_column(name): np.array([getattr(one, name) for one in trainer.entries]) for name in _LOGGED}
    facts = {name: getattr(trainer, name) for name in _FACTS}
    facts |= {"peak_rows": trainer.store.peak_rows, "seen": sample.seen}
    facts["caches"] = [{name: getattr(one, name) for name in one.FACTS} for one in caches]
    return arrays, facts


def restore(trainer: Any, arrays: dict[str, np.ndarray], facts: dict[str, Any]) -> bool:
    """Take up what `state_of` gave, as a new trainer; False where the file of rows is not whole."""
    for name in _FACTS:
        setattr(trainer, name, facts[name])
    ids = arrays["image_ids"].tobytes().decode(errors=_ANY_NAME).split(_BETWEEN_IDS)
    # Without an image there is an empty id, and no position.
    trainer.image_ids = dict(zip(arrays["positions"].tolist(), ids, strict=False))
    columns = (arrays[_column(name)].tolist() for name in _LOGGED)
    trainer.entries = [MiningEntry(*row) for row in zip(*columns, strict=True)]
    trainer.sample.restore(arrays, facts["seen"])
    trainer.weights, trainer.biases = arrays["weights"], arrays["biases"]
    for index, (cache, numbers) in enumerate(zip(trainer.caches, facts["caches"], strict=True)):
        for name in cache.ARRAYS:
            setattr(cache, name, arrays[f"{index}.{name}"])
        for name in cache.FACTS:
            setattr(cache, name, numbers[name])
    trainer.store.open(trainer.length, kept=True)
    return trainer.store.restore([one.places for one in trainer.caches], arrays["checks"], facts["peak_rows"])


def _column(name: str) -> str:
    return f"entries.{name}"
