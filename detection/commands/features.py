"""The cache of convolutional maps of a run.

info     every set of maps in RUN/features: its key, images, MiB and settings
verify   damaged files; exit status 1 if there are some
prune    remove all sets of maps but the one of the settings in force
"""

from detection.command_line import subcommands
from detection.commands.session import always, never, run_command
from detection.features import cache
from detection.option_parser import described
from detection.pipeline.experiment import Experiment


def info(experiment: Experiment) -> None:
    """Every set of maps in RUN/features: its key, images, MiB and settings.

    The set that the run uses is marked.

      sppnet maps info --run runs/mine
    """
    current = experiment.source.cache().key
    for one in cache.info(experiment.run.features):
        mark = " (in force)" if one.key == current else ""
        settings = ", ".join(f"{name} {value}" for name, value in one.about.items())
        print(f"{one.key}{mark}: {one.images} images, {one.bytes / 2**20:,.1f} MiB; {settings}")


def verify(experiment: Experiment) -> int:
    """Read every file of maps whole, and name those that are damaged; exit status 1 if there are some.

    What is damaged is made again when it is needed.

      sppnet maps verify --run runs/mine
    """
    damaged = cache.verify(experiment.run.features)
    state = f"{len(damaged)} files are damaged; they are made again when needed" if damaged else "every file is whole"
    print(*damaged, f"{experiment.run.features}: {state}", sep="\n")
    return 1 if damaged else 0


def prune(experiment: Experiment) -> None:
    """Remove all sets of maps but the one in force, and that of its mirrored images where the settings use them.

    Prints how much that frees.

      sppnet maps prune --run runs/mine
    """
    settings = experiment.settings
    mirrored = settings.finetune.flips or experiment.svm_settings.mirrored_positives or settings.postprocess.mirrored
    kept = {experiment.source.cache(one).key for one in {False, mirrored}}
    freed = cache.prune(experiment.run.features, kept)
    print(f"{experiment.run.features}: {freed / 2**20:,.1f} MiB freed")


main = subcommands(
    __doc__,
    {
        "info": run_command(described(info), info, writes=never, needs_run=always),
        "verify": run_command(described(verify), verify, writes=never, needs_run=always),
        "prune": run_command(described(prune), prune, needs_run=always),
    },
)
