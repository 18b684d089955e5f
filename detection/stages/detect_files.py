"""Detection in a user's own photos and videos with a saved detector: drawn copies and JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from detection.data import is_video, list_images, read_image, read_video, video_rate, write_coco_results, write_image
from detection.data.video import write_video
from detection.detector import Detector
from detection.features import limit_threads
from detection.stages.work import Work, map_images
from detection.storage import file_stem, write_text
from detection.types import Detections
from detection.visualization import draw_detections


@lru_cache(maxsize=1)
def _load(folder: Path, device: str) -> Detector:
    return Detector.load(folder, device)


def _outputs(paths: Sequence[Path]) -> dict[Path, str]:
    """A file name without extension for each path: its own name where no other has it, else the whole path."""
    counts = Counter(path.stem for path in paths)
    return {path: file_stem(path.stem if counts[path.stem] == 1 else path.as_posix()) for path in paths}


def _detect_one(path: Path, folder: Path, names: dict[Path, str], out: Path, min_score: float, work_key) -> Detections:
    device, threads = work_key
    detector, rgb = _load(folder, device), read_image(path)
    with limit_threads(threads):
        found = detector.detect(rgb, image_id=path.as_posix())
    write_image(out / f"{names[path]}.jpg", draw_detections(rgb, found, detector.classes, min_score))
    return found


def _detect_frames(path: Path, detector: Detector, min_score: float, found: list[Detections]) -> Iterator[np.ndarray]:
    """Yield the drawn frames of a video; the detections of frame i get the id ``PATH#i`` and go to `found`."""
    for number, frame in enumerate(read_video(path)):
        found.append(detector.detect(frame, image_id=f"{path.as_posix()}#{number}"))
        yield draw_detections(frame, found[-1], detector.classes, min_score)


def detect_files(
    detector_folder: Path | str, paths: Sequence[Path | str], out: Path | str, min_score: float, work: Work
) -> list[Detections]:
    """Detect in images, folders of images and videos; one record an image or frame.

    Writes to the folder `out`: a drawn copy of each image (``.jpg``) or video (``.mp4``) with the detections
    of at least `min_score` (SVM margin), ``detections.json`` with all of them (COCO results format; image_id
    is the path, for a video ``PATH#frame``; category_id the line of ``classes.txt`` from 1), and
    ``classes.txt``. Raises FileNotFoundError for a path that is not there. An image that cannot be read is
    listed in ``work.problems``.
    """
    folder, out = Path(detector_folder), Path(out)
    detector = _load(folder, work.device)
    videos = [Path(path) for path in paths if is_video(path)]
    images = list_images([path for path in paths if not is_video(path)])
    names = _outputs([*images, *videos])
    task = partial(
        _detect_one, folder=folder, names=names, out=out, min_score=min_score, work_key=(work.device, work.threads)
    )
    found = [one for _, one in map_images(task, images, work, "detections")]
    for path in videos:
        work.console.print(f"{path} ...", highlight=False)
        with limit_threads(work.threads):
            write_video(out / f"{names[path]}.mp4", _detect_frames(path, detector, min_score, found), video_rate(path))
    write_coco_results(out / "detections.json", found)
    write_text(out / "classes.txt", "".join(f"{name}\n" for name in detector.classes))
    return found
