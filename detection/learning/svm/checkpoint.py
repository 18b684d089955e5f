"""Where an interrupted mining goes on: all that it knew after some image, but for the rows, which have their file."""

from detection.learning.checkpoint import Checkpoint


class MiningCheckpoint(Checkpoint):
    """A folder that holds the state of one mining, written anew after every few images.

    key: of all that decides the result; a folder of another key counts as empty.
    """

    VERSION, LEARNER = "7", "mining"

    def images_done(self) -> int:
        """Images that were done in all passes so far, that for the positives included."""
        found = self.read()
        return 0 if found is None else found[1]["number"] * found[1]["images"] + found[1]["done"]
