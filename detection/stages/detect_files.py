"""Detection in a user's own photos and videos with a saved detector: drawn copies and JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from detection.data import (
    DataError,
    is_video,
    list_images,
    read_image,
    read_video,
    video_rate,
    write_coco_results,
    write_image,
    write_video,
)
from detection.detector import Detector, read_description
from detection.features import limit_threads
from detection.stages.work import Work, map_images
from detection.storage import file_stem, fingerprint, write_text
from detection.types import Detections
from detection.visualization import draw_detections, enlarge


@lru_cache(maxsize=1)
def _load(folder: Path, key: str, device: str) -> Detector:
    return Detector.load(folder, device)


def _targets(paths: Sequence[Path], out: Path) -> dict[Path, Path]:
    """The drawn copy of each file: under its own name where no other has it, else under its whole path.

    Raises ValueError where a copy would take the place of a file that is read.
    """
    counts = Counter(path.stem for path in paths)
    names = {path: file_stem(path.stem if counts[path.stem] == 1 else path.as_posix()) for path in paths}
    targets = {path: out / f"{name}{'.mp4' if is_video(path) else '.jpg'}" for path, name in names.items()}
    sources = {path.resolve() for path in paths}
    taken = [str(target) for target in targets.values() if target.resolve() in sources]
    if taken:
        raise ValueError(f"{out}: expected another folder than the images', a drawn copy would replace {taken[0]}")
    return targets


def _chances(detector: Detector, found: Detections) -> np.ndarray | None:
    return None if detector.calibration is None else detector.calibration.of(found)


def _detect_one(item: tuple[Path, Path], load: Callable[[], Detector], min_score: float, threads: int) -> Detections:
    path, target = item
    detector, rgb = load(), read_image(path)
    with limit_threads(threads):
        found = detector.detect(rgb, image_id=path.as_posix())
    # Margins and labels are those of the photo, whatever size it is drawn at.
    chances = _chances(detector, found)
    write_image(target, draw_detections(*enlarge(rgb, found), detector.classes, min_score, probabilities=chances))
    return found


def _detect_video(path: Path, detector: Detector, target: Path, min_score: float, work: Work) -> list[Detections]:
    found: list[Detections] = []
    work.console.print(f"{path} ...", highlight=False, markup=False)
    try:
        with limit_threads(work.threads):
            write_video(target, _detect_frames(path, detector, min_score, found), video_rate(path))
    except DataError as error:
        work.problems.skip_error(error)
    return found


def _detect_frames(path: Path, detector: Detector, min_score: float, found: list[Detections]) -> Iterator[np.ndarray]:
    """Yield the drawn frames of a video; the detections of frame i get the id ``PATH#i`` and go to `found`."""
    for number, frame in enumerate(read_video(path)):
        found.append(detector.detect(frame, image_id=f"{path.as_posix()}#{number}"))
        yield draw_detections(
            frame, found[-1], detector.classes, min_score, probabilities=_chances(detector, found[-1])
        )


def detect_files(
    detector_folder: Path | str, paths: Sequence[Path | str], out: Path | str, min_score: float, work: Work
) -> list[Detections]:
    """Detect in images, folders of images and videos; one record an image or frame.

    Writes to the folder `out`: a drawn copy of each image (``.jpg``; a tiny one enlarged) or video (``.mp4``) with the
    detections of at least `min_score` (SVM margin), ``detections.json`` with all of them (COCO results format; image_id
    is the path, for a video ``PATH#frame``, frames from 0; category_id the line of ``classes.txt`` from 1;
    probability, where the detector was calibrated), and ``classes.txt``. An image or video that cannot be read is
    listed in ``work.problems``.

    Raises DataError for a path that is not there or a folder without images, ValueError where a drawn copy would
    replace its original, and as ``Detector.load``.
    """
    folder, out = Path(detector_folder), Path(out)
    load = partial(_load, folder, fingerprint(read_description(folder)), work.device)
    videos = list(dict.fromkeys(Path(path) for path in paths if is_video(path)))
    images = list_images([path for path in paths if not is_video(path)])
    targets, detector = _targets([*images, *videos], out), load()
    task = partial(_detect_one, load=load, min_score=min_score, threads=work.threads)
    found = [one for _, one in map_images(task, [(path, targets[path]) for path in images], work, "detections")]
    for path in videos:
        found += _detect_video(path, detector, targets[path], min_score, work)
    chances = None if detector.calibration is None else [detector.calibration.of(one) for one in found]
    write_coco_results(out / "detections.json", found, chances)
    write_text(out / "classes.txt", "".join(f"{name}\n" for name in detector.classes))
    return found
