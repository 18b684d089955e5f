"""Stages: proposals (``RUN/proposals``) and maps (``RUN/features/KEY``) of every image, from one decoding of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from detection.pipeline.experiment import Experiment
from detection.pipeline.prepare import MAPS as MAPS_PART
from detection.pipeline.prepare import PROPOSALS as PROPOSALS_PART
from detection.pipeline.prepare import prepare_images
from detection.pipeline.stage import Stage
from detection.types import AnnotatedImage


def prepare(experiment: Experiment, *stages: Stage) -> None:
    """Make what the images lack of proposals, maps or (the default) both, once in a call.

    Of the time of both in one go each stage has the share that was spent on it.
    """
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
        experiment.prepared.add(name)


def usable(experiment: Experiment, images: Sequence[AnnotatedImage]) -> list[AnnotatedImage]:
    """The images whose proposals and maps are there, after making those that are absent."""
    prepare(experiment)
    source = experiment.source
    store, cache, keys = source.store(), source.cache(), source.image_keys
    have = {image_id for image_id, key in keys.items() if store.has(image_id, key) and cache.has(image_id, key)}
    return [one for one in images if one.image_id in have]


def _maps_folder(experiment: Experiment) -> Path:
    return experiment.run.features / experiment.source.cache().key


# Whether anything is lacking shows only when every image is looked at, which `prepare` does, and records.
PROPOSALS = Stage(
    name=PROPOSALS_PART,
    command="proposals.py generate",
    place=lambda experiment: experiment.run.proposals,
    key=lambda experiment: experiment.source.store().key,
    kept=lambda _: None,
    run=lambda experiment: prepare(experiment, PROPOSALS),
)
MAPS = Stage(
    name=MAPS_PART,
    command="extract_features.py",
    place=_maps_folder,
    key=lambda experiment: experiment.source.cache().key,
    kept=lambda _: None,
    run=lambda experiment: prepare(experiment, MAPS),
)
