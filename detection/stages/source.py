"""What later stages read of an image: its windows, maps and vectors, from disk or made on the spot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from detection.data import read_image
from detection.features import FeatureExtractor, FeatureSettings, MapCache, limit_threads, settings_key
from detection.features.cache import map_settings
from detection.learning import TrainingRegions
from detection.proposals import ProposalSettings, ProposalStore, propose
from detection.types import AnnotatedImage, FeaturePyramid, Proposals, RegionFeatures


@lru_cache(maxsize=1)
def shared_extractor(settings: FeatureSettings, device: str) -> FeatureExtractor:
    """The feature extractor of these settings, built once a process."""
    return FeatureExtractor.from_settings(settings, device)


@dataclass(frozen=True)
class ImageSource:
    """Windows and maps of a data set's images; picklable, so that worker processes get their own.

    proposals_folder, features_folder: where the stores lie. image_keys: image id -> fingerprint of the image
    file and frame. weights: fingerprint of the backbone's weights.
    """

    proposals_folder: Path
    features_folder: Path
    proposal_settings: ProposalSettings
    feature_settings: FeatureSettings
    image_keys: Mapping[str, str]
    weights: str
    device: str = "cpu"
    threads: int = 1

    def extractor(self) -> FeatureExtractor:
        """The extractor of the process this runs in."""
        return shared_extractor(self.feature_settings, self.device)

    def store(self) -> ProposalStore:
        """Where windows are kept."""
        return ProposalStore(self.proposals_folder, self.proposal_settings)

    def cache(self) -> MapCache:
        """Where maps are kept."""
        key = settings_key(self.feature_settings, self.weights)
        return MapCache(self.features_folder, key, map_settings(self.feature_settings))

    def windows(self, image: AnnotatedImage, rgb: np.ndarray | None = None) -> Proposals:
        """Windows of an image, generated and kept if absent. Raises DataError for an unusable image."""
        store, key = self.store(), self.image_keys[image.image_id]
        found = store.read(image.image_id, key)
        if found is None:
            rgb = read_image(image.path, image.size) if rgb is None else rgb
            found = propose(image.image_id, rgb, self.proposal_settings)
            store.write(found, key)
        return found

    def pyramid(self, image: AnnotatedImage) -> FeaturePyramid:
        """Maps of an image, computed and kept if absent. Raises DataError for an unusable image."""
        cache, key = self.cache(), self.image_keys[image.image_id]
        found = cache.read(image.image_id, key)
        if found is None:
            rgb = read_image(image.path, image.size)
            with limit_threads(self.threads):
                found = self.extractor().pyramid(image.image_id, rgb)
            cache.write(found, key)
        return found

    def training_regions(self, image: AnnotatedImage, layer: str, with_windows: bool = True) -> TrainingRegions:
        """Vectors of an image's windows and objects at `layer`. Raises DataError for an unusable image.

        with_windows: False leaves the windows out (R = 0).
        """
        windows = self.windows(image).boxes if with_windows else np.zeros((0, 4), np.float32)
        regions = self.extractor().regions(self.pyramid(image), np.concatenate([windows, image.boxes]), layer)
        count = len(windows)
        return TrainingRegions(
            windows=RegionFeatures(image.image_id, regions.boxes[:count], regions.values[:count], layer),
            objects=RegionFeatures(image.image_id, regions.boxes[count:], regions.values[count:], layer),
            labels=image.labels,
            difficult=image.difficult,
        )
