"""Probabilities of detections, next to their margins: stored with the detector in RUN/detector/.

SVMs and box regressors are trained again without one part of the training images after the other; what they find in
the part left out tells how often a margin is right, and a sigmoid is fitted to that for each class (Platt scaling).
Then the probabilities are measured on the detections of the test split, where there are some: a table, the expected
calibration error, RUN/evaluation/SPLIT-reliability.json and .png.

  sppnet calibrate --run runs/mine
"""

from detection.command_line import say
from detection.commands.session import always, run_command
from detection.detector import Detector
from detection.pipeline import validation
from detection.pipeline.experiment import Experiment
from detection.pipeline.stages.detections import detections_file


def calibrate(
    experiment: Experiment, folds: int = 3, folds_seed: int = 0, bins: int = 10, min_margin: float = -1.0
) -> None:
    """Calibrate and measure.

    Args:
        experiment: The run.
        folds: Parts into which the training images are divided.
        folds_seed: Seed of that division.
        bins: Bins of the measurement, of equal width from 0 to 1.
        min_margin: Least SVM margin of detections that are fitted and measured.
    """
    validation.calibrate(experiment, folds, folds_seed, min_margin)
    if experiment.settings.dataset.test and detections_file(experiment).is_file():
        validation.measure_reliability(experiment, Detector.load(experiment.run.detector), bins, min_margin)
        say(experiment.work.console, f"chart: {validation.chart_path(experiment)}")


main = run_command(__doc__, calibrate, needs_run=always)
