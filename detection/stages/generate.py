"""Stage: windows for every image of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from detection.data import read_image
from detection.proposals import propose
from detection.stages.source import ImageSource
from detection.stages.work import Work, map_images
from detection.types import AnnotatedImage


def _generate_one(image: AnnotatedImage, source: ImageSource) -> tuple[int, bool]:
    """(windows, whether the image was brought to another size for them)."""
    proposals = propose(image.image_id, read_image(image.path, image.size), source.proposal_settings)
    source.store().write(proposals, source.image_keys[image.image_id])
    return len(proposals.boxes), proposals.source != source.proposal_settings.source


def generate_proposals(source: ImageSource, images: Sequence[AnnotatedImage], work: Work) -> dict[str, float]:
    """Write the windows of each image that has none yet; unusable images are listed in ``work.problems``.

    Returns figures: images made, images there before, windows an image (mean over all), and where there are some,
    images resized by ``resize_width`` or ``max_pixels`` before they were searched.
    """
    store = source.store()
    kept = [store.read(one.image_id, source.image_keys[one.image_id]) for one in images]
    todo = [one for one, found in zip(images, kept, strict=True) if found is None]
    counts = [len(found.boxes) for found in kept if found is not None]
    made = [facts for _, facts in map_images(partial(_generate_one, source=source), todo, work, "windows")]
    resized = sum(is_resized for _, is_resized in made)
    mean = sum(counts + [count for count, _ in made]) / max(len(counts + made), 1)
    facts = {"made": len(made), "kept": len(counts), "windows_per_image": round(mean, 1)}
    return facts | ({"resized": resized} if resized else {})
