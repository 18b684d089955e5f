"""C and the weight of positives by cross-validation over the training images: a table, and RUN/tuning.json.

Every pair of --C and --positive_weight is tried: SVMs are trained on all folds but one and measured on that one,
without box regression; no test image is looked at. Nothing is changed: the settings of the best pair are printed.
"""

from __future__ import annotations

import sys

from jsonargparse import ArgumentParser, Namespace

from detection.config import run_tool
from detection.pipeline.experiment import Experiment
from detection.pipeline.validation import tune


def add_options(parser: ArgumentParser) -> None:
    """The tool's own options."""
    parser.add_argument(
        "--C", type=list[float], default=[0.001, 0.003, 0.01, 0.03], help="Values of svm.C to try; R-CNN has 0.001."
    )
    parser.add_argument(
        "--positive_weight", type=list[float], default=[1.0, 2.0, 4.0], help="Values of svm.positive_weight to try."
    )
    parser.add_argument("--folds", type=int, default=3, help="Parts into which the training images are divided.")
    parser.add_argument("--folds_seed", type=int, default=0, help="Seed of that division.")


def run(experiment: Experiment, options: Namespace) -> None:
    """Try all pairs."""
    tune(experiment, options.C, options.positive_weight, options.folds, options.folds_seed)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    return run_tool(__doc__, run, arguments, add_options)


if __name__ == "__main__":
    sys.exit(main())
