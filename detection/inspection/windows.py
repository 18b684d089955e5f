"""Why a window has its score for a class, and what NMS did with it."""

from dataclasses import dataclass

import numpy as np

from detection.detector import Detector
from detection.features.settings import FeatureSettings
from detection.geometry import clip, iou
from detection.inspection.contributions import RegionContributions, region_contributions
from detection.learning import NMSOutcome, nms_outcome, suppressed
from detection.types import AnnotatedImage, FeaturePyramid, Proposals, RegionScores


@dataclass(frozen=True)
class WindowExplanation:
    """Everything that decided about one box for one class.

    classes, settings: of the detector. is_proposal: whether the box is one of the image's proposals, else it was added
    to them for this. scores: (L,) of the box for every class, before regression, which changes no score. pooled: how
    it was pooled and what each value adds to the score of `label`. constant: what is added besides, the bias and,
    behind fc layers, what these add. refined: (4,) the box after regression and clipping. nearest: row of the object
    that it overlaps most, or -1, and overlap: their IoU. nms: what NMS did; rival: the box that suppressed it, or None,
    and its score, or NaN.
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
    refined: np.ndarray
    nearest: int
    overlap: float
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
    pool5 = extractor.pool(pyramid, boxes)
    scores = detector.svms.region_scores(pool5 if layer == "pool5" else extractor.head(pool5, layer))
    refined = scores if detector.regressors is None else detector.regressors.refine(scores, pool5)
    own, vector = scores.scores[row], pool5.values[row]
    label = int(own.argmax()) if label is None else label
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
        image, detector.classes, extractor.settings, box, label, bool(len(same)), own, pooled, constant,
        clip(refined.boxes[row, label], image.size), nearest, float(overlaps[nearest]) if nearest >= 0 else 0.0,
        *_outcome(detector, scores, refined, image.size, row, label),
    )  # fmt: skip


def _checked(box: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    box = np.asarray(box, np.float32)
    inside = box.shape == (4,) and (box[:2] >= 0).all() and box[2] <= size[1] and box[3] <= size[0]
    if not (inside and box[2] > box[0] and box[3] > box[1]):
        raise ValueError(f"window: expected x1 < x2 and y1 < y2 inside (height, width) = {size}, got {box.tolist()}")
    return box


def _outcome(
    detector: Detector, scores: RegionScores, refined: RegionScores, size: tuple[int, int], row: int, label: int
) -> tuple[NMSOutcome, np.ndarray | None, float]:
    """(What NMS did, the box that suppressed this one or None, its score or NaN)."""
    settings, ranked = detector.postprocess_settings, refined
    if detector.regressors is not None and settings.nms_before_regression:
        # The first of two suppressions; the second is among the proposals that it leaves.
        ranked = scores
        if nms_outcome(scores, size, row, label, settings).outcome == "kept":
            ranked = RegionScores(refined.image_id, refined.boxes, suppressed(scores, size, settings).scores)
    outcome = nms_outcome(ranked, size, row, label, settings)
    if outcome.by is None:
        return outcome, None, float("nan")
    return outcome, ranked.boxes[outcome.by, label], float(ranked.scores[outcome.by, label])
