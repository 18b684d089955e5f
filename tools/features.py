"""The cache of convolutional maps of a run.

usage: python tools/features.py info | verify | prune --run RUN [--config FILE]

info     for every set of maps in RUN/features: its key, images, bytes and settings
verify   read every file whole; list those that are damaged (exit status 1 if there are some)
prune    remove all sets of maps but the one of the settings in force
"""

from __future__ import annotations

import sys

from jsonargparse import Namespace

from detection.config import run_tool
from detection.features.cache import info, prune, verify
from detection.stages.experiment import Experiment


def print_info(experiment: Experiment, _: Namespace) -> None:
    """Print a line for every set of maps."""
    current = experiment.source.cache().key
    for one in info(experiment.run.features):
        mark = " (in force)" if one.key == current else ""
        print(f"{one.key}{mark}: {one.images} images, {one.bytes / 2**20:,.1f} MiB")


def check(experiment: Experiment, _: Namespace) -> None:
    """Raise ValueError naming the damaged files."""
    damaged = verify(experiment.run.features)
    if damaged:
        raise ValueError(
            "\n".join([f"{len(damaged)} files are damaged; they will be made again when needed", *damaged])
        )
    print(f"{experiment.run.features}: every file is whole")


def remove_others(experiment: Experiment, _: Namespace) -> None:
    """Remove all sets of maps but the one in force."""
    freed = prune(experiment.run.features, {experiment.source.cache().key})
    print(f"{experiment.run.features}: {freed / 2**20:,.1f} MiB freed")


COMMANDS = {"info": print_info, "verify": check, "prune": remove_others}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] not in COMMANDS:
        print(__doc__)
        return 0 if arguments and arguments[0] in ("-h", "--help") else 2
    return run_tool(__doc__, COMMANDS[arguments[0]], arguments[1:])


if __name__ == "__main__":
    sys.exit(main())
