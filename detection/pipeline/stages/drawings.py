"""Stage: the first test images with their detections drawn on them: ``RUN/drawings``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from detection.data import DataError, read_image, write_image
from detection.learning import Calibration
from detection.pipeline.detector_parts import run_calibration
from detection.pipeline.experiment import Experiment
from detection.pipeline.stage import Stage
from detection.pipeline.stages.detections import DETECTIONS, read_detections
from detection.pipeline.work import Work
from detection.storage import fingerprint, readable_stems
from detection.types import AnnotatedImage, Detections
from detection.visualization import draw_detections, enlarge

# Test images that are drawn.
DRAWN_IMAGES = 24
# To be raised when a change of the code changes the drawings of the same detections.
_VERSION = 2


def draw_images(
    images: Sequence[AnnotatedImage],
    detections: Sequence[Detections],
    classes: Sequence[str],
    calibration: Calibration,
    folder: Path,
    work: Work,
) -> list[Path]:
    """Write a JPEG for each image that can be read, enlarged if it is small, with the detections that reach their
    class's threshold and their probabilities.

    Returns the files, in order; an image without a record in `detections` is drawn without boxes.
    """
    found = {one.image_id: one for one in detections}
    stems = readable_stems(one.image_id for one in images)
    written = []
    for image in images:
        try:
            drawn = read_image(image.path, image.size)
        except DataError as error:
            work.problems.skip_error(error)
            continue
        if image.image_id in found:
            one = found[image.image_id]
            shown = calibration.applied(one.chosen(calibration.shown(one)))
            drawn = draw_detections(*enlarge(drawn, shown), classes, rough=~calibration.trained)
        path = Path(folder) / f"{stems[image.image_id]}.jpg"
        write_image(path, drawn)
        written.append(path)
    return written


def drawn_files(experiment: Experiment) -> list[Path]:
    """The drawings on file, in the order of the test images."""
    stems = readable_stems(one.image_id for one in experiment.test_images[:DRAWN_IMAGES])
    paths = [experiment.run.drawings / f"{stem}.jpg" for stem in stems.values()]
    return [path for path in paths if path.is_file()]


def draw(experiment: Experiment) -> list[Path]:
    """`drawn_files`, made where they are not there yet."""
    DRAWINGS.make(experiment)
    return drawn_files(experiment)


def _key(experiment: Experiment) -> str:
    return fingerprint(_VERSION, DETECTIONS.key(experiment), run_calibration(experiment).to_arrays()[0])


def _run(experiment: Experiment) -> Mapping[str, Any]:
    written = draw_images(
        experiment.test_images[:DRAWN_IMAGES], read_detections(experiment), experiment.classes,
        run_calibration(experiment), experiment.run.drawings, experiment.work,
    )  # fmt: skip
    return {"images": len(written)}


DRAWINGS = Stage(
    name="drawings",
    command="detect",
    place=lambda experiment: experiment.run.drawings,
    key=_key,
    kept=lambda experiment: experiment.run.stage_key("drawings") if drawn_files(experiment) else None,
    run=_run,
    needs=lambda _: (DETECTIONS,),
)
