"""Stage: detections for every image of a split, from its cached proposals and maps."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from pathlib import Path

from detection.detector import Detector
from detection.engines import limit_threads
from detection.pipeline.source import ImageSource
from detection.pipeline.work import Work, map_images
from detection.storage import file_stem, read_arrays, write_arrays
from detection.types import AnnotatedImage, Detections

PARTS_FORMAT_VERSION = "1"


@lru_cache(maxsize=1)
def shared_detector(folder: Path, key: str, device: str) -> Detector:
    """The detector in a folder, loaded once a process; `key` tells it from others that the folder has held."""
    return Detector.load(folder, device=device)


def _detect_one(
    item: tuple[AnnotatedImage, ImageSource],
    detector_folder: Path,
    parts: Path,
    key: str,
) -> Detections:
    image, source = item
    path = parts / f"{file_stem(image.image_id)}.safetensors"
    found = _read_part(path, image.image_id, key)
    if found is None:
        detector = shared_detector(detector_folder, key, source.device)
        with limit_threads(source.threads):
            found = detector.detect_proposals(source.proposals(image), source.pyramid(image))
        arrays = {"boxes": found.boxes, "scores": found.scores, "labels": found.labels}
        write_arrays(path, arrays, {"format_version": PARTS_FORMAT_VERSION, "image_id": image.image_id, "key": key})
    return found


def _read_part(path: Path, image_id: str, key: str) -> Detections | None:
    try:
        arrays, metadata = read_arrays(path)
    except (FileNotFoundError, ValueError):
        return None
    if metadata != {"format_version": PARTS_FORMAT_VERSION, "image_id": image_id, "key": key}:
        return None
    return Detections(image_id, arrays["boxes"], arrays["scores"], arrays["labels"])


def detect_images(
    source: ImageSource,
    images: Sequence[AnnotatedImage],
    detector_folder: Path,
    parts: Path,
    key: str,
    work: Work,
) -> list[Detections]:
    """Detections of each image in order; an unusable image has none and is listed in ``work.problems``.

    detector_folder: what ``Detector.save`` wrote. parts: folder for the results of single images, with which an
    interrupted run goes on; `key` tells results of other detectors and settings apart.
    """
    task = partial(_detect_one, detector_folder=detector_folder, parts=Path(parts), key=key)
    items = [(one, source.of(one)) for one in images]
    return [found for _, found in map_images(task, items, work, "detections")]
