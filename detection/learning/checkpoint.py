"""Where an interrupted learner goes on: what it knew after some image in one file, the vectors it held in another."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from detection.storage import notice, read_arrays, read_metadata, write_arrays


class Checkpoint:
    """A folder that holds the state of one learner, written anew now and then.

    key: of all that decides the result; a folder of another key, or written by another `VERSION`, counts as empty.
    """

    # Of what is written, and what the learner is called where it has to begin anew.
    VERSION: str
    LEARNER: str

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
            return notice(f"{error}; {self.LEARNER} begins anew")
        if (metadata.get("format_version"), metadata.get("key")) != (self.VERSION, self.key):
            return None
        return arrays, json.loads(metadata["facts"])

    def write(self, arrays: dict[str, np.ndarray], facts: dict[str, Any]) -> None:
        """Replace what is there in one move. facts: plain data; floats keep every digit."""
        metadata = {"format_version": self.VERSION, "key": self.key, "facts": json.dumps(facts)}
        write_arrays(self.state_file, arrays, metadata)

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def remove_own(self) -> None:
        """Delete the folder, unless its state is of a key that begins otherwise than this one."""
        try:
            is_own = read_metadata(self.state_file).get("key", "").startswith(self.key)
        except (ValueError, FileNotFoundError):
            is_own = True
        if is_own:
            self.remove()
