"""What a run will take, from a few of its photos: bytes on disk, memory of learning, time."""

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from detection.commands.extract_features import maps_bytes
from detection.data import DataError, read_image
from detection.engines import limit_threads
from detection.learning import example_rows
from detection.pipeline.experiment import Experiment
from detection.proposals import ProposalStore, propose
from detection.types import AnnotatedImage

Value = TypeVar("Value")

# Photos that are timed.
_SAMPLE = 20
# Workers that a time is said for beside those of the settings.
_WORKERS = (1, 8, 64)
_HOUR, _MINUTE, _MIB, _GIB, _BYTES_OF_A_VALUE = 3600, 60, 2**20, 2**30, 4


@dataclass(frozen=True)
class Sample:
    """Means over the photos of a sample that could be read, how many these are.

    proposals, maps, reading, vectors: seconds of making proposals (decoding included) and maps, of reading maps that
    are kept, of pooling all proposals. starting: seconds that the first photo took more than the mean, since networks
    and compiled code are loaded there. proposal_bytes: of a file. examples: proposals near an object that box
    regression learns from, for each object.
    """

    photos: int
    proposals: float
    maps: float
    reading: float
    vectors: float
    starting: float
    proposal_bytes: float
    examples: float


@dataclass(frozen=True)
class RunCost:
    """What a whole run takes. workers: of the settings. outside, inside: seconds of one worker for what goes out to
    workers, and of what does not get shorter with their number. *_bytes: on disk, and in memory.
    """

    photos: int
    workers: int
    outside: float
    inside: float
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
            f"time by workers (this command: {self.workers}): {times}. Not in it: SVMs and regressors are solved, "
            "fine-tuning, evaluation, report",
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

    Raises ValueError where none of them can be read.
    """
    images = experiment.images
    chosen = [images[place] for place in np.unique(np.linspace(0, len(images) - 1, _SAMPLE).astype(int)).tolist()]
    rows: list[tuple[float, ...]] = []
    cold = 0.0
    with tempfile.TemporaryDirectory(prefix="sppnet-dry-run-") as name, limit_threads(experiment.work.threads):
        for image in chosen:
            measure = partial(_measured, experiment, image, Path(name))
            try:
                # What is compiled and loaded with the first photo is no part of a photo.
                cold = cold if rows else timed(measure)[1]
                row, seconds = timed(measure)
            except DataError:
                continue
            rows.append((*row, seconds))
    if not rows:
        raise ValueError(
            f"{experiment.run.path}: expected photos to time, found none of {len(chosen)} that can be read"
        )
    *means, proposal_bytes, objects, examples, seconds = np.mean(rows, axis=0).tolist()
    starting = max(cold - seconds, 0.0)
    return Sample(len(rows), *means, starting, proposal_bytes, examples / objects if objects else 0.0)


def _measured(experiment: Experiment, image: AnnotatedImage, folder: Path) -> tuple[float, ...]:
    """Seconds of proposals, maps, reading maps, vectors; bytes of the proposals; objects and examples of a photo."""
    source, settings = experiment.source, experiment.settings
    extractor, store = source.pooling_extractor(), ProposalStore(folder, source.proposal_settings)
    rgb, decoding = timed(lambda: read_image(image.path, image.size))
    if source.proposal_settings.method == "imported":
        proposals, searching = source.proposals(image), 0.0
    else:
        proposals, searching = timed(lambda: propose(image.image_id, rgb, source.proposal_settings))
    store.write(proposals, "")
    pyramid, convolving = timed(lambda: extractor.pyramid(image.image_id, rgb, map))
    cache = replace(source, features_folder=folder).cache()
    cache.write(pyramid, "")
    _, reading = timed(lambda: cache.read(image.image_id, ""))
    _, pooling = timed(lambda: extractor.regions(pyramid, proposals.boxes, "pool5"))
    rows = example_rows(proposals.boxes, image.boxes, image.difficult, settings.regression)
    size = store.path(image.image_id).stat().st_size
    cache.path(image.image_id).unlink()
    return decoding + searching, convolving, reading, pooling, size, len(image.boxes), len(rows)


def cost_of(experiment: Experiment, sample: Sample) -> RunCost:
    """What the whole run takes, by a sample of it."""
    train, test, settings = experiment.train_images, experiment.test_images, experiment.settings
    photos, keeps, svm = len(experiment.images), experiment.work.keep_maps, experiment.svm_settings
    value_bytes = experiment.source.pooling_extractor().length("pool5") * _BYTES_OF_A_VALUE
    # Passes over the training photos: positives, mining, box regression; calibration looks at them again.
    passes, read = 2 + max(svm.passes, 1), sample.reading if keeps else sample.maps
    # Workers start side by side, once.
    inside = sample.starting + len(train) * (passes * read + max(svm.passes, 1) * sample.vectors)
    outside = photos * (sample.proposals + (sample.maps if keeps else 0))
    outside += (len(train) + len(test)) * (read + sample.vectors)
    mirrored = (train if svm.mirrored_positives else []), (test if settings.postprocess.mirrored else [])
    # Maps of mirrored photos are made where they are first asked for.
    inside += len(mirrored[0]) * sample.maps
    outside += len(mirrored[1]) * (sample.maps + sample.vectors)
    disk = sum(maps_bytes(experiment.source, images) for images in (experiment.images, *mirrored)) if keeps else 0
    counts = _objects(train, len(experiment.classes))
    copies = (1 + svm.jittered_positives) * (1 + svm.mirrored_positives)
    positives = np.minimum(counts * copies, svm.max_positives or np.inf)
    examples = np.minimum(counts * sample.examples, settings.regression.max_examples)
    return RunCost(
        photos=photos,
        workers=experiment.work.workers,
        outside=outside,
        inside=inside,
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
