"""Stage: fc6 and fc7 fine-tuned on the pooled vectors of the training set: ``RUN/finetuned``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from detection.engines import limit_threads
from detection.pipeline.experiment import Experiment
from detection.pipeline.finetune import finetune_layers, head_facts, initial_key, mirrored_maps, write_head
from detection.pipeline.keys import training_key
from detection.pipeline.source import uses_finetuned
from detection.pipeline.stage import Stage
from detection.pipeline.stages.images import usable
from detection.storage import fingerprint, read_metadata
from detection.types import AnnotatedImage


def _file(experiment: Experiment) -> Path:
    return experiment.source.head_file


def _key(experiment: Experiment) -> str:
    settings = experiment.settings.finetune
    # Where fc6 and fc7 start is part of it.
    vectors = fingerprint(experiment.pooled_key, initial_key(experiment.source, settings))
    return training_key(experiment.train_key, vectors, experiment.base_classes, settings)


def _kept(experiment: Experiment) -> str | None:
    path = _file(experiment)
    return read_metadata(path).get("key") if path.is_file() else None


def _run(experiment: Experiment) -> Mapping[str, Any] | None:
    """Train; under torchrun its processes do it together, and the first one writes the layers."""
    from detection.learning.finetune.distributed import process_group

    path, settings, work = _file(experiment), experiment.settings.finetune, experiment.work
    with process_group(work.device) as group, limit_threads(work.threads):
        images = group.first_then_all(lambda: _images(experiment, settings.flips))
        key = _key(experiment)
        head, origin = finetune_layers(
            experiment.source, images, len(experiment.classes), settings, path.parent, key, work, group
        )
        if group.rank != 0:
            return None
        write_head(path, head, key)
    return head_facts(head, origin, settings)


def _images(experiment: Experiment, mirrored: bool) -> list[AnnotatedImage]:
    images = usable(experiment, experiment.train_images)
    if mirrored:
        mirrored_maps(experiment.source, images, experiment.work)
    return images


FINETUNE = Stage(
    name="finetune",
    command="finetune.py",
    place=_file,
    key=_key,
    kept=_kept,
    run=_run,
    wanted=lambda experiment: uses_finetuned(experiment.settings.features),
)


def finetuned_layers(experiment: Experiment) -> tuple[Stage, ...]:
    """`FINETUNE`, where the classifiers see its layers: what stages that pool and classify need."""
    return (FINETUNE,) if FINETUNE.wanted(experiment) else ()
