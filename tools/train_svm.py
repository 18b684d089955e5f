"""Linear SVMs, one a class, with hard-negative mining: RUN/detector/.

Proposals and maps that are absent are made first. The log of the mining is RUN/detector/mining.csv; an interrupted
training goes on behind the last image that was done.

One class of a trained detector, the others' detections staying as they are, bit for bit:
  --add zebra --photos FOLDER    trains zebra (and its box regressor) on new photos; negatives come from the run's
                                 training images too: no zebra must be in them
  --drop zebra                   takes it out
  --rename zebra okapi           gives it another name
"""

from __future__ import annotations

import sys

from jsonargparse import ArgumentParser, Namespace

from detection.config import run_tool
from detection.data import DatasetSettings, DatasetSource
from detection.pipeline.class_changes import add_class, drop_class, rename_class
from detection.pipeline.experiment import Experiment
from detection.pipeline.stages.svms import SVMS


def add_options(parser: ArgumentParser) -> None:
    """The tool's own options."""
    parser.add_argument("--add", type=str, metavar="CLASS", help="Train this class on --photos and add it.")
    parser.add_argument("--photos", type=str, metavar="FOLDER", help="With --add: root of the data set of new photos.")
    parser.add_argument(
        "--photos_year", type=str, default=DatasetSource.year, help="With --add: as dataset.train.year, of the new set."
    )
    parser.add_argument(
        "--photos_split", type=str, default="trainval", help="With --add: the split of the new set to train on."
    )
    parser.add_argument("--drop", type=str, metavar="CLASS", help="Take this class out of the detector.")
    parser.add_argument(
        "--rename", type=str, nargs=2, metavar=("OLD", "NEW"), help="Give a class of the detector another name."
    )


def train(experiment: Experiment, options: Namespace) -> None:
    """Train all classes, or change one."""
    asked = [name for name in ("add", "drop", "rename") if options[name]]
    if len(asked) > 1:
        raise ValueError(f"expected one of --add, --drop and --rename at a time, got {', '.join(asked)}")
    if bool(options.add) != bool(options.photos):
        raise ValueError("--add CLASS and --photos FOLDER belong together, got one of them")
    if options.add:
        sources = (DatasetSource(year=options.photos_year, split=options.photos_split),)
        add_class(experiment, options.add, DatasetSettings(root=options.photos, train=sources))
    elif options.drop:
        drop_class(experiment, options.drop)
    elif options.rename:
        rename_class(experiment, *options.rename)
    else:
        SVMS.make(experiment)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    return run_tool(__doc__, train, arguments, add_options)


if __name__ == "__main__":
    sys.exit(main())
