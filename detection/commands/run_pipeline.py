"""The whole pipeline: proposals, maps, SVMs, box regression, detection, drawing, evaluation, report.

Each stage is passed over where what it would make is there already, so the same command goes on after an
interruption, and a changed setting redoes just the stages that depend on it.

  sppnet run --config custom --dataset.root photos --run runs/mine
  sppnet run --config custom --dataset.root photos --run runs/mine --dry-run
"""

from detection.command_line import FLAG, say
from detection.commands.run_cost import cost_of, free_bytes, sample_of
from detection.commands.session import run_command
from detection.pipeline.experiment import Experiment
from detection.pipeline.runner import run_all


def run(experiment: Experiment, dry_run: bool = False) -> None:
    """Run all stages.

    Args:
        experiment: The run.
        dry_run: Say from 20 photos what a whole run takes on disk, in memory and in time, and make nothing.
    """
    if not dry_run:
        run_all(experiment)
        return
    sample = sample_of(experiment)
    cost = cost_of(experiment, sample)
    heading = f"{cost.photos} photos, by {sample.photos} of them"
    say(experiment.work.console, heading, *cost.lines(free_bytes(experiment.run.path)))


main = run_command(__doc__, run, {"--dry-run": FLAG}, lambda options: not options.dry_run)
