"""What a run will take, from a few of its photos: bytes on disk, memory of learning, time."""

import shutil
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from detection.commands.extract_features import maps_bytes
from detection.data import DataError, read_image
from detection.engines import limit_threads
from detection.learning import example_rows, fit_linear_svm
from detection.pipeline.experiment import Experiment
from detection.pipeline.held_out import folds_of
from detection.pipeline.source import ImageSource, uses_finetuned
from detection.pipeline.stages.regressors import train_box_regressors
from detection.pipeline.stages.svms import train_linear_svms
from detection.pipeline.vectors import near_objects, stream_images, training_streams
from detection.proposals import propose
from detection.types import AnnotatedImage

Value = TypeVar("Value")

# Photos that are timed.
_SAMPLE = 20
# Workers that a time is said for beside those of the settings.
_WORKERS = (1, 8, 64)
# Power of the number of photos with which the time of solving SVMs grows, measured up to 500: see docs/runs.md.
_SVM_GROWTH = 0.55
_HOUR, _MINUTE, _MIB, _GIB, _BYTES_OF_A_VALUE = 3600, 60, 2**20, 2**30, 4


@dataclass(frozen=True)
class Sample:
    """Means over the photos of a sample that could be read, how many these are.

    proposals, maps, reading, vectors: seconds of making proposals (decoding included) and maps, of reading maps that
    are kept, of pooling all proposals. starting: seconds that the first photo took more than the mean, since networks
    and compiled code are loaded there. solving_svms, solving_regressors: seconds that learning from all of them took,
    those of reading and pooling left out; solving_svms is None where layers are to be fine-tuned first. proposal_bytes:
    of a file. examples: proposals near an object that box regression learns from, for each object.
    """

    photos: int
    proposals: float
    maps: float
    reading: float
    vectors: float
    starting: float
    solving_svms: float | None
    solving_regressors: float
    proposal_bytes: float
    examples: float


@dataclass(frozen=True)
class RunCost:
    """What a whole run takes. workers: of the settings. outside, inside: seconds of one worker for what goes out to
    workers, and of what does not get shorter with their number. left_out: what no time is said of. *_bytes: on disk,
    and in memory.
    """

    photos: int
    workers: int
    outside: float
    inside: float
    left_out: str
    proposal_bytes: float
    maps_bytes: float
    positives_bytes: float
    mining_bytes: float
    regression_bytes: float

    def seconds(self, workers: int) -> float:
        """With so many workers."""
        return self.outside / workers + self.inside

    def lines(self, free: int) -> list[str]:
        """What a user is told. free: bytes on the disk."""
        kept = f"maps {self.maps_bytes / _GIB:,.2f} GiB" if self.maps_bytes else "maps are not kept"
        told = {self.workers, *_WORKERS}
        times = ", ".join(f"{_time_text(self.seconds(count))} on {count}" for count in sorted(told))
        learning = (self.mining_bytes + self.regression_bytes) / _MIB
        lines = [
            f"disk: proposals {self.proposal_bytes / _MIB:,.1f} MiB, {kept}, {learning:,.0f} MiB more at most while it "
            f"learns; free {free / _GIB:,.1f} GiB",
            f"memory of learning: mining {self.mining_bytes / _MIB:,.0f} MiB at most, of which positives "
            f"{self.positives_bytes / _MIB:,.0f}; box regression {self.regression_bytes / _MIB:,.0f} MiB",
            f"time by workers (this command: {self.workers}): {times}. Not in it: {self.left_out}",
        ]
        if self.positives_bytes >= self.mining_bytes:
            lines.append("the positives do not fit: raise svm.memory_mib, or set svm.max_positives")
        return lines


def _time_text(seconds: float) -> str:
    return f"{seconds / _HOUR:,.1f} h" if seconds >= 2 * _HOUR else f"{seconds / _MINUTE:,.1f} min"


def timed(make: Callable[[], Value]) -> tuple[Value, float]:
    """(what `make` gives, wall seconds)."""
    start = time.perf_counter()
    return make(), time.perf_counter() - start


def free_bytes(path: Path) -> int:
    """Bytes free on the disk of a path that need not be there yet."""
    return shutil.disk_usage(next(one for one in [path.absolute(), *path.absolute().parents] if one.exists())).free


def sample_of(experiment: Experiment) -> Sample:
    """At most 20 photos of the run, evenly spread, made as the run would make them; nothing of it is kept.

    Raises ValueError where none of them can be read, and as ``learning.train_svms``.
    """
    images = experiment.images
    chosen = [images[place] for place in np.unique(np.linspace(0, len(images) - 1, _SAMPLE).astype(int)).tolist()]
    rows: dict[str, tuple[float, ...]] = {}
    cold = 0.0
    with tempfile.TemporaryDirectory(prefix="sppnet-dry-run-") as name, limit_threads(experiment.work.threads):
        folders = {f"{part}_folder": Path(name, part) for part in ("proposals", "features")}
        source = replace(experiment.source, **folders, keep_maps=True)
        for image in chosen:
            measure = partial(_measured, experiment, source, image)
            try:
                # What is compiled and loaded with the first photo is no part of a photo.
                cold = cold if rows else timed(measure)[1]
                row, seconds = timed(measure)
            except DataError:
                continue
            rows[image.image_id] = (*row, seconds)
        if not rows:
            raise ValueError(
                f"{experiment.run.path}: expected photos to time, found none of {len(chosen)} that can be read"
            )
        solving = _solving(experiment, source, [one for one in chosen if one.image_id in rows])
    *means, proposal_bytes, objects, examples, seconds = np.mean(list(rows.values()), axis=0).tolist()
    starting = max(cold - seconds, 0.0)
    return Sample(len(rows), *means, starting, *solving, proposal_bytes, examples / objects if objects else 0.0)


