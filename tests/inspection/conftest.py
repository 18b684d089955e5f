"""A detector with random weights, an image of noise, and the explanation of one of its windows."""

import numpy as np
import pytest

from detection.detector import Detector
from detection.features import FeatureExtractor, FeatureSettings
from detection.inspection.windows import explain_window
from detection.learning import BoxRegressors, LinearSVMs
from detection.proposals import ProposalSettings
from detection.types import AnnotatedImage, Proposals

CLASSES = ("cat", "dog", "cow")


@pytest.fixture(scope="session")
def small_detector():
    settings = FeatureSettings("timm/mobilenetv3_small_050", "random", short_sides=(96, 160), levels=(2, 1))
    extractor, rng = FeatureExtractor.from_settings(settings), np.random.default_rng(0)
    length, trained = extractor.length("pool5"), np.array([True, True, False])
    weights = rng.normal(0, 0.01, (3, length)).astype(np.float32)
    svms = LinearSVMs(weights, np.array([0.5, -0.5, 0], np.float32), trained, "pool5")
    wide = rng.normal(0, 0.001, (3, 4, length)).astype(np.float32)
    regressors = BoxRegressors(wide, np.zeros((3, 4), np.float32), trained, "pool5")
    return Detector(CLASSES, ProposalSettings(), extractor, svms, regressors)


@pytest.fixture(scope="session")
def noise():
    return np.random.default_rng(1).integers(0, 256, (90, 120, 3), dtype=np.uint8)


@pytest.fixture(scope="session")
def explain(small_detector, noise, tmp_path_factory):
    """``explain(box, label=None)``: the explanation of a box of the image of noise, which has two objects."""
    image = AnnotatedImage(
        "a", tmp_path_factory.mktemp("noise") / "a.png", (90, 120),
        np.array([[10, 10, 50, 60], [60, 20, 110, 80]], np.float32), np.array([0, 1]), np.array([False, True]),
    )  # fmt: skip
    boxes = np.array([[8, 8, 50, 60], [0, 0, 120, 90], [62, 20, 110, 80], [10, 10, 50, 58]], np.float32)
    pyramid = small_detector.extractor.pyramid("a", noise, mirrored=True)
    proposals = Proposals("a", (90, 120), boxes, "test")

    def call(box, label=None, detector=small_detector):
        return explain_window(detector, image, proposals, pyramid, np.array(box, np.float32), label)

    return call
