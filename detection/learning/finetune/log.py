"""The figures of a fine-tuning: a CSV file, and TensorBoard's where that is installed."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from detection.storage import write_text

COLUMNS = (
    "iteration", "learning_rate", "loss", "accuracy", "foreground_accuracy", "held_out_loss", "held_out_accuracy",
    "held_out_foreground_accuracy",
)  # fmt: skip


class TrainingLog:
    """Appends a line at a time to ``log.csv`` in a folder, and the same to TensorBoard event files in it."""

    def __init__(self, folder: Path, after: int) -> None:
        """Lines of iterations beyond `after` are dropped: they will be made again."""
        self.path = folder / "log.csv"
        kept = [row for row in read_log(self.path) if int(row["iteration"]) <= after]
        lines = [",".join(COLUMNS), *(",".join(row[name] for name in COLUMNS) for row in kept)]
        write_text(self.path, "".join(f"{line}\n" for line in lines))
        self._writer = _summary_writer(folder / "tensorboard", after)

    def add(self, row: Mapping[str, float]) -> None:
        """One line; columns that `row` lacks stay empty."""
        with self.path.open("a", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerow([_text(row.get(name)) for name in COLUMNS])
        if self._writer is not None:
            for name in COLUMNS[1:]:
                if name in row:
                    self._writer.add_scalar(name, row[name], int(row["iteration"]))

    def close(self) -> None:
        """Write what TensorBoard's file still lacks."""
        if self._writer is not None:
            self._writer.close()


def read_log(path: Path) -> list[dict[str, str]]:
    """The whole lines of a log, column -> text; none where there is no file of these columns.

    A line that a killed process left unfinished is passed over.
    """
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    whole = [line.rstrip("\n") for line in lines if line.endswith("\n")]
    if not whole or whole[0] != ",".join(COLUMNS):
        return []
    return [
        dict(zip(COLUMNS, line.split(","), strict=True)) for line in whole[1:] if line.count(",") + 1 == len(COLUMNS)
    ]


def _text(value: float | None) -> str:
    return "" if value is None else repr(value)


def _summary_writer(folder: Path, after: int):
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=after + 1)
