"""Why a window has its score for a class, and what NMS did with it."""

from dataclasses import dataclass, replace

import numpy as np

from detection.detector import Detector
from detection.features.settings import FeatureSettings
from detection.geometry import clip, iou
from detection.inspection.contributions import RegionContributions, region_contributions
from detection.learning import NMSOutcome, nms_outcome
from detection.types import AnnotatedImage, FeaturePyramid, Proposals


@dataclass(frozen=True)
class WindowExplanation:
    """Everything that decided about one box for one class.

    classes, settings: of the detector. is_proposal: whether the box is one of the image's proposals, else it was added
    to them for this. scores: (L,) of the box for every class, before regression, which changes no score. pooled: how
    it was pooled and what each value adds to the score of `label`. constant: what is added besides, the bias and,
    behind fc layers, what these add. nearest: row of the object that it overlaps most, or -1, and overlap: their IoU.
    mean_score: the mean with its score in the mirrored image, where the detector goes by both, else None. refined: (4,)
    the box after regression and clipping. nms: what NMS did; rival: the box that suppressed it, or None, and its score,
    or NaN.
    """

    image: AnnotatedImage
    classes: tuple[str, ...]
    settings: FeatureSettings
    box: np.ndarray
    label: int
    is_proposal: bool
    scores: np.ndarray
    pooled: RegionContributions
    constant: float
    nearest: int
    overlap: float
    mean_score: float | None
    refined: np.ndarray
    nms: NMSOutcome
    rival: np.ndarray | None
    rival_score: float

    @property
    def score(self) -> float:
        """The box's score for the class."""
        return float(self.scores[self.label])


def explain_window(
    detector: Detector,
    image: AnnotatedImage,
    proposals: Proposals,
    pyramid: FeaturePyramid,
    box: np.ndarray,
    label: int | None = None,
) -> WindowExplanation:
    """Follow one box through a detector. box: (4,) px of the image. label: of the class; None: that of its best score.

    A box that is none of the image's proposals joins them, behind the others. Raises ValueError for a box without area
    or not inside the image, and for a class that was not trained.
    """
    box = _checked(box, image.size)
    same = np.flatnonzero((proposals.boxes == box).all(axis=1))
    boxes, row = np.concatenate([proposals.boxes, box[None]]), len(proposals.boxes)
    if len(same):
        boxes, row = proposals.boxes, int(same[0])
    extractor, layer = detector.extractor, detector.svms.layer
    pool5 = extractor.pool(pyramid, boxes[[row]])
    own = detector.svms.region_scores(pool5 if layer == "pool5" else extractor.head(pool5, layer)).scores[0]
    vector, label = pool5.values[0], int(own.argmax()) if label is None else label
    if not np.isfinite(own[label]):
        raise ValueError(f"class {detector.classes[label]}: expected one that was trained, got an untrained one")
    gradient = detector.svms.weights[label].astype(np.float64)
    if layer != "pool5":
        gradient = extractor.pooled_head.gradient(vector, layer, gradient)
    pooled = region_contributions(pyramid, box, vector, gradient, extractor.settings)
    constant = float(own[label]) - sum(float(stage.contributions.sum()) for stage in pooled.stages)
    overlaps = iou(box, image.boxes)[0] if len(image.boxes) else np.zeros(0)
    nearest = int(overlaps.argmax()) if overlaps.any() else -1
    return WindowExplanation(
        image, detector.classes, extractor.settings, box, label, bool(len(same)), own, pooled, constant, nearest,
        float(overlaps[nearest]) if nearest >= 0 else 0.0,
        *_outcome(detector, replace(proposals, boxes=boxes), pyramid, row, label),
    )  # fmt: skip


def _checked(box: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    box = np.asarray(box, np.float32)
    inside = box.shape == (4,) and (box[:2] >= 0).all() and box[2] <= size[1] and box[3] <= size[0]
    if not (inside and box[2] > box[0] and box[3] > box[1]):
        raise ValueError(f"window: expected x1 < x2 and y1 < y2 inside (height, width) = {size}, got {box.tolist()}")
    return box


def _outcome(
    detector: Detector, proposals: Proposals, pyramid: FeaturePyramid, row: int, label: int
) -> tuple[float | None, np.ndarray, NMSOutcome, np.ndarray | None, float]:
    """(Mean score, refined box, what NMS did, the box that suppressed this one or None, its score or NaN)."""
    settings, size = detector.postprocess_settings, pyramid.size
    # Every box by itself, before anything is suppressed, and without those that further rounds bring.
    alone = replace(settings, nms_before_regression=False, rounds=1)
    first = replace(detector, postprocess_settings=alone).scored(proposals, pyramid)
    mean = float(first.scores.scores[row, label]) if settings.mirrored else None
    ranked, twice = detector.score_proposals(proposals, pyramid), settings.nms_before_regression
    if detector.regressors is not None and twice and not np.isfinite(ranked.scores[row, label]):
        # The first of two suppressions; the second is among the proposals that it leaves.
        ranked = first.scores
    outcome = nms_outcome(ranked, size, row, label, settings)
    rival = (None, float("nan"))
    if outcome.by is not None:
        rival = ranked.boxes[outcome.by, label], float(ranked.scores[outcome.by, label])
    return mean, clip(first.refined().boxes[row, label], size), outcome, *rival
