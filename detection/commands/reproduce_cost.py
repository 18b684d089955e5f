"""How long the published experiment will take on this machine, by a trial on one photo and one batch."""

from dataclasses import dataclass, replace

import numpy as np
from sklearn.datasets import load_sample_image

from detection.commands.run_cost import timed
from detection.config import Settings
from detection.data import VOC_CLASSES
from detection.engines import limit_threads
from detection.features import FeatureExtractor
from detection.features.cache import estimate_bytes
from detection.learning.finetune.trial import batch_seconds
from detection.proposals import propose

# Photos of VOC 2007 (the devkit's documentation, table 1), and the size in px that most of them have.
TRAINING_PHOTOS, TEST_PHOTOS = 5011, 4952
_SIZE = (375, 500)
# Passes over the training photos' vectors: mining, and box regression.
_PASSES = 2
_HOUR, _GIB = 3600, 2**30


@dataclass(frozen=True)
class Cost:
    """Seconds of one photo's proposals, maps, and vectors (pooled, and through fc6 and fc7); of a batch; and how many.

    maps_bytes: disk of all maps. map_sets: maps of the training photos that are kept, 2 with the mirrored ones.
    """

    proposals: float
    maps: float
    vectors: float
    batch: float
    iterations: int
    workers: int
    maps_bytes: int
    map_sets: int

    @property
    def seconds(self) -> float:
        """Of the parts above for all photos: without SVMs, regressors, evaluation, and pooling while fine-tuning."""
        photos = TRAINING_PHOTOS + TEST_PHOTOS
        maps = self.maps * (self.map_sets * TRAINING_PHOTOS + TEST_PHOTOS)
        vectors = self.vectors * (_PASSES * TRAINING_PHOTOS + TEST_PHOTOS)
        return (photos * self.proposals + maps + vectors) / self.workers + self.iterations * self.batch

    def lines(self, to_fetch: int, free: int) -> list[str]:
        """What a user is told. to_fetch, free: bytes."""
        photos = TRAINING_PHOTOS + TEST_PHOTOS
        mirrored = " (the training photos mirrored too)" if self.map_sets > 1 else ""
        return [
            f"disk: maps {self.maps_bytes / _GIB:,.0f} GiB, by the size of {photos:,} photos of 500x375 px{mirrored}; "
            f"downloads and what they unpack to {2 * to_fetch / _GIB:,.1f} GiB; free {free / _GIB:,.0f} GiB",
            f"time: {self.seconds / _HOUR:,.1f} hours at least, by a trial on this machine: a photo's proposals "
            f"{self.proposals:.2f} s, maps {self.maps:.2f} s, vectors {self.vectors:.2f} s, of {photos:,} photos by "
            f"{self.workers} processes; a batch of fine-tuning {self.batch:.3f} s, of {self.iterations:,}. Not in it: "
            "SVMs, box regression, evaluation, what else the machine does. --threads N or --device cuda speed it up",
        ]


def trial(settings: Settings, workers: int) -> Cost:
    """The cost under these settings, with untrained weights: nothing is fetched."""
    features = replace(settings.features, weights="random", layer="pool5", head="network")
    extractor = FeatureExtractor.from_settings(features, settings.device)
    photo = np.ascontiguousarray(load_sample_image("china.jpg")[: _SIZE[0], : _SIZE[1]])
    # What is compiled once is compiled on a corner of it.
    corner = photo[:100, :120]
    extractor.regions(extractor.pyramid("", corner, map), propose("", corner, settings.proposals).boxes, "pool5")

    with limit_threads(settings.threads):
        boxes, proposals = timed(lambda: propose("", photo, settings.proposals).boxes)
        pyramid, maps = timed(lambda: extractor.pyramid("", photo, map))
        pooled, pooling = timed(lambda: extractor.regions(pyramid, boxes, "pool5").values)
        batch = batch_seconds(pooled.shape[1], len(VOC_CLASSES), settings.finetune, settings.device)
    # Forward alone is a third of forward and backward.
    head = batch / 3 * len(pooled) / settings.finetune.batch_size
    map_sets = 1 + settings.finetune.flips
    photos = map_sets * TRAINING_PHOTOS + TEST_PHOTOS
    return Cost(
        proposals=proposals,
        maps=maps,
        vectors=pooling + head,
        batch=batch,
        iterations=settings.finetune.total_iterations,
        workers=workers,
        maps_bytes=photos * estimate_bytes([_SIZE], settings.features),
        map_sets=map_sets,
    )
