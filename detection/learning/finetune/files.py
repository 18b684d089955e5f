"""What a fine-tuning keeps on disk: a log of its figures, and the checkpoint that it goes on from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from detection.storage import notice, read_arrays, write_arrays, write_text

_FORMAT_VERSION = "1"
# Fields of a checkpoint that are several named arrays.
_PARTS = ("weights", "velocities", "generators", "best")
COLUMNS = (
    "iteration", "learning_rate", "loss", "accuracy", "foreground_accuracy", "held_out_loss", "held_out_accuracy",
    "held_out_foreground_accuracy",
)  # fmt: skip


class TrainingLog:
    """Appends a line at a time to ``log.csv`` in a folder, and the same to TensorBoard event files in it."""

    def __init__(self, folder: Path, after: int) -> None:
        """Lines of iterations beyond `after` are dropped: they will be made again."""
        self.path = folder / "log.csv"
        kept = [row.values() for row in read_log(self.path) if int(row["iteration"]) <= after]
        write_text(self.path, "".join(f"{','.join(line)}\n" for line in (COLUMNS, *kept)))
        self._writer = _summary_writer(folder / "tensorboard", after)

    def add(self, row: Mapping[str, float]) -> None:
        """One line; columns that `row` lacks stay empty."""
        with self.path.open("a", encoding="utf-8", newline="") as file:
            file.write(",".join(repr(row[name]) if name in row else "" for name in COLUMNS) + "\n")
        for name in COLUMNS[1:] if self._writer is not None else ():
            if name in row:
                self._writer.add_scalar(name, row[name], int(row["iteration"]))

    def close(self) -> None:
        """Write what TensorBoard's file still lacks."""
        if self._writer is not None:
            self._writer.close()


def read_log(path: Path) -> list[dict[str, str]]:
    """The whole lines of a log, column -> text; none where there is no file of these columns.

    A line that a killed process left unfinished is passed over. Raises ValueError naming the file where it is damaged.
    """
    try:
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        head, *rows = [line.split(",") for line in text.split("\n")[:-1]] or [[]]
        if head != list(COLUMNS):
            return []
        whole = [row for row in rows if len(row) == len(COLUMNS)]
        for row in whole:
            int(row[0])
    except ValueError as error:
        raise ValueError(f"{path}: damaged: {error}; delete it, and the log goes on from here") from error
    return [dict(zip(COLUMNS, row, strict=True)) for row in whole]


def _summary_writer(folder: Path, after: int):
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=after + 1)


@dataclass(frozen=True)
class Checkpoint:
    """All that a killed fine-tuning needs to go on as if nothing had happened: the state after `iteration` batches.

    weights, velocities: name -> float32 array. shift, factor: (D,) float32, the scaling of vectors. generators: of each
    process, by its rank, the uint8 state. best: weights of the best snapshot so far, empty before the first;
    best_iteration, best_measure: where and what it was. key: of all that the training is made of.
    """

    key: str
    iteration: int
    weights: Mapping[str, np.ndarray]
    velocities: Mapping[str, np.ndarray]
    generators: Mapping[str, np.ndarray]
    shift: np.ndarray
    factor: np.ndarray
    best: Mapping[str, np.ndarray] = field(default_factory=dict)
    best_iteration: int = 0
    best_measure: float = float("inf")

    def write(self, path: Path) -> None:
        """Write to a file in one atomic move."""
        arrays = {"shift": self.shift, "factor": self.factor, "best_measure": np.array([self.best_measure])}
        for part in _PARTS:
            arrays |= {f"{part}.{name}": value for name, value in getattr(self, part).items()}
        metadata = {
            "format_version": _FORMAT_VERSION,
            "kind": "finetune_checkpoint",
            "key": self.key,
            "iteration": str(self.iteration),
            "best_iteration": str(self.best_iteration),
        }
        write_arrays(path, arrays, metadata, durable=True)


def read_checkpoint(path: Path, key: str) -> Checkpoint | None:
    """The checkpoint in a file; None where there is none, one of other settings or data, or a damaged one: said."""
    if not path.is_file():
        return None
    try:
        arrays, metadata = read_arrays(path)
    except ValueError as error:
        return notice(f"{error}; training begins anew")
    if (metadata.get("format_version"), metadata.get("key")) != (_FORMAT_VERSION, key):
        return None
    parts = {part: {} for part in _PARTS}
    for name, value in arrays.items():
        part, _, rest = name.partition(".")
        if rest:
            parts[part][rest] = value
    return Checkpoint(
        key=key,
        iteration=int(metadata["iteration"]),
        shift=arrays["shift"],
        factor=arrays["factor"],
        best_iteration=int(metadata["best_iteration"]),
        best_measure=float(arrays["best_measure"][0]),
        **parts,
    )
