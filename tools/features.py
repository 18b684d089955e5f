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
from detection.pipeline.experiment import Experiment


def print_info(experiment: Experiment, _: Namespace) -> None:
    """Print a line for every set of maps."""
    current = experiment.source.cache().key
    for one in info(experiment.run.features):
        mark = " (in force)" if one.key == current else ""
        settings = ", ".join(f"{name} {value}" for name, value in one.about.items())
        print(f"{one.key}{mark}: {one.images} images, {one.bytes / 2**20:,.1f} MiB; {settings}")


def check(experiment: Experiment, _: Namespace) -> int:
    """Name the damaged files; the exit status."""
    damaged = verify(experiment.run.features)
    for line in damaged:
        print(line)
    state = f"{len(damaged)} files are damaged; they are made again when needed" if damaged else "every file is whole"
    print(f"{experiment.run.features}: {state}")
    return 1 if damaged else 0


def remove_others(experiment: Experiment, _: Namespace) -> None:
    """Remove all sets of maps but the one in force, and its mirrored images' where training uses them."""
    mirrored = experiment.settings.finetune.flips or experiment.settings.svm.mirrored_positives
    kept = {experiment.source.cache(one).key for one in {False, mirrored}}
    freed = prune(experiment.run.features, kept)
    print(f"{experiment.run.features}: {freed / 2**20:,.1f} MiB freed")


COMMANDS = {"info": print_info, "verify": check, "prune": remove_others}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    command, *rest = (sys.argv[1:] if arguments is None else arguments) or [""]
    if command in ("-h", "--help"):
        return run_tool(__doc__, COMMANDS[next(iter(COMMANDS))], [command])
    if command not in COMMANDS:
        print(f"error: expected one of {', '.join(COMMANDS)}, got {command!r}\n\n{__doc__}", file=sys.stderr)
        return 2
    return run_tool(__doc__, COMMANDS[command], rest)


if __name__ == "__main__":
    sys.exit(main())
