"""Stage: several detectors together, by NMS on the union of their scored proposals (SPP-net paper, Table 12)."""

from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path

import numpy as np

from detection.detector import Detector
from detection.engines import limit_threads
from detection.learning import PostprocessSettings, postprocess
from detection.pipeline.experiment import Experiment
from detection.pipeline.source import ImageSource
from detection.pipeline.work import Work, map_images
from detection.types import AnnotatedImage, Detections, RegionScores


def united(scored: Sequence[RegionScores]) -> RegionScores:
    """The proposals of several detectors of the same classes in one image, one detector's after the other's.

    Raises ValueError where image or classes differ, or there is none.
    """
    found = sorted({(one.image_id, one.scores.shape[1]) for one in scored})
    if len(found) != 1:
        raise ValueError(f"combine: expected scores of one image and number of classes, got {found}")
    boxes, scores = (np.concatenate([getattr(one, name) for one in scored]) for name in ("boxes", "scores"))
    return RegionScores(scored[0].image_id, boxes, scores)


def check_combinable(experiments: Sequence[Experiment]) -> None:
    """Raise ValueError unless all runs have the same classes and test images, and a trained detector."""
    first = experiments[0]
    for one in experiments[1:]:
        if one.classes != first.classes:
            raise ValueError(f"{one.run.path}: expected the classes of {first.run.path}, got {', '.join(one.classes)}")
        ids, expected = ([image.image_id for image in run.test_images] for run in (one, first))
        if ids != expected:
            raise ValueError(
                f"{one.run.path}: expected the {len(expected)} test images of {first.run.path}, got {len(ids)} others"
            )
    for one in experiments:
        if not one.trained():
            raise ValueError(f"{one.run.detector}: expected a trained detector, found none")


def combine_detections(
    experiments: Sequence[Experiment], settings: PostprocessSettings, work: Work
) -> list[Detections]:
    """Detections of the runs' detectors together in each test image, in order. See `check_combinable`.

    Each detector scores its own run's proposals. settings: what becomes of the union.
    """
    check_combinable(experiments)
    parts = tuple((one.source, one.run.detector) for one in experiments)
    task = partial(_combine_one, parts=parts, settings=settings)
    return [found for _, found in map_images(task, experiments[0].test_images, work, "detections of all")]


@cache
def _detector(folder: Path, device: str) -> Detector:
    return Detector.load(folder, device=device)


def _combine_one(
    image: AnnotatedImage, parts: tuple[tuple[ImageSource, Path], ...], settings: PostprocessSettings
) -> Detections:
    scored = []
    for source, folder in parts:
        with limit_threads(source.threads):
            detector = _detector(folder, source.device)
            scored.append(detector.score_proposals(source.proposals(image), source.pyramid(image)))
    return postprocess(united(scored), image.size, settings)
