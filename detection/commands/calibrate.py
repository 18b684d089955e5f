"""Probabilities of detections, and from which one on a class is shown: stored with the detector in RUN/detector/.

`sppnet run` does so at the end of training. SVMs are trained again without one part of the training images after the
other, on the samples that mining kept; what they find in the part left out tells how often a margin is right. A sigmoid
is fitted to that for each class (Platt scaling), and the class is shown from where F1 is best, or from where the share
of right boxes is that of --precision, 0 to 1. --help-all has the further settings, under calibration.

Then the probabilities are measured on the detections of the test split, where there are some: a table, the expected
calibration error, RUN/evaluation/SPLIT-reliability.json and .png.

  sppnet calibrate --run runs/mine
  sppnet calibrate --run runs/mine --precision 0.9
"""

from detection.command_line import command, say
from detection.commands.renamed import renamed_options
from detection.commands.session import always, run_command
from detection.pipeline.experiment import Experiment
from detection.pipeline.reliability import chart_path, measure_reliability
from detection.pipeline.stages.calibration import CALIBRATION
from detection.pipeline.stages.detections import detections_file

_SHORT = {"--precision": "--calibration.precision"}
_RENAMED = {
    "--folds": "--calibration.folds",
    "--folds_seed": "--calibration.seed",
    "--min_margin": "--calibration.min_margin",
}


def calibrate(experiment: Experiment, bins: int = 10) -> None:
    """Calibrate and measure.

    Args:
        experiment: The run.
        bins: Bins of the measurement, of equal width from 0 to 1.
    """
    CALIBRATION.make(experiment)
    if experiment.settings.dataset.test and detections_file(experiment).is_file():
        measure_reliability(experiment, bins)
        say(experiment.work.console, f"chart: {chart_path(experiment)}")


def _run(arguments: list[str]) -> int:
    return run_command(__doc__, calibrate, needs_run=always)(renamed_options(arguments, _RENAMED, _SHORT))


main = command(_run)
