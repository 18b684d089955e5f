"""Probabilities beside the margins: stored with the detector in RUN/detector/.

SVMs and box regressors are trained again without one part of the training images after the other; what they find in
the part left out tells how often a margin is right, and a sigmoid is fitted to that for each class (Platt scaling).
Then the probabilities are measured on the detections of the test split, where there are some: a table, the expected
calibration error, RUN/evaluation/SPLIT-reliability.json and .png.
"""

from __future__ import annotations

import sys

from jsonargparse import ArgumentParser, Namespace

from detection.config import run_tool
from detection.detector import Detector
from detection.pipeline.experiment import Experiment
from detection.pipeline.validation import calibrate, chart_path, measure_reliability


def add_options(parser: ArgumentParser) -> None:
    """The tool's own options."""
    parser.add_argument("--folds", type=int, default=3, help="Parts into which the training images are divided.")
    parser.add_argument("--folds_seed", type=int, default=0, help="Seed of that division.")
    parser.add_argument("--bins", type=int, default=10, help="Bins of the measurement, of equal width from 0 to 1.")
    parser.add_argument(
        "--min_margin", type=float, default=-1.0, help="Least SVM margin of detections that are fitted and measured."
    )


def run(experiment: Experiment, options: Namespace) -> None:
    """Calibrate and measure."""
    calibrate(experiment, options.folds, options.folds_seed, options.min_margin)
    if experiment.settings.dataset.test and experiment.detections_file.is_file():
        detector = Detector.load(experiment.run.detector)
        measure_reliability(experiment, detector, options.bins, options.min_margin)
        experiment.work.console.print(f"chart: {chart_path(experiment)}", highlight=False, markup=False)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    return run_tool(__doc__, run, arguments, add_options)


if __name__ == "__main__":
    sys.exit(main())
