"""Stage: why a window has its score for a class, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from detection.detector import Detector
from detection.geometry import iou
from detection.inspection.contributions import PooledWindow, window_contributions
from detection.learning import NMSOutcome, nms_outcome, suppressed
from detection.types import AnnotatedImage, FeaturePyramid, Proposals, RegionScores


@dataclass(frozen=True)
class WindowExplanation:
    """Everything that decided about one box for one class.

    row: of the box among the image's windows; is_window: whether it is one of them, else it was added to them for this.
    scores: (L,) of the box for every class, before regression, which changes no score. pooled: how it was pooled and
    what each value adds to the score of `label`; constant: what is added beside that, the bias and, behind fc layers,
    what these add. refined: (4,) the box after regression and clipping. nearest: row of the object that it overlaps
    most, or -1, and overlap: their IoU. fate: what NMS did; rival: the box that suppressed it, or None.
    """

    image: AnnotatedImage
    box: np.ndarray
    label: int
    is_window: bool
    row: int
    scores: np.ndarray
    pooled: PooledWindow
    constant: float
    refined: np.ndarray
    nearest: int
    overlap: float
    fate: NMSOutcome
    rival: np.ndarray | None
    rival_score: float


def explain_window(
    detector: Detector,
    image: AnnotatedImage,
    windows: Proposals,
    pyramid: FeaturePyramid,
    box: np.ndarray,
    label: int | None = None,
) -> WindowExplanation:
    """Follow one box through a detector. box: (4,) px of the image. label: of the class; None: that of its best score.

    A box that is none of the image's windows joins them, behind the others. Raises ValueError for a box without area
    or not inside the image.
    """
    box = np.asarray(box, np.float32)
    inside = (box[:2] >= 0).all() and box[2] <= image.size[1] and box[3] <= image.size[0]
    if box.shape != (4,) or not (inside and box[2] > box[0] and box[3] > box[1]):
        raise ValueError(
            f"window: expected x1 < x2 and y1 < y2 inside (height, width) = {image.size}, got {box.tolist()}"
        )
    same = np.flatnonzero((windows.boxes == box).all(axis=1))
    boxes = windows.boxes if len(same) else np.concatenate([windows.boxes, box[None]])
    row = int(same[0]) if len(same) else len(boxes) - 1
    pool5 = detector.extractor.pool(pyramid, boxes)
    features = pool5 if detector.svms.layer == "pool5" else detector.extractor.head(pool5, detector.svms.layer)
    scores = detector.svms.region_scores(features)
    refined = scores if detector.regressors is None else detector.regressors.refine(scores, pool5)
    settings = detector.postprocess_settings
    mine = scores.scores[row]
    label = int(mine.argmax()) if label is None else label
    if not np.isfinite(mine[label]):
        raise ValueError(f"class {detector.classes[label]}: expected one that was trained, got an untrained one")
    gradient = _gradient(detector, pool5.values[row], label)
    pooled = window_contributions(pyramid, box, pool5.values[row], gradient, detector.extractor.settings)
    added = sum(float(stage.contributions.sum()) for stage in pooled.stages)
    judged = refined
    if detector.regressors is not None and settings.nms_before_regression:
        # The first of two suppressions; the second is among the windows that it leaves.
        judged = scores
        if nms_outcome(scores, image.size, row, label, settings).outcome == "kept":
            judged = RegionScores(refined.image_id, refined.boxes, suppressed(scores, image.size, settings).scores)
    fate = nms_outcome(judged, image.size, row, label, settings)
    overlaps = iou(box, image.boxes)[0] if len(image.boxes) else np.zeros(0)
    nearest = int(overlaps.argmax()) if overlaps.any() else -1
    return WindowExplanation(
        image, box, label, bool(len(same)), row, mine, pooled, float(mine[label]) - added,
        np.clip(refined.boxes[row, label], 0, np.array([*image.size[::-1]] * 2, np.float32)),
        nearest, float(overlaps[nearest]) if nearest >= 0 else 0.0, fate,
        *_rival(judged, fate, label),
    )  # fmt: skip


def _rival(judged: RegionScores, fate: NMSOutcome, label: int) -> tuple[np.ndarray | None, float]:
    if fate.by is None:
        return None, float("nan")
    return judged.boxes[fate.by, label], float(judged.scores[fate.by, label])


def _gradient(detector: Detector, vector: np.ndarray, label: int) -> np.ndarray:
    weights = detector.svms.weights[label].astype(np.float64)
    if detector.svms.layer == "pool5":
        return weights
    return detector.extractor.pooled_head.gradient(vector, detector.svms.layer, weights)
