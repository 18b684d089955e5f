"""What the reader of a figure should know: sentences about detections and annotations that do not fit."""

from collections.abc import Iterable, Sequence

import numpy as np

from detection.evaluation.coco_figures import COCO_MOST
from detection.evaluation.metrics import Metric, at_one_threshold
from detection.evaluation.metrics.metric import precision_recall
from detection.evaluation.results import ClassEvaluation
from detection.types import AnnotatedImage, Detections

# How many names a caution spells out.
_NAMED = 5
# Detections that were cut are reported where objects not found could add more than this to the mAP.
_LEAST_GAIN = 0.01
# A limit of detections an image is seen where this share of the images, and so many, have exactly the greatest count,
# and that is at least _LEAST_LIMIT: below, equal counts are common without a limit.
_LIMITED_SHARE, _LIMITED_IMAGES, _LEAST_LIMIT = 0.01, 2, 10
# Images with objects but without detections are reported from this share on.
_UNSEEN_SHARE = 0.5


def cautions(
    records: Sequence[Detections],
    annotations: Sequence[AnnotatedImage],
    per_class: Sequence[ClassEvaluation],
    metric: Metric,
) -> tuple[str, ...]:
    """One sentence for everything that makes the figures mean less than they seem to.

    Image ids that do not match; classes without objects; and detections cut at a high score, or at a number an image,
    in a way that can lower AP: where the objects not found, had they been found right below the last detection of
    their list or image, would add more than 0.01 to the mAP. That is the most a longer list can give.
    """
    found = [*_unknown_images(records, annotations), *_unseen(records, annotations), *_classes(per_class)]
    if not any(one.detections for one in per_class):
        found.append(f"there is no detection in any of the {len(annotations)} annotated images")
        return tuple(found)
    absent = [one.name for one in per_class if one.objects and not one.detections]
    if absent:
        found.append(f"{_classes_have(absent)} objects but no detection at all: {', '.join(absent)}")
    return (*found, *_ends_early(per_class, metric), *_limits(per_class, len(annotations), metric))


def _unknown_images(records: Sequence[Detections], annotations: Sequence[AnnotatedImage]) -> list[str]:
    known = {one.image_id for one in annotations}
    unknown = [one for one in records if one.image_id not in known]
    if not unknown:
        return []
    text = (
        f"{len(unknown)} images with {sum(len(one.labels) for one in unknown)} detections are not among the "
        f"{len(annotations)} annotated images and were left out: {_some([one.image_id for one in unknown])}"
    )
    core = {_core(image_id): image_id for image_id in known}
    alike = next((one.image_id for one in unknown if _core(one.image_id) in core), None)
    return [text + (f"; {alike!r} looks like {core[_core(alike)]!r}" if alike is not None else "")]


def _core(image_id: str) -> str:
    """An id without folders, extension and leading zeros."""
    name = image_id.replace("\\", "/").rsplit("/", 1)[-1]
    return (name.rsplit(".", 1)[0] or name).lstrip("0") or "0"


def _unseen(records: Sequence[Detections], annotations: Sequence[AnnotatedImage]) -> list[str]:
    seen = {one.image_id for one in records if len(one.labels)}
    filled = [one.image_id for one in annotations if len(one.labels)]
    unseen = [image_id for image_id in filled if image_id not in seen]
    if len(unseen) == len(filled) or len(unseen) <= _UNSEEN_SHARE * len(filled):
        return []
    return [
        f"{len(unseen)} of the {len(filled)} images with objects have no detection: {_some(unseen)}; "
        "are the detections of this split?"
    ]


def _classes(per_class: Sequence[ClassEvaluation]) -> list[str]:
    found = []
    for marked, what in ((False, "no objects"), (True, "difficult objects only")):
        names = [one.name for one in per_class if not one.objects and bool(one.difficult) == marked]
        if names:
            verb = "is" if len(names) == 1 else "are"
            found.append(f"{_classes_have(names)} {what} and {verb} not in the mean: {', '.join(names)}")
    return found


