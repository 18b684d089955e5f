"""Detection in a user's own photos and videos with a saved detector: drawn copies and JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
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
from detection.detector import Detector
from detection.engines import single_threaded_pool
from detection.parallel import ordered_map
from detection.pipeline.work import Work, map_images
from detection.storage import file_stem, write_text
from detection.types import Detections
from detection.visualization import draw_detections, enlarge


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


def _detect_one(item: tuple[Path, Path], detector: Detector, min_score: float, threads: int) -> Detections:
    path, target = item
    rgb = read_image(path)
    found = detector.detect(rgb, path.as_posix(), threads)
    # Margins and labels are those of the photo, whatever size it is drawn at.
    chances = _chances(detector, found)
    write_image(target, draw_detections(*enlarge(rgb, found), detector.classes, min_score, probabilities=chances))
    return found


def _detect_video(
    path: Path, detector: Detector, target: Path, min_score: float, work: Work, pool: Executor
) -> list[Detections]:
    """The detections of frame i get the id ``PATH#i``."""
    found: list[Detections] = []

    def drawn_frames() -> Iterator[np.ndarray]:
        task = partial(
            _detect_frame, detector=detector, name=path.as_posix(), min_score=min_score, threads=work.threads
        )
        for detections, drawn in ordered_map(task, enumerate(read_video(path)), pool, work.workers):
            found.append(detections)
            yield drawn

    work.console.print(f"{path} ...", highlight=False, markup=False)
    try:
        write_video(target, drawn_frames(), video_rate(path))
    except DataError as error:
        work.problems.skip_error(error)
    return found


def _detect_frame(
    numbered: tuple[int, np.ndarray], detector: Detector, name: str, min_score: float, threads: int
) -> tuple[Detections, np.ndarray]:
    number, frame = numbered
    found = detector.detect(frame, f"{name}#{number}", threads)
    return found, draw_detections(frame, found, detector.classes, min_score, probabilities=_chances(detector, found))


def detect_files(
    detector_folder: Path | str, paths: Sequence[Path | str], out: Path | str, min_score: float, work: Work
) -> list[Detections]:
    """Detect in images, folders of images and videos; one record an image or frame.

    Writes to the folder `out`: a drawn copy of each image (``.jpg``; a tiny one enlarged) or video (``.mp4``) with the
    detections of at least `min_score` (SVM margin), ``detections.json`` with all of them (COCO results format; image_id
    is the path, for a video ``PATH#frame``, frames from 0; category_id the line of ``classes.txt`` from 1;
    probability, where the detector was calibrated), and ``classes.txt``. An image or video that cannot be read is
    listed in ``work.problems``.

    ``work.workers`` images or frames are worked on at a time, in threads of this process, with ``work.threads``
    threads each for its proposals and scales; no bit depends on either.

    Raises DataError for a path that is not there or a folder without images, ValueError where a drawn copy would
    replace its original, and as ``Detector.load``.
    """
    out, detector = Path(out), Detector.load(detector_folder, work.device)
    videos = list(dict.fromkeys(Path(path) for path in paths if is_video(path)))
    images = list_images([path for path in paths if not is_video(path)])
    targets = _targets([*images, *videos], out)
    task = partial(_detect_one, detector=detector, min_score=min_score, threads=work.threads)
    with single_threaded_pool(work.workers) as pool:
        items, pooled = [(path, targets[path]) for path in images], replace(work, executor=pool)
        found = [one for _, one in map_images(task, items, pooled, "detections")]
        for path in videos:
            found += _detect_video(path, detector, targets[path], min_score, work, pool)
    chances = None if detector.calibration is None else [detector.calibration.of(one) for one in found]
    write_coco_results(out / "detections.json", found, chances)
    write_text(out / "classes.txt", "".join(f"{name}\n" for name in detector.classes))
    return found
