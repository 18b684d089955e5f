"""Stage: proposals and maps of every image of a data set, each image decoded once for both."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from detection.data import read_image
from detection.pipeline.source import ImageSource
from detection.pipeline.work import Work, map_images
from detection.types import AnnotatedImage

Made = TypeVar("Made")

# What can be made of an image, by the name of its stage, in order.
PROPOSALS, MAPS = "proposals", "features"
_TITLES = {(PROPOSALS,): "proposals", (MAPS,): "maps", (PROPOSALS, MAPS): "proposals and maps"}


@dataclass(frozen=True)
class _Task:
    """What one image lacks; `source` knows this image alone."""

    image: AnnotatedImage
    source: ImageSource
    parts: tuple[str, ...]


@dataclass
class _Prepared:
    """What one image took: seconds of each part that it got, decoding with the first.

    proposals: their number, if they were made. resized: whether the image was brought to another size for them.
    """

    proposals: int = 0
    resized: bool = False
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class PartFacts:
    """What became of one part. figures: for the record. share: of the time of all parts made in one go."""

    figures: dict[str, float]
    share: float


def _prepare_one(task: _Task) -> _Prepared:
    image, source, prepared = task.image, task.source, _Prepared()

    def timed(part: str, make: Callable[[], Made]) -> Made:
        started = time.perf_counter()
        made = make()
        prepared.seconds[part] = prepared.seconds.get(part, 0.0) + time.perf_counter() - started
        return made

    rgb = timed(task.parts[0], lambda: read_image(image.path, image.size))
    if PROPOSALS in task.parts:
        made = timed(PROPOSALS, lambda: source.make_proposals(image, rgb))
        prepared.proposals = len(made.boxes)
        prepared.resized = made.source != source.proposal_settings.source
    if MAPS in task.parts:
        timed(MAPS, lambda: source.make_maps(image, rgb))
    return prepared


def prepare_images(
    source: ImageSource, images: Sequence[AnnotatedImage], work: Work, parts: Sequence[str] = (PROPOSALS, MAPS)
) -> dict[str, PartFacts]:
    """Write what each image lacks of `parts`, from one decoding; unusable images are listed in ``work.problems``.

    Figures: images made, images there before; of proposals their number an image (mean over all), and where there are
    some, images resized by ``resize_width`` or ``max_pixels`` before they were searched.
    """
    counts = _proposals_there(source, images) if PROPOSALS in parts else {}
    lacking = {}
    if PROPOSALS in parts:
        lacking[PROPOSALS] = {one.image_id for one in images} - set(counts)
    if MAPS in parts:
        lacking[MAPS] = {one.image_id for one in missing_maps(source, images)}
    tasks = [
        _Task(one, source.of(one), needs)
        for one in images
        if (needs := tuple(part for part, ids in lacking.items() if one.image_id in ids))
    ]
    title = _TITLES[tuple(part for part, ids in lacking.items() if ids) or (PROPOSALS,)]
    made = [prepared for _, prepared in map_images(_prepare_one, tasks, work, title)]
    total = sum(sum(one.seconds.values()) for one in made)
    facts = {}
    for part, ids in lacking.items():
        of_part = [one for one in made if part in one.seconds]
        figures = {"made": len(of_part), "kept": len(images) - len(ids)}
        if part == PROPOSALS:
            figures |= _proposal_figures(of_part, list(counts.values()))
        share = sum(one.seconds[part] for one in of_part) / total if total else 1 / len(lacking)
        facts[part] = PartFacts(figures, share)
    return facts


def _proposals_there(source: ImageSource, images: Sequence[AnnotatedImage]) -> dict[str, int]:
    """Image id -> number of proposals, where there are some on file that can be used."""
    store = source.store()
    found = {one.image_id: store.read(one.image_id, source.image_keys[one.image_id]) for one in images}
    return {image_id: len(proposals.boxes) for image_id, proposals in found.items() if proposals is not None}


def _proposal_figures(made: Sequence[_Prepared], kept: Sequence[int]) -> dict[str, float]:
    counts = [*kept, *(one.proposals for one in made)]
    resized = sum(one.resized for one in made)
    mean = round(sum(counts) / max(len(counts), 1), 1)
    return {"proposals_per_image": mean} | ({"resized": resized} if resized else {})


def missing_maps(source: ImageSource, images: Sequence[AnnotatedImage]) -> list[AnnotatedImage]:
    """The images whose maps are not in the cache."""
    cache = source.cache()
    return [one for one in images if not cache.has(one.image_id, source.image_keys[one.image_id])]
