"""Where an interrupted pass over the images for the examples of box regression goes on."""

import math
import time
import zlib
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from detection.learning.checkpoint import Checkpoint
from detection.learning.reservoir import Reservoir
from detection.learning.svm.samples import NormSample
from detection.storage import notice

# Writing waits so many times as long as it took the last time.
_REST = 20


class PassState(NamedTuple):
    """How far a pass over the images is: images done, the last one's id, layer and length of the vectors."""

    done: int
    last_image: str
    layer: str
    length: int


class RegressionCheckpoint(Checkpoint):
    """A folder that holds the examples gathered so far, brought up to date every minute or more seldom.

    key: of all that decides the result; a folder of another key counts as empty. A vector is written once, at a place
    of its own in the file of rows; places that the state on disk does not name are used again.
    """

    VERSION, LEARNER = "1", "box regression"
    # Of work that an interruption may cost: a pass that takes less writes nothing.
    SECONDS = 60.0

    def __init__(self, folder: Path | str, key: str) -> None:
        super().__init__(folder, key)
        self._ended, self._took = time.monotonic(), 0.0
        # Of each reservoir in the state on disk: its rows' places in the file, and their checksums.
        self._written: list[tuple[np.ndarray, np.ndarray]] = []

    def images_done(self) -> int:
        """Images whose examples are kept."""
        found = self.read()
        return 0 if found is None else PassState(*found[1]["state"]).done

    def offer(self, reservoirs: Sequence[Reservoir], sample: NormSample, state: PassState) -> None:
        """Keep them, if it is time. Where they cannot be kept that is said, and what there is of them goes."""
        started = time.monotonic()
        if started - self._ended >= max(self.SECONDS, _REST * self._took):
            try:
                self._keep(reservoirs, sample, state)
            except OSError as error:
                self.remove()
                notice(f"{self.folder}: {error}; {self.LEARNER} goes on without a place from which it could be resumed")
                self._ended = math.inf
            else:
                self._ended = time.monotonic()
                self._took = self._ended - started

    def _keep(self, reservoirs: Sequence[Reservoir], sample: NormSample, state: PassState) -> None:
        written = self._write_rows(reservoirs)
        arrays = sample.arrays()
        for label, ((places, checks), one) in enumerate(zip(written, reservoirs, strict=True)):
            arrays |= {f"{label}.places": places, f"{label}.checks": checks, f"{label}.targets": one.targets}
        self.write(arrays, {"state": state, "seen": [one.seen for one in reservoirs], "sample_seen": sample.seen})
        self._written = written
        for one in reservoirs:
            one.new.clear()

    def _write_rows(self, reservoirs: Sequence[Reservoir]) -> list[tuple[np.ndarray, np.ndarray]]:
        self.folder.mkdir(parents=True, exist_ok=True)
        before = self._written or [(np.zeros(0, np.int64), np.zeros(0, np.uint32)) for _ in reservoirs]
        used = {place for places, _ in before for place in places.tolist()}
        free, written = (place for place in count() if place not in used), []
        with self.rows_file.open("r+b" if self._written else "wb") as file:
            for (places, checks), one in zip(before, reservoirs, strict=True):
                grown = max([len(places), *(position + 1 for position in one.new)])
                places, checks = np.resize(places, grown), np.resize(checks, grown)
                for position in sorted(one.new):
                    row, place = one.row(position).tobytes(), next(free)
                    places[position], checks[position] = place, zlib.crc32(row)
                    file.seek(place * len(row))
                    file.write(row)
                written.append((places, checks))
        return written

    def restore(self, reservoirs: Sequence[Reservoir], sample: NormSample) -> PassState | None:
        """Take up what was kept, with new reservoirs and a new sample; None where nothing is, or it is not whole."""
        found = self.read()
        if found is None:
            return None
        arrays, facts = found
        state = PassState(*facts["state"])
        written = [(arrays[f"{label}.places"], arrays[f"{label}.checks"]) for label in range(len(reservoirs))]
        with self.rows_file.open("rb") as file:
            rows = [[_row(file, place, state.length) for place in places.tolist()] for places, _ in written]
        if any(
            [zlib.crc32(row) for row in some] != checks.tolist()
            for (_, checks), some in zip(written, rows, strict=True)
        ):
            return notice(f"{self.rows_file}: damaged; {self.LEARNER} begins anew")
        for label, one in enumerate(reservoirs):
            vectors = [np.frombuffer(row, np.float32) for row in rows[label]]
            one.restore(vectors, arrays[f"{label}.targets"], facts["seen"][label])
        sample.restore(arrays, facts["sample_seen"])
        self._written = written
        return state


def _row(file: BinaryIO, place: int, length: int) -> bytes:
    size = length * np.float32().nbytes
    file.seek(place * size)
    return file.read(size)
