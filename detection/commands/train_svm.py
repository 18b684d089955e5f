"""Linear SVMs, one a class, with hard-negative mining: RUN/detector/.

Proposals and maps that are absent are made first. The log of the mining is RUN/detector/mining.csv; an interrupted
training goes on behind the last image that was done.

One class of a trained detector can be added, dropped or renamed; the others' detections stay as they are, bit for bit.
--add trains it, and its box regressor, on new photos; negatives come from the run's training images too, on which it
must not be.

  sppnet train --run runs/mine
  sppnet train --run runs/mine --add zebra --photos zebras
  sppnet train --run runs/mine --rename zebra okapi
"""

from detection.commands.session import run_command
from detection.data import DatasetSettings, DatasetSource
from detection.pipeline.class_changes import add_class, drop_class, rename_class
from detection.pipeline.experiment import Experiment
from detection.pipeline.stages.svms import SVMS


def train_svm(
    experiment: Experiment,
    add: str | None = None,
    photos: str | None = None,
    photos_year: str = DatasetSource.year,
    photos_split: str = "trainval",
    drop: str | None = None,
    rename: list[str] | None = None,
) -> None:
    """Train all classes, or change one.

    Args:
        experiment: The run.
        add: Train this class on --photos and add it.
        photos: With --add: root of the data set of new photos.
        photos_year: With --add: as dataset.train.year, of the new set.
        photos_split: With --add: the split of the new set to train on.
        drop: Take this class out of the detector.
        rename: Give a class of the detector another name.
    """
    asked = [f"--{name}" for name, value in (("add", add), ("drop", drop), ("rename", rename)) if value]
    if len(asked) > 1:
        raise ValueError(f"expected one of --add, --drop and --rename at a time, got {', '.join(asked)}")
    if bool(add) != bool(photos):
        raise ValueError("--add CLASS and --photos FOLDER belong together, got one of them")
    if add:
        sources = (DatasetSource(year=photos_year, split=photos_split),)
        add_class(experiment, add, DatasetSettings(root=photos, train=sources))
    elif drop:
        drop_class(experiment, drop)
    elif rename:
        rename_class(experiment, *rename)
    else:
        SVMS.make(experiment)


_NAME = {"type": str}  # as it is typed, no YAML: a class may be called null
main = run_command(
    __doc__,
    train_svm,
    {"--add": _NAME, "--drop": _NAME, "--rename": {**_NAME, "nargs": 2, "metavar": ("OLD", "NEW")}},
    needs_run=lambda options: bool(options.add or options.drop or options.rename),
)
