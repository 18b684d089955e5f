"""Stage: the first test images with their detections drawn on them: ``RUN/drawings``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from detection.data import DataError, read_image, write_image
from detection.detector_files import read_calibration
from detection.learning import Calibration
from detection.pipeline.experiment import Experiment
from detection.pipeline.stage import Stage
from detection.pipeline.stages.detections import DETECTIONS, read_detections
from detection.pipeline.work import Work
from detection.storage import fingerprint, readable_stems
from detection.types import AnnotatedImage, Detections
from detection.visualization import draw_detections, enlarge

# Test images that are drawn, and the least SVM margin of the detections on them (SPP_net, spp_demo.m: -0.5).
DRAWN_IMAGES = 24
DRAWN_MIN_SCORE = -0.5


def draw_images(
    images: Sequence[AnnotatedImage],
    detections: Sequence[Detections],
    classes: Sequence[str],
    min_score: float,
    folder: Path,
    work: Work,
    calibration: Calibration | None = None,
) -> list[Path]:
    """Write a JPEG with the detections of at least `min_score` (SVM margin) for each image that can be read,
    enlarged if it is small.

    calibration: of the detector, to show probabilities behind the margins. Returns the files, in order; an image
    without a record in `detections` is drawn without boxes.
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
            chances = None if calibration is None else calibration.of(one)
            drawn = draw_detections(*enlarge(drawn, one), classes, min_score, probabilities=chances)
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


def _calibration(experiment: Experiment) -> Calibration | None:
    return read_calibration(experiment.run.detector) if experiment.trained() else None


def _key(experiment: Experiment) -> str:
    key, calibration = DETECTIONS.key(experiment), _calibration(experiment)
    return key if calibration is None else fingerprint(key, calibration.to_arrays()[0])


def _run(experiment: Experiment) -> Mapping[str, Any]:
    written = draw_images(
        experiment.test_images[:DRAWN_IMAGES], read_detections(experiment), experiment.classes, DRAWN_MIN_SCORE,
        experiment.run.drawings, experiment.work, _calibration(experiment),
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
