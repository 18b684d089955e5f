"""Compile what is compiled once on a machine, by a small run on made-up photos, so that the first real one need not.

Takes about a minute of one processor; later calls take seconds. NUMBA_CACHE_DIR and SPPNET_CACHE name other folders
for what is kept.
"""

import tempfile
from pathlib import Path

from rich.console import Console

from detection.command_line import function_command, say, terminal
from detection.commands.session import open_experiment
from detection.config import read_settings
from detection.data import write_digits
from detection.pipeline.stages import STAGES

_IMAGES = 6


def warmup() -> None:
    """Run every stage on a few digits in a folder that is removed."""
    console = terminal()
    with tempfile.TemporaryDirectory(prefix="sppnet-warmup-") as folder:
        root = write_digits(Path(folder) / "digits", trainval=_IMAGES, test=2)
        settings = ["--config=demo", f"--dataset.root={root}", f"--run={folder}/run", "--workers=1"]
        experiment = open_experiment(read_settings(*settings), Console(quiet=True))
        for stage in STAGES:
            if stage.wanted(experiment):
                say(console, f"compiling what {stage.name} needs")
                stage.make(experiment)
    say(console, "compiled: the next command starts at once")


main = function_command(__doc__, warmup)
