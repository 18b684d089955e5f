"""Where an interrupted mining goes on: all that it knew after some image, but for the rows, which have their file."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from detection.storage import notice, read_arrays, write_arrays

_FORMAT_VERSION = "5"


class MiningCheckpoint:
    """A folder that holds the state of one mining, written anew after every few images.

    key: of all that decides the result; a folder of another key counts as empty.
    """

    def __init__(self, folder: Path | str, key: str) -> None:
        self.folder, self.key = Path(folder), key
        self.state_file, self.rows_file = self.folder / "state.safetensors", self.folder / "rows.float32"

    def read(self) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        """(arrays, facts) as they were written; None where there is nothing to go on from."""
        if not (self.state_file.is_file() and self.rows_file.is_file()):
            return None
        try:
            arrays, metadata = read_arrays(self.state_file)
        except ValueError as error:
            return notice(f"{error}; mining begins anew")
        if (metadata.get("format_version"), metadata.get("key")) != (_FORMAT_VERSION, self.key):
            return None
        return arrays, json.loads(metadata["facts"])

    def images_done(self) -> int:
        """Images that were done in all passes so far, that for the positives included."""
        found = self.read()
        return 0 if found is None else found[1]["number"] * len(found[1]["image_ids"]) + found[1]["done"]

    def write(self, arrays: dict[str, np.ndarray], facts: dict[str, Any]) -> None:
        """Replace what is there in one move. facts: plain data; floats keep every digit."""
        metadata = {"format_version": _FORMAT_VERSION, "key": self.key, "facts": json.dumps(facts)}
        write_arrays(self.state_file, arrays, metadata)

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
