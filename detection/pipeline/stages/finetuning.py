"""Stage: fc6 and fc7 fine-tuned on the pooled vectors of the training set: ``RUN/finetuned``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from detection.engines import limit_threads
from detection.geometry import flip
from detection.learning import FinetuneSettings
from detection.parallel import ordered_map
from detection.pipeline.experiment import Experiment
from detection.pipeline.keys import training_key
from detection.pipeline.source import ImageSource, uses_finetuned
from detection.pipeline.stage import Stage
from detection.pipeline.stages.images import usable
from detection.pipeline.work import Work, map_images, threads
from detection.storage import file_fingerprint, fingerprint, notice_damaged, read_arrays, write_arrays
from detection.types import AnnotatedImage

if TYPE_CHECKING:
    from detection.learning.finetune.distributed import Group
    from detection.learning.finetune.samples import LabelledRegions
    from detection.learning.finetune.train import FinetunedHead, PoolRequest

FORMAT_VERSION = "1"


def initial_head(source: ImageSource, settings: FinetuneSettings) -> tuple[dict[str, np.ndarray], int, str]:
    """(given layers, first value of a pooled vector that their fc6 reads, where they are from in words).

    See ``FinetuneSettings.initial``. Raises FileNotFoundError or ValueError for a file that does not fit.
    """
    from detection.backbones import networks
    from detection.features import head

    features, extractor = source.feature_settings, source.pooling_extractor()
    if settings.initial == "gaussian":
        return {}, 0, "Gaussian"
    if settings.initial != "imagenet":
        state = networks.read_state(Path(settings.initial))
        names = [f"{layer}.{part}" for layer in ("fc6", "fc7") for part in ("weight", "bias")]
        missing = [name for name in names if name not in state]
        if missing:
            raise ValueError(f"finetune.initial: {settings.initial}: expected {', '.join(missing)}, found none")
        return {name: state[name] for name in names}, 0, settings.initial
    if not head.fits_network_head(features):
        return {}, 0, "Gaussian: the backbone and levels have no fc6"
    if features.weights == "random":
        given = head.random_head_state(features)
    else:
        given = head.network_head_state(features.backbone, networks.load_weights(features.backbone, features.weights))
    widths = (len(given["fc6.bias"]), len(given["fc7.bias"]))
    if widths != tuple(settings.widths):
        return {}, 0, f"Gaussian: the backbone's widths are {widths}"
    start, _ = head.trained_columns(features, extractor.backbone.channels[-1])
    return given, start, f"the network's, from value {start} of a vector on"


def initial_key(source: ImageSource, settings: FinetuneSettings) -> str:
    """Key of what `initial_head` gives beyond settings and backbone: the content of a file."""
    is_file = settings.initial not in ("imagenet", "gaussian") and Path(settings.initial).is_file()
    if is_file:
        return file_fingerprint(settings.initial)
    return fingerprint(settings.initial, source.feature_settings.weights, source.feature_settings.seed)


def _mirror_one(item: tuple[AnnotatedImage, ImageSource]) -> None:
    image, source = item
    source.pyramid(image, mirrored=True)


def mirrored_maps(source: ImageSource, images: Sequence[AnnotatedImage], work: Work) -> None:
    """Make the maps of the mirrored images that are absent."""
    cache = source.cache(mirrored=True)
    there = {one.image_id for one in images if cache.has(one.image_id, source.image_keys[one.image_id])}
    todo = [(one, source.of(one)) for one in images if one.image_id not in there]
    for _ in map_images(_mirror_one, todo, work, "maps of mirrored images"):
        pass


def labelled_proposals(
    source: ImageSource, images: Sequence[AnnotatedImage], settings: FinetuneSettings
) -> list[LabelledRegions]:
    """Foreground and background proposals of each image, in order."""
    from detection.learning.finetune.samples import label_proposals

    return [
        label_proposals(one.image_id, source.proposals(one).boxes, one.boxes, one.labels, one.difficult, settings)
        for one in images
    ]


def finetune_layers(
    source: ImageSource,
    images: Sequence[AnnotatedImage],
    num_classes: int,
    settings: FinetuneSettings,
    folder: Path,
    key: str,
    work: Work,
    group: Group | None = None,
) -> tuple[FinetunedHead, str]:
    """Train on `images`, whose proposals and maps are there; (the chosen snapshot, where fc6 and fc7 started).

    folder: for log and checkpoint, from which a call with the same `key` goes on. group: the processes that do it
    together.
    """
    from detection.learning.finetune.train import FinetuneTask, finetune

    given, start, origin = initial_head(source, settings)
    task = FinetuneTask(
        images=labelled_proposals(source, images, settings),
        pool=partial(_pool, source=source, images=images, ahead=work.workers - 1),
        length=source.pooling_extractor().length("pool5"),
        num_classes=num_classes,
        num_scales=len(source.feature_settings.short_sides),
        key=key,
        folder=folder,
        given=given,
        start=start,
    )
    with work.progress("fine-tuning", settings.total_iterations) as advance:
        head = finetune(task, settings, group, _advancer(advance))
    return head, origin


def _advancer(advance: Callable[[], None]) -> Callable[[int, int], None]:
    """`advance` once for each iteration, those done before this call as well."""
    shown = 0

    def on_step(done: int, _: int) -> None:
        nonlocal shown
        for _ in range(shown, done):
            advance()
        shown = max(shown, done)

    return on_step


def _pool(
    requests: Sequence[PoolRequest], source: ImageSource, images: Sequence[AnnotatedImage], ahead: int
) -> Iterator[np.ndarray]:
    """(n, D) float16 vectors of each request: maxima of float16 maps lose nothing."""

    def task(request: PoolRequest) -> np.ndarray:
        image = images[request.image]
        boxes = flip(request.boxes, image.size[1]) if request.mirrored else request.boxes
        pyramid = source.pyramid(image, request.mirrored)
        return source.pooling_extractor().pool(pyramid, boxes, scales=request.scales).values.astype(np.float16)

    with threads(ahead) as executor:
        yield from ordered_map(task, requests, executor, ahead)


def write_head(path: Path, head: FinetunedHead, key: str) -> None:
    """Write fc6, fc7 and fc8 in one atomic move."""
    metadata = {
        "format_version": FORMAT_VERSION,
        "kind": "finetuned_head",
        "key": key,
        "iteration": str(head.iteration),
    }
    write_arrays(path, head.layers, metadata, durable=True)


def head_facts(head: FinetunedHead, origin: str, settings: FinetuneSettings) -> Mapping[str, Any]:
    """What ``run.yaml`` says of a fine-tuning."""
    return {
        "initial": origin,
        "chosen_iteration": head.iteration,
        f"held_out_{settings.snapshot_measure}": None if head.measure is None else round(head.measure, 5),
        "held_out_images": len(head.held_out),
    }


def _file(experiment: Experiment) -> Path:
    return experiment.source.head_file


def _key(experiment: Experiment) -> str:
    settings = experiment.settings.finetune
    # Where fc6 and fc7 start is part of it.
    vectors = fingerprint(experiment.pooled_key, initial_key(experiment.source, settings))
    return training_key(experiment.train_key, vectors, experiment.base_classes, settings)


def _kept(experiment: Experiment) -> str | None:
    try:
        return read_arrays(_file(experiment))[1].get("key")
    except FileNotFoundError:
        return None
    except ValueError as error:
        return notice_damaged(error)


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
    command="finetune",
    place=_file,
    key=_key,
    kept=_kept,
    run=_run,
    wanted=lambda experiment: uses_finetuned(experiment.settings.features),
)


def finetuned_layers(experiment: Experiment) -> tuple[Stage, ...]:
    """`FINETUNE`, where the classifiers see its layers: what stages that pool and classify need."""
    return (FINETUNE,) if FINETUNE.wanted(experiment) else ()
