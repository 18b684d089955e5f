"""What later stages read of an image: its proposals, maps and vectors, from disk or made on the spot."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from detection.data import read_image
from detection.engines import limit_threads
from detection.features import FeatureExtractor, FeatureSettings, MapCache, settings_key
from detection.features.cache import map_settings
from detection.geometry import flip
from detection.learning import ExtraPositives, PostprocessSettings, TrainingRegions, jittered_boxes
from detection.proposals import ProposalSettings, ProposalStore, propose
from detection.storage import file_fingerprint, fingerprint
from detection.types import AnnotatedImage, FeaturePyramid, Proposals, RegionFeatures

# Which of an image's proposals (R, 4) are pooled: see ``ImageSource.training_regions``.
Choice = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray | None]]


def shared_extractor(settings: FeatureSettings, device: str, started_in: Path = Path()) -> FeatureExtractor:
    """The feature extractor of these settings, built once a process; without the head where that is fine-tuned.

    started_in: where relative paths of the settings start.
    """
    return _shared_extractor(_without_finetuned(settings), device, started_in.absolute())


@lru_cache(maxsize=1)
def _shared_extractor(settings: FeatureSettings, device: str, started_in: Path) -> FeatureExtractor:
    return FeatureExtractor.from_settings(settings, device, started_in)


def matching_extractor(settings: FeatureSettings, device: str, started_in: Path, weights: str) -> FeatureExtractor:
    """`shared_extractor`, whose backbone must have weights of this fingerprint: those of the process that asks for it.

    Raises ValueError where this one finds others.
    """
    extractor = shared_extractor(settings, device, started_in)
    if (found := extractor.backbone.weights_fingerprint) != weights:
        raise ValueError(
            f"features.weights: {settings.weights}: expected weights of fingerprint {weights}, as they are where the "
            f"command was started, got {found} on {platform.node()}: give workers the same file, or the same version "
            "of the package that has them"
        )
    return extractor


@lru_cache(maxsize=1)
def _finetuned_extractor(
    extractor: FeatureExtractor, settings: FeatureSettings, path: Path, content: str
) -> FeatureExtractor:
    return extractor.with_head_file(settings, path)


def _without_finetuned(settings: FeatureSettings) -> FeatureSettings:
    return replace(settings, layer="pool5", head="network") if uses_finetuned(settings) else settings


def uses_finetuned(settings: FeatureSettings) -> bool:
    """Whether the classifiers see layers that ``sppnet finetune`` trains."""
    return settings.layer != "pool5" and settings.head == "finetuned"


@dataclass(frozen=True)
class ImageSource:
    """Proposals and maps of a data set's images; picklable, so that worker processes get their own.

    proposals_folder, features_folder: where the stores lie. image_keys: image id -> fingerprint of the image
    file and frame. weights: fingerprint of the backbone's weights. head_file: fine-tuned fc6 and fc7, where the
    settings ask for them. keep_maps: whether maps that are computed go on disk. started_in: where relative paths of the
    settings start.
    """

    proposals_folder: Path
    features_folder: Path
    proposal_settings: ProposalSettings
    feature_settings: FeatureSettings
    image_keys: Mapping[str, str]
    weights: str
    device: str = "cpu"
    threads: int = 1
    head_file: Path | None = None
    keep_maps: bool = True
    started_in: Path = field(default_factory=Path.cwd)

    def extractor(self) -> FeatureExtractor:
        """The extractor of the process this runs in. Raises ValueError where the fine-tuned head is not there."""
        pooling = self.pooling_extractor()
        if not uses_finetuned(self.feature_settings):
            return pooling
        if self.head_file is None or not self.head_file.is_file():
            raise ValueError(f"{self.head_file}: expected fine-tuned fc6 and fc7, found none; run sppnet finetune")
        content = file_fingerprint(self.head_file)
        return _finetuned_extractor(pooling, self.feature_settings, self.head_file, content)

    def pooling_extractor(self) -> FeatureExtractor:
        """The same where maps and pooled vectors alone are asked for: fine-tuning is made of them.

        Raises as `matching_extractor`.
        """
        return matching_extractor(self.feature_settings, self.device, self.started_in, self.weights)

    def store(self) -> ProposalStore:
        """Where proposals are kept."""
        return ProposalStore(self.proposals_folder, self.proposal_settings)

    def cache(self, mirrored: bool = False) -> MapCache:
        """Where maps are kept, those of mirrored images under a key of their own."""
        key, about = settings_key(self.feature_settings, self.weights), map_settings(self.feature_settings)
        if mirrored:
            key, about = fingerprint(key, "mirrored"), {**about, "mirrored": True}
        return MapCache(self.features_folder, key, about)

    def of(self, image: AnnotatedImage) -> ImageSource:
        """The same for one image alone: what goes to another process with it does not grow with the data set."""
        return replace(self, image_keys={image.image_id: self.image_keys[image.image_id]})

    def proposals(self, image: AnnotatedImage) -> Proposals:
        """Proposals of an image, generated and kept if absent. Raises DataError for an unusable image."""
        found = self.store().read(image.image_id, self.image_keys[image.image_id])
        return self.make_proposals(image, read_image(image.path, image.size)) if found is None else found

    def make_proposals(self, image: AnnotatedImage, rgb: np.ndarray) -> Proposals:
        """Generate and keep the proposals of an image, `rgb` its (H, W, 3) uint8 pixels. Raises as ``propose``."""
        made = propose(image.image_id, rgb, self.proposal_settings)
        self.store().write(made, self.image_keys[image.image_id])
        return made

    def pyramid(self, image: AnnotatedImage, mirrored: bool = False) -> FeaturePyramid:
        """Maps of an image, computed and, with `keep_maps`, kept if absent. Raises DataError for an unusable image.

        mirrored: of the image with left and right exchanged; they are kept in a folder of their own.
        """
        found = self.cache(mirrored).read(image.image_id, self.image_keys[image.image_id])
        return self.make_maps(image, read_image(image.path, image.size), mirrored) if found is None else found

    def inputs(self, image: AnnotatedImage, settings: PostprocessSettings) -> tuple[Proposals, FeaturePyramid]:
        """What a detector of these settings reads of an image: proposals and maps, of both sides where they ask for it.

        Raises DataError for an unusable image.
        """
        return self.proposals(image), self.both_sides(image) if settings.mirrored else self.pyramid(image)

    def both_sides(self, image: AnnotatedImage) -> FeaturePyramid:
        """Maps of an image with those of its mirror image. Raises DataError for an unusable image."""
        return replace(self.pyramid(image), mirrored=self.pyramid(image, mirrored=True))

    def make_maps(self, image: AnnotatedImage, rgb: np.ndarray, mirrored: bool = False) -> FeaturePyramid:
        """Compute, and keep or not, the maps of an image; `rgb`: (H, W, 3) uint8, which `mirrored` exchanges."""
        if mirrored:
            rgb = np.ascontiguousarray(rgb[:, ::-1])
        with limit_threads(self.threads):
            made = self.pooling_extractor().pyramid(image.image_id, rgb)
        if self.keep_maps:
            self.cache(mirrored).write(made, self.image_keys[image.image_id])
        return made

    def training_regions(
        self, image: AnnotatedImage, layer: str, choose: Choice | None = None, extra: ExtraPositives | None = None
    ) -> TrainingRegions:
        """Vectors of an image's proposals and objects at `layer`. Raises DataError for an unusable image.

        choose: of the proposals' boxes (R, 4), which are wanted: (rows, rows for the sample of norms, None where those
        are to be found among the former); the others cost nothing. None: all. extra: positives made of the objects.
        """
        boxes = self.proposals(image).boxes
        rows, norm_rows = (np.arange(len(boxes)), None) if choose is None else choose(boxes)
        ends = np.cumsum([len(rows), 0 if norm_rows is None else len(norm_rows)])
        wanted = [boxes[rows], boxes[[] if norm_rows is None else norm_rows], image.boxes]
        extractor = self.pooling_extractor() if layer == "pool5" else self.extractor()
        regions = extractor.regions(self.pyramid(image), np.concatenate(wanted), layer)
        parts = [
            RegionFeatures(image.image_id, *one, layer)
            for one in zip(np.split(regions.boxes, ends), np.split(regions.values, ends), strict=True)
        ]
        return TrainingRegions(
            proposals=parts[0],
            objects=parts[2],
            labels=image.labels,
            difficult=image.difficult,
            norm_proposals=None if norm_rows is None else parts[1],
            **(self._extra_positives(image, layer, extra) if extra and len(image.boxes) else {}),
        )

    def _extra_positives(self, image: AnnotatedImage, layer: str, extra: ExtraPositives) -> dict[str, object]:
        """Further positives of an image: its objects moved a little, and all of them mirrored."""
        usable = np.ones(len(image.labels), bool) if extra.difficult else ~image.difficult
        boxes, labels = image.boxes[usable], image.labels[usable]
        moved, owners = jittered_boxes(boxes, image.size, extra.jittered, extra.jitter_iou, extra.seed, image.image_id)
        parts, extra_labels = [self.extractor().regions(self.pyramid(image), moved, layer)], [labels[owners]]
        if extra.mirrored:
            both = flip(np.concatenate([boxes, moved]), image.size[1])
            parts.append(self.extractor().regions(self.pyramid(image, mirrored=True), both, layer))
            extra_labels += [labels, labels[owners]]
        all_boxes, values = (np.concatenate([getattr(one, name) for one in parts]) for name in ("boxes", "values"))
        regions = RegionFeatures(image.image_id, all_boxes, values, layer)
        return {"extra": regions, "extra_labels": np.concatenate(extra_labels)}