def _measured(experiment: Experiment, source: ImageSource, image: AnnotatedImage) -> tuple[float, ...]:
    """Seconds of proposals, maps, reading maps, vectors; bytes of the proposals; objects and examples of a photo.

    source: of the run, with folders of its own; proposals and maps stay there.
    """
    extractor, store, key = source.pooling_extractor(), source.store(), source.image_keys[image.image_id]
    rgb, decoding = timed(lambda: read_image(image.path, image.size))
    if source.proposal_settings.method == "imported":
        proposals, searching = experiment.source.proposals(image), 0.0
    else:
        proposals, searching = timed(lambda: propose(image.image_id, rgb, source.proposal_settings))
    store.write(proposals, key)
    pyramid, convolving = timed(lambda: extractor.pyramid(image.image_id, rgb, map))
    source.cache().write(pyramid, key)
    _, reading = timed(lambda: source.cache().read(image.image_id, key))
    _, pooling = timed(lambda: extractor.regions(pyramid, proposals.boxes, "pool5"))
    rows = example_rows(proposals.boxes, image.boxes, image.difficult, experiment.settings.regression)
    size = store.path(image.image_id).stat().st_size
    return decoding + searching, convolving, reading, pooling, size, len(image.boxes), len(rows)


def _solving(
    experiment: Experiment, source: ImageSource, images: Sequence[AnnotatedImage]
) -> tuple[float | None, float]:
    """(seconds of `Sample.solving_svms`, of `solving_regressors`) of these images, whose maps `source` has."""
    settings, work, svm = experiment.settings, experiment.work, experiment.svm_settings
    layer, count = settings.features.layer, len(experiment.classes)
    near = near_objects(len(images), settings.regression)

    def read(*streams: Iterator) -> None:
        for one in streams:
            deque(one, maxlen=0)

    # What is compiled with the first problem.
    fit_linear_svm(np.eye(2, dtype=np.float32), np.array([1, -1]))
    _, alone = timed(lambda: read(stream_images(source, images, "pool5", work, _nothing, near)))
    _, whole = timed(lambda: train_box_regressors(source, images, count, settings.regression, work))
    regressors = max(whole - alone, 0.0)
    if uses_finetuned(settings.features):
        return None, regressors
    stream, positives = training_streams(source, images, layer, svm, work, _nothing)
    # Maps of mirrored photos are made where they are first asked for.
    read(positives())
    _, alone = timed(lambda: read(positives(), *(stream() for _ in range(svm.least_passes))))
    folds = folds_of(experiment, images)
    _, whole = timed(lambda: train_linear_svms(source, images, count, svm, layer, work, fold_of=folds))
    return max(whole - alone, 0.0), regressors


def _nothing() -> None:
    pass


def cost_of(experiment: Experiment, sample: Sample) -> RunCost:
    """What the whole run takes, by a sample of it."""
    train, test, settings = experiment.train_images, experiment.test_images, experiment.settings
    photos, keeps, svm = len(experiment.images), experiment.work.keep_maps, experiment.svm_settings
    value_bytes = experiment.source.pooling_extractor().length("pool5") * _BYTES_OF_A_VALUE
    # Passes over the training photos: positives, mining, box regression; calibration looks at some of them again.
    passes, read = 2 + svm.least_passes, sample.reading if keeps else sample.maps
    # Workers start side by side, once.
    inside = sample.starting + len(train) * (passes * read + svm.least_passes * sample.vectors)
    outside = photos * (sample.proposals + (sample.maps if keeps else 0))
    outside += (min(len(train), settings.calibration.images) + len(test)) * (read + sample.vectors)
    mirrored = (train if svm.mirrored_positives else []), (test if settings.postprocess.mirrored else [])
    # Maps of mirrored photos are made where they are first asked for.
    inside += len(mirrored[0]) * sample.maps
    outside += len(mirrored[1]) * (sample.maps + sample.vectors)
    disk = sum(maps_bytes(experiment.source, images) for images in (experiment.images, *mirrored)) if keeps else 0
    learned = len(train) / sample.photos
    inside += (sample.solving_svms or 0.0) * learned**_SVM_GROWTH + sample.solving_regressors * learned
    left_out = "evaluation, report" if sample.solving_svms is not None else "fine-tuning, SVMs, evaluation, report"
    counts = _objects(train, len(experiment.classes))
    copies = (1 + svm.jittered_positives) * (1 + svm.mirrored_positives)
    positives = np.minimum(counts * copies, svm.max_positives or np.inf)
    examples = np.minimum(counts * sample.examples, settings.regression.max_examples)
    return RunCost(
        photos=photos,
        workers=experiment.work.workers,
        outside=outside,
        inside=inside,
        left_out=left_out,
        proposal_bytes=photos * sample.proposal_bytes,
        maps_bytes=disk,
        positives_bytes=float(positives.sum()) * value_bytes,
        mining_bytes=svm.memory_mib * _MIB,
        # The rows, and of the class that is solved a copy of twice the width.
        regression_bytes=float(examples.sum() + 2 * examples.max(initial=0)) * value_bytes,
    )


def _objects(images: Sequence[AnnotatedImage], classes: int) -> np.ndarray:
    """(L,) float64: objects of each class."""
    return sum((np.bincount(one.labels, minlength=classes)[:classes] for one in images), np.zeros(classes))
