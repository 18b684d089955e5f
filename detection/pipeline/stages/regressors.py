"""Stage: one box regressor a class, on pooled vectors: ``RUN/detector``."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from detection.detector import Detector
from detection.engines import limit_threads
from detection.learning import BoxRegressors, RegressionCheckpoint, RegressionSettings, train_regressors
from detection.pipeline.detector_parts import check_no_edits, kept_part, part_key, trained_keys
from detection.pipeline.experiment import Experiment
from detection.pipeline.keys import pass_key
from detection.pipeline.source import ImageSource
from detection.pipeline.stage import Stage, begin
from detection.pipeline.stages.images import usable
from detection.pipeline.stages.svms import SVMS
from detection.pipeline.vectors import near_objects, stream_images
from detection.pipeline.work import Work, threads
from detection.types import AnnotatedImage


def _run(experiment: Experiment) -> Mapping[str, Any]:
    """Train them and add them to the detector, whose calibration goes: other boxes, other chances of being right."""
    check_no_edits(experiment)
    images, key, classes = usable(experiment, experiment.train_images), REGRESSORS.key(experiment), experiment.classes
    begin(experiment, "regressors", key)
    checkpoint = RegressionCheckpoint(experiment.run.regression, pass_key(key, images))
    with limit_threads(experiment.work.threads):
        regressors = train_box_regressors(
            experiment.source, images, len(classes), experiment.settings.regression, experiment.work, checkpoint
        )
    detector = Detector.load(experiment.run.detector)
    notes = {**trained_keys(experiment), "regressors": key}
    dataclasses.replace(detector, regressors=regressors, notes=notes, calibration=None).save(experiment.run.detector)
    trained = [name for name, there in zip(classes, regressors.trained, strict=True) if there]
    return {"images": len(images), "trained": trained}


REGRESSORS = Stage(
    name="regressors",
    command="regress",
    place=lambda experiment: experiment.run.detector,
    key=lambda experiment: part_key(experiment, "regressors"),
    kept=lambda experiment: kept_part(experiment, "regressors"),
    run=_run,
    needs=lambda _: (SVMS,),
    cleared=lambda experiment: RegressionCheckpoint(experiment.run.regression, REGRESSORS.key(experiment)).remove_own(),
)


def train_box_regressors(
    source: ImageSource,
    images: Sequence[AnnotatedImage],
    num_classes: int,
    settings: RegressionSettings,
    work: Work,
    checkpoint: RegressionCheckpoint | None = None,
) -> BoxRegressors:
    """Train one box regressor a class on pooled vectors (paper, section 4.1: pool5); `images` as for the SVMs.

    checkpoint: where an interrupted training goes on.
    """
    near, done = near_objects(len(images), settings), checkpoint.images_done() if checkpoint else 0
    with work.progress("box regression", len(images), done) as advance, threads(work.pooling_threads) as executor:
        return train_regressors(
            lambda after=None: stream_images(source, images, "pool5", work, advance, near, after),
            num_classes,
            settings,
            executor=executor,
            checkpoint=checkpoint,
        )
