"""What is measured on, where several commands share it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from detection.data import VOC_CLASSES, DatasetSource, Problems, load_annotations
from detection.detector import Detector
from detection.features import FeatureExtractor, FeatureSettings
from detection.learning import BoxRegressors, LinearSVMs
from detection.proposals import ProposalSettings

# (height, width) in px of most VOC photos, which the figures of one image are told for.
VOC_SIZE = (375, 500)
# What stands in for a trained detector takes the same time; it is to find something, and not everything.
_UNTRAINED_CLASSES = 5
_WEIGHT_SPREAD, _OFFSET_SPREAD, _BIAS = 0.01, 0.0003, -1.0


def sample_photos() -> dict[str, np.ndarray]:
    """scikit-learn's two photos, name -> (427, 640, 3) uint8 RGB."""
    from sklearn.datasets import load_sample_images

    images = load_sample_images()
    return {Path(name).name: np.array(rgb) for name, rgb in zip(images.filenames, images.images, strict=True)}


def photo_paths(voc: str | None, year: str, split: str, count: int) -> list[Path]:
    """The first photos of a split that are of VOC_SIZE; without a devkit scikit-learn's two, (427, 640) px.

    Raises ValueError where there are none.
    """
    if voc is None:
        from sklearn.datasets import images

        return sorted(Path(images.__path__[0]).glob("*.jpg"))[:count]
    found = load_annotations([DatasetSource(year, split, voc)], VOC_CLASSES, Problems())
    paths = [Path(image.path) for image in found if tuple(image.size) == VOC_SIZE][:count]
    if not paths:
        raise ValueError(f"{voc}: expected photos of {VOC_SIZE} px in split {split} of {year}, found none")
    return paths


def detector_of(run: str | None, settings: FeatureSettings | None = None) -> Detector:
    """The detector of a finished run, or, for None, one of the defaults whose classes are random (seed 0)."""
    if run is not None:
        return Detector.load(Path(run) / "detector")
    extractor = FeatureExtractor.from_settings(settings or FeatureSettings())
    rng, length, classes = np.random.default_rng(0), extractor.length("pool5"), _UNTRAINED_CLASSES
    trained = np.ones(classes, bool)
    weights = rng.normal(0, _WEIGHT_SPREAD, (classes, length)).astype(np.float32)
    offsets = rng.normal(0, _OFFSET_SPREAD, (classes, 4, length)).astype(np.float32)
    return Detector(
        classes=tuple(f"class {number}" for number in range(classes)),
        proposal_settings=ProposalSettings(),
        extractor=extractor,
        svms=LinearSVMs(weights, np.full(classes, _BIAS, np.float32), trained, "pool5"),
        regressors=BoxRegressors(offsets, np.zeros((classes, 4), np.float32), trained, "pool5"),
    )
