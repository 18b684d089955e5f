"""The detector that several commands measure with: a run's own, or a stand-in."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from detection.detector import Detector
from detection.features import FeatureExtractor, FeatureSettings
from detection.learning import BoxRegressors, LinearSVMs
from detection.proposals import ProposalSettings

# What stands in for a trained detector takes the same time; it is to find something, and not everything.
_UNTRAINED_CLASSES = 5
_WEIGHT_SPREAD, _OFFSET_SPREAD, _BIAS = 0.01, 0.0003, -1.0


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
