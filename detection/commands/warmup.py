"""Compile what is compiled once on a machine, by a small run on made-up photos, so that the first real one need not.

Takes about a minute of one processor; later calls take seconds. Compiled code is kept beside the package, where that
can be written, else in your cache folder. SPPNET_CACHE names another folder for it and for converted networks,
NUMBA_CACHE_DIR one for compiled code alone.

  sppnet warmup
"""

import logging
import tempfile
import time
from pathlib import Path

from rich.console import Console

from detection.caches import tell_kernels
from detection.command_line import function_command
from detection.commands.session import open_experiment
from detection.config import read_settings
from detection.data import write_digits
from detection.pipeline.stages import STAGES
from detection.talking import LOG

_IMAGES = 6


def warmup() -> None:
    """Run every stage on a few digits in a folder that is removed."""
    tell_kernels(lambda kernel: LOG.info(f"  {kernel}"))
    with tempfile.TemporaryDirectory(prefix="sppnet-warmup-") as folder:
        root = write_digits(Path(folder) / "digits", trainval=_IMAGES, test=2)
        settings = ["--config=demo", f"--dataset.root={root}", f"--run={folder}/run", "--workers=1"]
        # What the stages say of made-up photos is of no use.
        experiment = open_experiment(read_settings(*settings), Console(quiet=True), log=logging.Logger("unheard"))
        wanted = [one for one in STAGES if one.wanted(experiment)]
        for number, stage in enumerate(wanted, 1):
            started = time.monotonic()
            LOG.info(f"{number}/{len(wanted)}: compiling what {stage.name} needs")
            stage.make(experiment)
            LOG.info(f"{number}/{len(wanted)}: {time.monotonic() - started:.0f} s")
    LOG.info("compiled: the next command starts at once")


main = function_command(__doc__, warmup)
