"""Where an interrupted mining goes on: all that it knew after some image, beside the rows in their file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from detection.storage import read_arrays, write_arrays

_FORMAT_VERSION = "3"
_STATE, _SUFFIX, _ROWS = "state-", ".safetensors", "rows.float32"


class MiningCheckpoint:
    """A folder that holds the state of one mining, written anew after every few images.

    key: of all that decides the result; a folder of another key counts as empty.
    """

    def __init__(self, folder: Path | str, key: str) -> None:
        self.folder, self.key = Path(folder), key
        self.rows_file = self.folder / _ROWS

    def read(self) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        """(arrays, facts) as they were written; None where there is nothing to go on from."""
        states = self._states()
        if not states or not self.rows_file.is_file():
            return None
        try:
            arrays, metadata = read_arrays(states[-1])
        except (FileNotFoundError, ValueError):
            return None
        if (metadata.get("format_version"), metadata.get("key")) != (_FORMAT_VERSION, self.key):
            return None
        return arrays, json.loads(metadata["facts"])

    def images_done(self) -> int:
        """Images that were done in all passes so far, that for the positives included."""
        found = self.read()
        return 0 if found is None else found[1]["number"] * found[1]["images"] + found[1]["done"]

    def write(self, arrays: dict[str, np.ndarray], facts: dict[str, Any]) -> None:
        """Replace what is there in one move. facts: plain data; floats keep every digit.

        The new file has a name of its own, the next number: a move over another file waits for the disk on ext4, for
        some 10 ms, hundreds of times in a training.
        """
        metadata = {"format_version": _FORMAT_VERSION, "key": self.key, "facts": json.dumps(facts)}
        older = self._states()
        number = 1 + (_number(older[-1]) if older else 0)
        write_arrays(self.folder / f"{_STATE}{number}{_SUFFIX}", arrays, metadata)
        for path in older:
            path.unlink()

    def _states(self) -> list[Path]:
        """The files of states, the last written last."""
        return sorted((path for path in self.folder.glob(f"{_STATE}*{_SUFFIX}")), key=_number)

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _number(path: Path) -> int:
    return int(path.name.removeprefix(_STATE).removesuffix(_SUFFIX))
