"""C and the weight of positives by cross-validation over the training images: a table, and RUN/tuning.json.

Every pair of --C and --positive_weight is tried: SVMs are trained on all folds but one and measured on that one,
without box regression; no test image is looked at. Nothing is changed: the settings of the best pair are printed.
After a training --quick true finds about the same in far less time, on the samples that it mined.

  sppnet tune --run runs/mine --quick true
  sppnet tune --run runs/mine --C 0.003,0.01,0.03 --positive_weight 1,2
"""

from detection.commands.session import run_command
from detection.pipeline import validation
from detection.pipeline.experiment import Experiment


def tune(
    experiment: Experiment,
    C: tuple[float, ...] = (0.001, 0.003, 0.01, 0.03),
    positive_weight: tuple[float, ...] = (1.0, 2.0, 4.0),
    folds: int = 3,
    folds_seed: int = 0,
    quick: bool = False,
) -> None:
    """Try all pairs.

    Args:
        experiment: The run.
        C: Values of svm.C to try; R-CNN has 0.001.
        positive_weight: Values of svm.positive_weight to try.
        folds: Parts into which the training images are divided.
        folds_seed: Seed of that division.
        quick: Mine nothing: train on the samples that the run's own training kept, and measure on 150 photos at most.
    """
    validation.tune(experiment, C, positive_weight, folds, folds_seed, quick)


main = run_command(__doc__, tune)
