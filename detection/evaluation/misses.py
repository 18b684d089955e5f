"""Which objects were missed, and why: proposals, box regression, scores or suppression."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np

from detection.evaluation.errors import Box, DetectionCase
from detection.evaluation.settings import EvaluationSettings
from detection.geometry import clip, has_area, iou
from detection.types import AnnotatedImage, Detections, Proposals, RegionScores

Cause = Literal["no proposal", "moved away", "scored low", "suppressed"]
CAUSES: tuple[Cause, ...] = get_args(Cause)

# Where the bins of size and aspect end, as shares of a class's objects (Hoiem et al., section 2.2).
_BIN_ENDS = (0.1, 0.3, 0.7, 0.9)
# Extra small to extra large, extra tall to extra wide: names of the bins of area and of width / height.
SIZES = ("XS", "S", "M", "L", "XL")
ASPECTS = ("XT", "T", "M", "W", "XW")


@dataclass(frozen=True)
class MissCause:
    """Why no detection among the top-ranked found an object, and the proposal that came nearest to doing so.

    proposal: its box before regression, image frame; box: the box that was scored, after regression and clipping, or
    what voting made of it where that moved it away; both None where the image has no proposal at all. overlap: IoU of
    `proposal` with the object. box_overlap: of `box`. score: of `box` for the object's class, None where it has none
    (an untrained class). Which proposal is shown: under "no proposal" and "moved away" by regression the one with the
    greatest IoU, else the highest-scoring whose box after regression would match.
    """

    cause: Cause
    proposal: Box | None
    overlap: float
    box: Box | None
    box_overlap: float
    score: float | None


@dataclass(frozen=True)
class MissedObject:
    """An object that counts and that no detection among the top-ranked of its class found.

    image: position among the annotations; row: in that image's annotation. size, aspect: its bins among the objects
    of its class (SIZES, ASPECTS). truncated: as annotated, None where the format does not tell. found_score: score of
    its true positive further down the ranking, None where there is none. best: the detection of its class with the
    greatest IoU, at any rank; None where none overlaps it. cause: None where proposals were not looked at.
    """

    image: int
    image_id: str
    row: int
    label: int
    box: Box
    size: str
    aspect: str
    truncated: bool | None
    found_score: float | None
    best: DetectionCase | None
    cause: MissCause | None


@dataclass(frozen=True)
class MissTable:
    """How many objects that count there are and were missed in each bin, all classes together, by bin name."""

    objects: Mapping[str, int]
    missed: Mapping[str, int]


def bin_places(values: np.ndarray) -> np.ndarray:
    """(G,) places 0 .. 4 of values among each other: the lowest 10 %, the next 20, 40 and 20 %, the highest 10 %.

    Equal values are in one bin, by the middle of their ranks; a single value is in the middle one.
    """
    ordered = np.sort(values)
    less, most = np.searchsorted(ordered, values, "left"), np.searchsorted(ordered, values, "right")
    return np.searchsorted(_BIN_ENDS, (less + most) / (2 * max(len(values), 1)), "right")


def explain_misses(
    truth: AnnotatedImage,
    rows: Sequence[int],
    proposals: Proposals,
    scored: RegionScores,
    found: Detections,
    cuts: np.ndarray,
    max_per_class: int,
    settings: EvaluationSettings,
    voting: bool = False,
) -> list[MissCause]:
    """Why the objects `rows` of one image were missed; one cause each.

    proposals: the image's R, and behind them boxes of further rounds. scored: their scores and boxes after regression,
    row by row, before suppression. found: what became of them. cuts: (L,) float64, the least score of a class's
    top-ranked detections, or the least that is kept at all. max_per_class: most detections that an image keeps of a
    class. voting: whether voting moved those that were kept. In this order:

    no proposal: neither a proposal nor its box after regression reaches the IoU that a match needs. moved away: a
    proposal does, its box after regression does not, or after voting where it was kept. scored low: the highest-scoring
    box that does scores below the cut, or is over `max_per_class`, or the class is untrained. suppressed: it scores
    enough, but a higher-scoring box that overlaps it was kept in its place, or it counts for another object of the
    class that it overlaps more.

    Raises ValueError where proposals and scores are not of the same image or number.
    """
    ids, count = {truth.image_id, proposals.image_id, scored.image_id}, len(proposals.boxes)
    if len(ids) > 1 or len(scored.boxes) != count:
        raise ValueError(
            f"misses of image {truth.image_id!r}: expected its proposals and one row of scores a proposal, got "
            f"{count} of {proposals.image_id!r} and {len(scored.boxes)} of {scored.image_id!r}"
        )
    if not count:
        return [MissCause("no proposal", None, 0.0, None, 0.0, None)] * len(rows)
    return [_explain_miss(truth, row, proposals, scored, found, cuts, max_per_class, settings, voting) for row in rows]


def _explain_miss(
    truth, row, proposals, scored, found, cuts, max_per_class, settings: EvaluationSettings, voting
) -> MissCause:
    label = int(truth.labels[row])
    boxes = clip(scored.boxes[:, label], truth.size)
    scores = scored.scores[:, label].astype(np.float64)
    usable = np.isfinite(scores) & has_area(boxes)
    overlaps = iou(proposals.boxes, truth.boxes[[row]])[:, 0]
    box_overlaps = np.where(usable, iou(boxes, truth.boxes[[row]])[:, 0], 0)
    fitting = _candidates(truth, row, boxes, settings.is_match(box_overlaps), settings)
    if len(fitting):
        best = int(fitting[scores[fitting].argmax()])
        of_class = found.scores[found.labels == label]
        over_most = len(of_class) >= max_per_class and scores[best] < of_class.min()
        cause = "scored low" if scores[best] < cuts[label] or over_most else "suppressed"
        kept = found.boxes[voting & (found.labels == label) & (found.scores == scores[best])]
        voted = iou(kept, truth.boxes[[row]])[:, 0]
        if cause == "suppressed" and len(kept) and not settings.is_match(voted).any():
            cause, boxes[best], box_overlaps[best] = "moved away", kept[0], voted[0]
    else:
        best = int(overlaps.argmax())
        near = settings.is_match(overlaps).any()
        cause = "no proposal" if not near else "moved away" if usable.any() else "scored low"
    proposal, box = (tuple(one[best].tolist()) for one in (proposals.boxes, boxes))
    score = float(scores[best]) if np.isfinite(scores[best]) else None
    return MissCause(cause, proposal, float(overlaps[best]), box, float(box_overlaps[best]), score)


def _candidates(truth: AnnotatedImage, row: int, boxes: np.ndarray, enough: np.ndarray, settings) -> np.ndarray:
    """Of the boxes that overlap the object enough, those that would be matched to it; all, where none would."""
    fitting = np.flatnonzero(enough)
    same = truth.labels == truth.labels[row]
    if settings.difficult == "drop":
        same &= ~truth.difficult
    rivals = np.flatnonzero(same)
    own = fitting[rivals[iou(boxes[fitting], truth.boxes[rivals]).argmax(axis=1)] == row] if len(fitting) else fitting
    return own if len(own) else fitting


def cause_to_json(cause: MissCause) -> dict[str, Any]:
    """Plain data that `cause_from_json` reads back."""
    return asdict(cause)


def cause_from_json(value: Mapping[str, Any]) -> MissCause:
    """What `cause_to_json` wrote. Raises TypeError for other keys."""
    boxes = {name: None if value[name] is None else tuple(value[name]) for name in ("proposal", "box")}
    return MissCause(**{**value, **boxes})
