"""Stage: photos with their detections drawn on them, for looking at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from detection.data import DataError, read_image, write_image
from detection.learning import Calibration
from detection.pipeline.work import Work
from detection.storage import file_stem
from detection.types import AnnotatedImage, Detections
from detection.visualization import draw_detections, enlarge


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
        path = Path(folder) / f"{file_stem(image.image_id)}.jpg"
        write_image(path, drawn)
        written.append(path)
    return written
