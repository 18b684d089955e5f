"""Stage: what is shown of the test images' detections, drawn on the first of them and as tables: ``RUN/drawings``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from detection.data import DataError, read_image, write_image
from detection.data.shown_tables import SHOWN_TABLES, write_shown_tables
from detection.pipeline.detector_parts import run_calibration
from detection.pipeline.experiment import Experiment
from detection.pipeline.stage import Stage, recorded
from detection.pipeline.stages.detections import DETECTIONS, read_detections
from detection.pipeline.work import Work
from detection.storage import fingerprint, readable_paths
from detection.types import AnnotatedImage, Detections
from detection.visualization import draw_detections, enlarge

# Test images that are drawn.
DRAWN_IMAGES = 24
# To be raised when a change of the code changes the drawings of the same detections.
_VERSION = 3


def draw_images(
    images: Sequence[AnnotatedImage],
    shown: Sequence[Detections],
    classes: Sequence[str],
    calibrated: np.ndarray,
    folder: Path,
    work: Work,
) -> list[Path]:
    """Write a JPEG for each image that can be read, enlarged if it is small, with the `shown` detections.

    shown: with their probabilities. Returns the files, in order; an image without a record in `shown` is drawn without
    boxes.
    """
    found = {one.image_id: one for one in shown}
    paths = _paths(images)
    written = []
    for image in images:
        try:
            drawn = read_image(image.path, image.size)
        except DataError as error:
            work.problems.skip_error(error)
            continue
        if image.image_id in found:
            drawn = draw_detections(*enlarge(drawn, found[image.image_id]), classes, rough=~calibrated)
        path = Path(folder) / paths[image.image_id]
        write_image(path, drawn)
        written.append(path)
    return written


def drawn_files(experiment: Experiment) -> list[Path]:
    """The drawings on file, in the order of the test images."""
    paths = [experiment.run.drawings / path for path in _paths(experiment.test_images[:DRAWN_IMAGES]).values()]
    return [path for path in paths if path.is_file()]


def _paths(images: Sequence[AnnotatedImage]) -> dict[str, Path]:
    """Image id -> its drawing below the folder, in order."""
    paths = readable_paths(one.image_id for one in images)
    return {image_id: path.with_name(f"{path.name}.jpg") for image_id, path in paths.items()}


def _tables(experiment: Experiment) -> tuple[Path, ...]:
    return tuple(experiment.run.drawings / name for name in SHOWN_TABLES)


def draw(experiment: Experiment) -> list[Path]:
    """`drawn_files`, made where they are not there yet."""
    DRAWINGS.make(experiment)
    return drawn_files(experiment)


def _key(experiment: Experiment) -> str:
    return fingerprint(_VERSION, DETECTIONS.key(experiment), run_calibration(experiment).to_arrays()[0])


def _run(experiment: Experiment) -> Mapping[str, Any]:
    calibration, folder = run_calibration(experiment), experiment.run.drawings
    found = read_detections(experiment)
    # They come one by one in the place of others, which the record must not vouch for any more.
    experiment.run.forget_stage("drawings")
    shown = [calibration.applied(one.chosen(calibration.shown(one))) for one in found]
    written = draw_images(
        experiment.test_images[:DRAWN_IMAGES], shown, experiment.classes, calibration.trained, folder, experiment.work
    )
    write_shown_tables(folder, shown, experiment.classes, calibration.trained)
    return {"images": len(written)}


DRAWINGS = Stage(
    name="drawings",
    command="detect",
    place=lambda experiment: experiment.run.drawings,
    key=_key,
    kept=lambda experiment: recorded(experiment, "drawings", *_tables(experiment)) if drawn_files(experiment) else None,
    run=_run,
    needs=lambda _: (DETECTIONS,),
    files=_tables,
)
