"""All that a killed fine-tuning needs to go on as if nothing had happened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from detection.storage import read_arrays, write_arrays

FORMAT_VERSION = "1"


@dataclass(frozen=True)
class Checkpoint:
    """The state after `iteration` batches.

    weights, velocities: name -> float32 array. shift, factor: (D,) float32, the scaling of vectors. generators: one
    uint8 state a process. best: weights of the best snapshot so far, empty before the first; best_iteration,
    best_measure: where and what it was. key: of all that the training is made of.
    """

    key: str
    iteration: int
    weights: Mapping[str, np.ndarray]
    velocities: Mapping[str, np.ndarray]
    shift: np.ndarray
    factor: np.ndarray
    generators: tuple[np.ndarray, ...]
    best: Mapping[str, np.ndarray] = field(default_factory=dict)
    best_iteration: int = 0
    best_measure: float = float("inf")

    def write(self, path: Path) -> None:
        """Write to a file in one atomic move."""
        arrays = {"shift": self.shift, "factor": self.factor, "best_measure": np.array([self.best_measure])}
        for prefix in ("weights", "velocities", "best"):
            arrays |= {f"{prefix}.{name}": value for name, value in getattr(self, prefix).items()}
        arrays |= {f"generators.{rank}": state for rank, state in enumerate(self.generators)}
        metadata = {
            "format_version": FORMAT_VERSION,
            "kind": "finetune_checkpoint",
            "key": self.key,
            "iteration": str(self.iteration),
            "best_iteration": str(self.best_iteration),
        }
        write_arrays(path, arrays, metadata)


def read_checkpoint(path: Path, key: str) -> Checkpoint | None:
    """The checkpoint in a file; None where there is none, or one of other settings or data."""
    if not path.is_file():
        return None
    arrays, metadata = read_arrays(path)
    if (metadata.get("format_version"), metadata.get("key")) != (FORMAT_VERSION, key):
        return None

    def part(prefix: str) -> dict[str, np.ndarray]:
        return {
            name.removeprefix(f"{prefix}."): value for name, value in arrays.items() if name.startswith(f"{prefix}.")
        }

    generators = part("generators")
    return Checkpoint(
        key=key,
        iteration=int(metadata["iteration"]),
        weights=part("weights"),
        velocities=part("velocities"),
        shift=arrays["shift"],
        factor=arrays["factor"],
        generators=tuple(generators[str(rank)] for rank in range(len(generators))),
        best=part("best"),
        best_iteration=int(metadata["best_iteration"]),
        best_measure=float(arrays["best_measure"][0]),
    )
