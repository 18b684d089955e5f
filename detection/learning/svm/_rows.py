"""What mining holds: feature rows that several SVMs share, and each SVM's samples among them."""

import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from detection.storage import notice

_BYTES_OF_A_VALUE = 4
MIB = 2**20
# Of the file of rows, whatever the disk would have room for: few calls, and not much that is not used.
_RESERVED_AT_A_TIME = 16 * MIB


class RowStore:
    """Rows of float32 with use counts: a row is held once however many SVMs use it, and its place is used again
    when none does.

    memory: bytes that rows may take, at most; they cost nothing until they are written. path: the file in which the
    rows lie, so that they outlive the process; None: in memory. values: (capacity, D) float32; a row's place stays the
    same while it is used. Places set free can be used again after the next `commit`, so that whoever noted places at
    the last one finds their rows unchanged. Raises OSError where the disk has no room for more rows in the file.
    """

    def __init__(self, memory: int, path: Path | None = None) -> None:
        self.memory, self.path = memory, path
        self.values = np.empty((0, 0), np.float32)
        self.peak_rows = self._top = self._reserved = 0

    def open(self, length: int, kept: bool = False) -> None:
        """Reserve places for rows of `length` values; `kept`: those that the file has. Once, before anything else."""
        rows = max(self.memory // (length * _BYTES_OF_A_VALUE), 1)
        if self.path is None:
            self.values = np.empty((rows, length), np.float32)
        else:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            mode = "r+" if kept else "w+"
            self.values = np.memmap(self.path, np.float32, mode, shape=(rows, length)).view(np.ndarray)
        # Of each place its users, whether it was taken since the last commit or before, and its row's checksum.
        self._uses, self._taken, self._checks = (np.zeros(rows, dtype) for dtype in (np.int32, bool, np.uint32))

    @property
    def held_rows(self) -> int:
        """Rows in use."""
        return int(np.count_nonzero(self._uses[: self._top]))

    @property
    def peak_bytes(self) -> int:
        """Most bytes that rows took so far: those of all places ever used."""
        return self._top * self.values.shape[1] * _BYTES_OF_A_VALUE

    @property
    def room(self) -> int:
        """Rows that can be added now."""
        return len(self.values) - int(np.count_nonzero(self._taken[: self._top]))

    def add(self, values: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Places (N,) int64 of copies of values[rows], (N, D), N at most `room`, not in use yet: see `use`."""
        if len(rows) > self.room:
            raise ValueError(f"row store: expected at most {self.room} rows, got {len(rows)}")
        places = np.append(np.flatnonzero(~self._taken[: self._top]), self._top + np.arange(len(rows)))[: len(rows)]
        self._reserve((int(places.max(initial=-1)) + 1) * self.values.shape[1] * _BYTES_OF_A_VALUE)
        for place, row in zip(places.tolist(), np.ascontiguousarray(values)[rows], strict=True):
            self.values[place] = row
            if self.path is not None:
                self._checks[place] = zlib.crc32(row)
        self._taken[places] = True
        self._top = max(self._top, int(places.max(initial=-1)) + 1)
        return places

    def _reserve(self, end: int) -> None:
        """Take the disk up to byte `end` of the file before it is written: a mapped file that finds none ends it all
        with a bus error, which nobody can handle.
        """
        if self.path is None or end <= self._reserved:
            return
        end = min(-(-end // _RESERVED_AT_A_TIME) * _RESERVED_AT_A_TIME, self.values.nbytes)
        with self.path.open("r+b") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), self._reserved, end - self._reserved)
            else:
                file.seek(self._reserved)
                for start in range(self._reserved, end, MIB):
                    file.write(bytes(min(MIB, end - start)))
        self._reserved = end

    def use(self, places: np.ndarray) -> None:
        """Count one more user of each place (no place twice)."""
        self._uses[places] += 1
        self.peak_rows = max(self.peak_rows, self.held_rows)

    def release(self, places: np.ndarray) -> None:
        """Count one user less of each place (no place twice); places without a user are free after `commit`."""
        self._uses[places] -= 1

    def commit(self) -> None:
        """Let the places without a user be used again."""
        self._taken[: self._top] = self._uses[: self._top] > 0

    def restore(self, users: list[np.ndarray], checks: np.ndarray, peak_rows: int) -> bool:
        """Take up the rows of the file at the `users`' places (one array a user); False where they are not whole.

        checks: those of the first places, as far as they were used.
        """
        self._top, self._checks[: len(checks)] = len(checks), checks
        self._reserved = self.peak_bytes
        for places in users:
            self.use(places)
        self.peak_rows = peak_rows
        self.commit()
        taken = np.flatnonzero(self._taken)
        is_whole = all(zlib.crc32(self.values[place]) == self._checks[place] for place in taken)
        if not is_whole:
            notice(f"{self.path}: damaged; mining begins anew")
        return is_whole

    def used_checks(self) -> np.ndarray:
        """Checksums of all places ever used, for `restore`."""
        return self._checks[: self._top]


@dataclass(frozen=True)
class Task:
    """One SVM to train: positives are the objects of `label`. C, positive_weight: see ``SVMSettings``.

    fold: images of this fold are left out; None: of none.
    """

    label: int
    C: float
    positive_weight: float
    fold: int | None = None


class ClassCache:
    """One SVM's samples, as places in the shared rows, and their dual variables.

    keys: (negatives, 2) int64, position of the image and of the proposal in it. origins: (positives,) int64, position
    of the image of each; draws: (positives,) float64, a random number of each, by which some are chosen where there are
    too many. boxes: (samples, 4) float32. added, left_out: negatives new since the last training, and hard
    ones not taken since then for lack of memory. on_the_way: whether that training was to the coarser tolerance.
    """

    # What an interrupted mining writes of each.
    ARRAYS = ("places", "keys", "origins", "draws", "boxes", "alphas")
    FACTS = ("positives", "added", "left_out", "trained", "on_the_way")

    def __init__(self, task: Task) -> None:
        self.task = task
        self.places = np.zeros(0, np.int64)
        self.positives = 0
        self.keys = np.zeros((0, 2), np.int64)
        self.origins = np.zeros(0, np.int64)
        self.draws = np.zeros(0)
        self.boxes = np.zeros((0, 4), np.float32)
        self.alphas = np.zeros(0, np.float32)
        self.added = self.left_out = 0
        self.trained = self.on_the_way = False

    @property
    def negatives(self) -> int:
        return len(self.places) - self.positives

    def append_positives(self, places: np.ndarray, boxes: np.ndarray, position: int, draws: np.ndarray) -> None:
        self._insert(self.positives, places, boxes)
        self.draws = np.concatenate([self.draws, draws])
        self.origins = np.concatenate([self.origins, np.full(len(places), position)])
        self.positives += len(places)

    def keep_least(self, most: int | None) -> np.ndarray:
        """Keep the `most` positives of the least draws, None: all; returns the places of the others."""
        if most is None or self.positives <= most:
            return np.zeros(0, np.int64)
        wanted = np.ones(len(self.places), bool)
        wanted[np.argsort(self.draws, kind="stable")[most:]] = False
        return self.keep(wanted)

    def append(self, places: np.ndarray, boxes: np.ndarray, keys: np.ndarray) -> None:
        self._insert(len(self.places), places, boxes)
        self.keys = np.concatenate([self.keys, keys])

    def _insert(self, at: int, places: np.ndarray, boxes: np.ndarray) -> None:
        new = {"places": places, "boxes": boxes.astype(np.float32), "alphas": np.zeros(len(places), np.float32)}
        for name, values in new.items():
            before = getattr(self, name)
            setattr(self, name, np.concatenate([before[:at], values, before[at:]]))

    @property
    def positions(self) -> np.ndarray:
        """(samples,) int64: of the image of each."""
        return np.concatenate([self.origins, self.keys[:, 0]])

    def keep(self, wanted: np.ndarray) -> np.ndarray:
        """Keep the samples where `wanted`; returns the places of the others."""
        dropped, positives = self.places[~wanted], wanted[: self.positives]
        self.places, self.alphas, self.boxes = self.places[wanted], self.alphas[wanted], self.boxes[wanted]
        self.keys = self.keys[wanted[self.positives :]]
        self.origins, self.draws = self.origins[positives], self.draws[positives]
        self.positives = int(positives.sum())
        return dropped


def sampled(
    rows: np.ndarray, caches: Sequence[ClassCache], most: int | None, seed: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """(those of an image's positives `rows` that may be among the `most` of least draws in some cache, their draws).

    most: None takes all. seed: of the image and the class.
    """
    if most is None:
        return rows, np.zeros(len(rows))
    draws = np.random.default_rng(seed).random(len(rows))
    limits = [one.draws.max() if one.positives >= most else 1 for one in caches]
    chosen = draws < max(limits)
    return rows[chosen], draws[chosen]
