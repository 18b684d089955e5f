"""Stages: proposals (``RUN/proposals``) and maps (``RUN/features/KEY``) of every image, from one decoding of it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from detection.data import read_image
from detection.pipeline.experiment import Experiment
from detection.pipeline.source import ImageSource
from detection.pipeline.stage import Stage
from detection.pipeline.work import Work, map_images
from detection.types import AnnotatedImage

# What can be made of an image, in order, as `run.yaml` names it and as progress is titled.
PARTS = {"proposals": "proposals", "features": "maps"}


@dataclass
class _Made:
    """What one image took: seconds of each part that it got, decoding with the first.

    proposals: their number, if they were made. resized: whether the image was brought to another size for them.
    """

    proposals: int = 0
    resized: bool = False
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class PartFacts:
    """What became of one part. figures: for the record. share: of the time of all parts made in one go.

    there: ids of the images that have it.
    """

    figures: dict[str, float]
    share: float
    there: frozenset[str]


def _make(item: tuple[AnnotatedImage, ImageSource, tuple[str, ...]]) -> _Made:
    (image, source, parts), made, started = item, _Made(), time.perf_counter()
    rgb = read_image(image.path, image.size)
    for part in parts:
        if part == "proposals":
            found = source.make_proposals(image, rgb)
            made.proposals, made.resized = len(found.boxes), found.source != source.proposal_settings.source
        else:
            source.make_maps(image, rgb)
        ended = time.perf_counter()
        made.seconds[part], started = ended - started, ended
    return made


def prepare_images(
    source: ImageSource, images: Sequence[AnnotatedImage], work: Work, parts: Sequence[str] = tuple(PARTS)
) -> dict[str, PartFacts]:
    """Write what each image lacks of `parts`, from one decoding; unusable images are listed in ``work.problems``.

    Figures: images made, images there before; of proposals their number an image (mean over all), and where there are
    some, images resized by ``resize_width`` or ``max_pixels`` before they were searched.
    """
    counts = _proposals_there(source, images) if "proposals" in parts else {}
    lacking: dict[str, set[str]] = {}
    if "proposals" in parts:
        lacking["proposals"] = {one.image_id for one in images} - set(counts)
    if "features" in parts:
        lacking["features"] = {one.image_id for one in missing_maps(source, images)}
    # Each image with what it lacks alone: what goes to another process does not grow with the data set.
    todo = [
        (one, source.of(one), needs)
        for one in images
        if (needs := tuple(part for part, ids in lacking.items() if one.image_id in ids))
    ]
    title = " and ".join(PARTS[part] for part, ids in lacking.items() if ids)
    made = {image.image_id: one for (image, *_), one in map_images(_make, todo, work, title)}
    total = sum(sum(one.seconds.values()) for one in made.values())
    facts = {}
    for part, ids in lacking.items():
        of_part = {image_id: one for image_id, one in made.items() if part in one.seconds}
        figures: dict[str, float] = {"made": len(of_part), "kept": len(images) - len(ids)}
        if part == "proposals":
            figures |= _proposal_figures([*of_part.values()], [*counts.values()])
        share = sum(one.seconds[part] for one in of_part.values()) / total if total else 1 / len(lacking)
        kept = {one.image_id for one in images} - ids
        facts[part] = PartFacts(figures, share, frozenset(kept | of_part.keys()))
    return facts


def _proposals_there(source: ImageSource, images: Sequence[AnnotatedImage]) -> dict[str, int]:
    """Image id -> number of proposals, where there are some on file that can be used."""
    store = source.store()
    found = {one.image_id: store.read(one.image_id, source.image_keys[one.image_id]) for one in images}
    return {image_id: len(proposals.boxes) for image_id, proposals in found.items() if proposals is not None}


def _proposal_figures(made: Sequence[_Made], kept: Sequence[int]) -> dict[str, float]:
    counts = [*kept, *(one.proposals for one in made)]
    resized = sum(one.resized for one in made)
    mean = round(sum(counts) / max(len(counts), 1), 1)
    return {"proposals_per_image": mean} | ({"resized": resized} if resized else {})


def missing_maps(source: ImageSource, images: Sequence[AnnotatedImage]) -> list[AnnotatedImage]:
    """The images whose maps are not in the cache."""
    cache = source.cache()
    return [one for one in images if not cache.has(one.image_id, source.image_keys[one.image_id])]


def prepare(experiment: Experiment, *stages: Stage) -> None:
    """Make what the images lack of proposals, maps or (the default) both, once in a call.

    Of the time of both in one go each stage has the share that was spent on it. Maps that are not kept are made where
    they are read.
    """
    if not experiment.work.keep_maps and MAPS.name not in experiment.prepared:
        experiment.prepared[MAPS.name] = frozenset(one.image_id for one in experiment.images)
        experiment.say(f"{MAPS.name}: not kept, but computed anew in each pass (--keep_maps false)")
    asked = {one.name: one for one in stages or (PROPOSALS, MAPS) if one.name not in experiment.prepared}
    if not asked:
        return
    started = time.monotonic()
    made = prepare_images(experiment.source, experiment.images, experiment.work, tuple(asked))
    seconds = time.monotonic() - started
    for name, part in made.items():
        key = asked[name].key(experiment)
        if part.figures["made"] or experiment.run.stage_key(name) != key:
            experiment.record_stage(name, key, seconds * part.share, part.figures)
        else:
            experiment.say(f"{name}: done before")
        experiment.prepared[name] = part.there


def usable(experiment: Experiment, images: Sequence[AnnotatedImage]) -> list[AnnotatedImage]:
    """The images whose proposals and maps are there, after making those that are absent."""
    prepare(experiment)
    have = frozenset.intersection(*(experiment.prepared[name] for name in PARTS))
    return [one for one in images if one.image_id in have]


# Whether anything is lacking shows only when every image is looked at, which `prepare` does, and records.
PROPOSALS = Stage(
    name="proposals",
    command="proposals generate",
    place=lambda experiment: experiment.run.proposals,
    key=lambda experiment: experiment.source.store().key,
    kept=lambda _: None,
    run=lambda experiment: prepare(experiment, PROPOSALS),
)
MAPS = Stage(
    name="features",
    command="extract",
    place=lambda experiment: experiment.run.features / experiment.source.cache().key,
    key=lambda experiment: experiment.source.cache().key,
    kept=lambda _: None,
    run=lambda experiment: prepare(experiment, MAPS),
)
