"""What the reader of a figure should know: sentences about detections and annotations that do not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from detection.evaluation.matching import IGNORED, TRUE_POSITIVE
from detection.evaluation.metrics.average_precision import area_ap, eleven_point_ap, precision_recall
from detection.evaluation.metrics.coco import COCO_MOST
from detection.evaluation.results import ClassEvaluation
from detection.evaluation.settings import Metric
from detection.types import AnnotatedImage, Detections

# How many names a caution spells out.
_NAMED = 5
# Detections that were cut are told of where objects not found could add more than this to the mAP.
_LEAST_GAIN = 0.01
# A limit of detections an image is seen where this share of the images, and so many, have exactly the greatest count,
# and that is at least _LEAST_LIMIT: below, equal counts are common without a limit.
_LIMITED_SHARE, _LIMITED_IMAGES, _LEAST_LIMIT = 0.01, 2, 10
# Images with objects but without detections are told of from this share on.
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
    found = [*_strangers(records, annotations), *_unseen(records, annotations), *_classes(per_class)]
    if not any(one.detections for one in per_class):
        found.append(f"there is no detection in any of the {len(annotations)} annotated images")
        return tuple(found)
    absent = [one.name for one in per_class if one.objects and not one.detections]
    if absent:
        found.append(f"{_classes_have(absent)} objects but no detection at all: {', '.join(absent)}")
    return (*found, *_ends_early(per_class, metric), *_limits(per_class, len(annotations), metric))


def _strangers(records: Sequence[Detections], annotations: Sequence[AnnotatedImage]) -> list[str]:
    known = {one.image_id for one in annotations}
    strangers = [one for one in records if one.image_id not in known]
    if not strangers:
        return []
    total = sum(len(one.labels) for one in strangers)
    text = (
        f"{len(strangers)} images with {total} detections are not among the {len(annotations)} annotated images "
        f"and were left out: {_some([one.image_id for one in strangers])}"
    )
    core = {_core(image_id): image_id for image_id in known}
    alike = next((one.image_id for one in strangers if _core(one.image_id) in core), None)
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
    for names, what in (
        ([one.name for one in per_class if not one.objects and not one.difficult], "no objects"),
        ([one.name for one in per_class if not one.objects and one.difficult], "difficult objects only"),
    ):
        if names:
            verb = "is" if len(names) == 1 else "are"
            found.append(f"{_classes_have(names)} {what} and {verb} not in the mean: {', '.join(names)}")
    return found


def _ends_early(per_class: Sequence[ClassEvaluation], metric: Metric) -> list[str]:
    """Detections cut at a high score: few below the last object found."""
    lists = [one for one in per_class if one.objects and len(one.scores)]
    lowest = {one.name: np.full(one.objects - one.true_positives, one.scores[-1]) for one in lists}
    gains = {one.name: _gain(one, lowest[one.name], metric) for one in lists}
    total = _over_classes(gains.values(), per_class)
    if total <= _LEAST_GAIN:
        return []
    worst = sorted(gains, key=gains.__getitem__, reverse=True)[:_NAMED]
    last = ", ".join(f"{name} {lowest[name][0]:.4g}" for name in worst if gains[name] > 0)
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
    of_image = _limited(counts.sum(axis=0), image_count)
    of_class = _limited(counts, image_count)
    if of_image is not None and of_class is not None and of_image[0] > of_class[0] and of_image[0] % of_class[0] == 0:
        of_image = None  # as many as so many classes at their limit make
    found = []
    if of_image is not None:
        most, there = of_image
        gain = _limit_gain(per_class, lambda label: there, lambda label: lowest.min(axis=0), metric)
        found += _limit_caution(f"{_images_have(there.sum())} exactly {most} detections", gain)
    if of_class is not None and (of_image is None or of_class[0] != of_image[0]):
        most, cells = of_class
        gain = _limit_gain(per_class, cells.__getitem__, lowest.__getitem__, metric)
        found += _limit_caution(f"{_images_have(cells.any(axis=0).sum())} exactly {most} detections of a class", gain)
    beyond = int((counts > COCO_MOST).any(axis=0).sum())
    if metric == "coco" and beyond:
        found.append(
            f"{_images_have(beyond)} more than {COCO_MOST} detections of a class; COCO's AP leaves out the others"
        )
    return found


def _limited(counts: np.ndarray, image_count: int) -> tuple[int, np.ndarray] | None:
    """(the limit, where it is reached), or None where nothing looks like one."""
    most = int(counts.max(initial=0))
    there = counts == most
    reached = int(there.reshape(-1, image_count).any(axis=0).sum())
    if most < _LEAST_LIMIT or reached < max(_LIMITED_IMAGES, _LIMITED_SHARE * image_count):
        return None
    return most, there


def _limit_gain(
    per_class: Sequence[ClassEvaluation],
    reached: Callable[[int], np.ndarray],
    lowest: Callable[[int], np.ndarray],
    metric: Metric,
) -> float:
    """Most that mAP can gain by objects found below the lowest score of the images where a limit is reached."""
    gains = []
    for label, one in enumerate(per_class):
        missed = one.found.images[one.found.counts & (one.found.found < 0)]
        missed = missed[reached(label)[missed]]
        gains.append(_gain(one, lowest(label)[missed], metric) if one.objects and len(one.scores) else 0.0)
    return _over_classes(gains, per_class)


def _limit_caution(what: str, gain: float) -> list[str]:
    if gain <= _LEAST_GAIN:
        return []
    return [
        f"{what}, which looks like a limit: the objects missed there could add up to {gain:.3f} to the mAP if they "
        "were found by detections that were left out"
    ]


def _gain(one: ClassEvaluation, scores: np.ndarray, metric: Metric) -> float:
    """What AP gains by as many more true positives right below `scores`; of VOC 2010 under metric coco."""
    counts = one.matches.outcomes != IGNORED
    hits = one.matches.outcomes[counts] == TRUE_POSITIVE
    order = np.argsort(-np.concatenate([one.scores, scores]), kind="stable")
    more = np.concatenate([hits, np.ones(len(scores), dtype=bool)])[order]
    average, ap = (eleven_point_ap, one.ap07) if metric == "voc07" else (area_ap, one.ap10)
    return average(*precision_recall(more, one.objects)) - ap


def _over_classes(gains: Iterable[float], per_class: Sequence[ClassEvaluation]) -> float:
    """Sum of the classes' gains as a gain of their mean."""
    return float(sum(gains)) / max(sum(one.objects > 0 for one in per_class), 1)


def _classes_have(names: Sequence[str]) -> str:
    return "1 class has" if len(names) == 1 else f"{len(names)} classes have"


def _images_have(count: int) -> str:
    return "1 image has" if count == 1 else f"{count} images have"


def _some(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(map(repr, names[:_NAMED])) + (f" and {more} more" if more > 0 else "")
