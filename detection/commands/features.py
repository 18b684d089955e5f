"""The cache of convolutional maps of a run.

usage: python tools/features.py info | verify | prune --run RUN [--config FILE]

info     for every set of maps in RUN/features: its key, images, bytes and settings
verify   read every file whole; list those that are damaged (exit status 1 if there are some)
prune    remove all sets of maps but the one of the settings in force
"""

from detection.command_line import subcommands
from detection.commands.session import always, never, run_command
from detection.features import cache
from detection.pipeline.experiment import Experiment


def info(experiment: Experiment) -> None:
    """Print a line for every set of maps."""
    current = experiment.source.cache().key
    for one in cache.info(experiment.run.features):
        mark = " (in force)" if one.key == current else ""
        settings = ", ".join(f"{name} {value}" for name, value in one.about.items())
        print(f"{one.key}{mark}: {one.images} images, {one.bytes / 2**20:,.1f} MiB; {settings}")


def verify(experiment: Experiment) -> int:
    """Name the damaged files; the exit status."""
    damaged = cache.verify(experiment.run.features)
    state = f"{len(damaged)} files are damaged; they are made again when needed" if damaged else "every file is whole"
    print(*damaged, f"{experiment.run.features}: {state}", sep="\n")
    return 1 if damaged else 0


def prune(experiment: Experiment) -> None:
    """Remove all sets of maps but the one in force, and its mirrored images' where training uses them."""
    mirrored = experiment.settings.finetune.flips or experiment.settings.svm.mirrored_positives
    kept = {experiment.source.cache(one).key for one in {False, mirrored}}
    freed = cache.prune(experiment.run.features, kept)
    print(f"{experiment.run.features}: {freed / 2**20:,.1f} MiB freed")


main = subcommands(
    __doc__,
    {
        "info": run_command(__doc__, info, writes=never, needs_run=always),
        "verify": run_command(__doc__, verify, writes=never, needs_run=always),
        "prune": run_command(__doc__, prune, needs_run=always),
    },
)