def _ends_early(per_class: Sequence[ClassEvaluation], metric: Metric) -> list[str]:
    """Detections cut at a high score: few below the last object found."""
    lists = [one for one in per_class if one.objects and len(one.scores)]
    gains = [_gain(one, np.full(one.objects - one.true_positives, one.scores[-1]), metric) for one in lists]
    total = _over_classes(gains, per_class)
    if total <= _LEAST_GAIN:
        return []
    worst = sorted(zip(gains, lists, strict=True), key=lambda one: one[0], reverse=True)[:_NAMED]
    last = ", ".join(f"{one.name} {one.scores[-1]:.4g}" for gain, one in worst if gain > 0)
    return [
        f"the lists of detections are short: the objects that they miss could add up to {total:.3f} to the mAP if they "
        f"were found below the last scores ({last}); were detections of low score left out?"
    ]


def _limits(per_class: Sequence[ClassEvaluation], image_count: int, metric: Metric) -> list[str]:
    """A limit of detections an image, or an image and class, where objects are missed."""
    counts = np.zeros((len(per_class), image_count), np.int64)
    lowest = np.full((len(per_class), image_count), np.inf)
    for label, one in enumerate(per_class):
        counts[label] = np.bincount(one.matches.images, minlength=image_count)
        np.minimum.at(lowest[label], one.matches.images, one.matches.scores)
    of_images = np.broadcast_to(counts.sum(axis=0), counts.shape)
    image_limit, class_limit = _limit(of_images), _limit(counts)
    if class_limit and image_limit > class_limit and image_limit % class_limit == 0:
        image_limit = 0  # as many as so many classes at their limit make
    found = []
    for limit, numbers, low, of_what in (
        (image_limit, of_images, np.broadcast_to(lowest.min(axis=0), counts.shape), ""),
        (class_limit if class_limit != image_limit else 0, counts, lowest, " of a class"),
    ):
        reached = numbers == limit
        gain = _limit_gain(per_class, reached, low, metric) if limit else 0.0
        if gain > _LEAST_GAIN:
            found.append(
                f"{_images_have(reached)} exactly {limit} detections{of_what}, which looks like a limit: the objects "
                f"missed there could add up to {gain:.3f} to the mAP if they were found by detections that were left "
                "out"
            )
    beyond = counts > COCO_MOST
    if metric.thresholds and beyond.any():
        found.append(
            f"{_images_have(beyond)} more than {COCO_MOST} detections of a class; COCO's AP leaves out the others"
        )
    return found


def _limit(counts: np.ndarray) -> int:
    """The greatest of the counts (L, I), or 0 where it does not look like a limit."""
    most = int(counts.max(initial=0))
    reached = int((counts == most).any(axis=0).sum())
    return most if most >= _LEAST_LIMIT and reached >= max(_LIMITED_IMAGES, _LIMITED_SHARE * counts.shape[1]) else 0


def _limit_gain(per_class: Sequence[ClassEvaluation], reached: np.ndarray, lowest: np.ndarray, metric: Metric) -> float:
    """Most that mAP can gain by objects found below `lowest` (L, I), the lowest score, where a limit is `reached`."""
    gains = []
    for one, there, low in zip(per_class, reached, lowest, strict=True):
        missed = one.found.images[one.found.counts & (one.found.found < 0)]
        if one.objects and len(one.scores):
            gains.append(_gain(one, low[missed[there[missed]]], metric))
    return _over_classes(gains, per_class)


def _gain(one: ClassEvaluation, scores: np.ndarray, metric: Metric) -> float:
    """What AP at one IoU threshold gains by as many more true positives right below `scores`."""
    order = np.argsort(-np.concatenate([one.scores, scores]), kind="stable")
    more = np.concatenate([one.matches.hits, np.ones(len(scores), dtype=bool)])[order]
    average = at_one_threshold(metric).average
    return average(*precision_recall(more, one.objects)) - average(one.precision, one.recall)


def _over_classes(gains: Iterable[float], per_class: Sequence[ClassEvaluation]) -> float:
    """Sum of the classes' gains as a gain of their mean."""
    return float(sum(gains)) / max(sum(one.objects > 0 for one in per_class), 1)


def _classes_have(names: Sequence[str]) -> str:
    return "1 class has" if len(names) == 1 else f"{len(names)} classes have"


def _images_have(marked: np.ndarray) -> str:
    """marked: (L, I) bool."""
    count = int(marked.any(axis=0).sum())
    return "1 image has" if count == 1 else f"{count} images have"


def _some(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(map(repr, names[:_NAMED])) + (f" and {more} more" if more > 0 else "")
