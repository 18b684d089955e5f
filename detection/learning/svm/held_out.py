"""SVMs of folds from the samples that mining kept: what the SVMs would be without some images, at little cost."""

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np

from detection.learning.svm.linear_svms import LinearSVMs
from detection.learning.svm.log import TrainingSamples
from detection.learning.svm.samples import TrainingRegions
from detection.learning.svm.settings import SVMSettings
from detection.learning.svm.solver import SVMSolution, solve_svm

# Duality gap of these SVMs, as a part of the objective: where detections lie, not their last digit, is asked for.
_TOLERANCE = 1e-2


def train_held_out(
    samples: Sequence[TrainingSamples],
    images: Iterable[TrainingRegions],
    num_classes: int,
    settings: Sequence[SVMSettings],
    mean_norm: float,
    fold_of: Mapping[str, int],
    executor: Executor | None = None,
) -> list[list[LinearSVMs]]:
    """[setting][fold]: SVMs that are trained on the samples of all other folds' images alone.

    samples: what mining kept of each class that was trained. images: the vectors of their images, in the order of the
    training: all positives, and of the proposals at least those among the samples. settings: the training's, or others
    that differ from them in C and positive_weight: a search that mines once. mean_norm: of the training. fold_of:
    image id -> fold. executor: see ``train_svms``. See `fit_folds`. Raises ValueError for images without any of the
    samples.
    """
    values, places, layer = _vectors(samples, images, settings[0])
    scale = settings[0].norm.target / mean_norm if mean_norm > 0 else 1.0
    return fit_folds(samples, places, values, layer, num_classes, settings, scale, fold_of, executor)


def fit_folds(
    samples: Sequence[TrainingSamples],
    places: Sequence[np.ndarray],
    values: np.ndarray,
    layer: str,
    num_classes: int,
    settings: Sequence[SVMSettings],
    scale: float,
    fold_of: Mapping[str, int],
    executor: Executor | None = None,
) -> list[list[LinearSVMs]]:
    """[setting][fold]: `train_held_out` on vectors that are there: of a class's samples the rows of `values`, -1: none.

    Losses weigh as much more as there are fewer images, so that they weigh against the size of the weights as in the
    training, and margins are on one scale with those of the SVMs trained on all. A class without positives or negatives
    in the other folds is untrained there.
    """
    folds = sorted(set(fold_of.values()))
    problems: dict[tuple[int, int], dict[str, Any]] = {}
    for one, rows in zip(samples, places, strict=True):
        homes = np.array([fold_of.get(image_id, -1) for image_id in one.image_ids])
        labels = np.where(np.arange(len(rows)) < one.positives, 1, -1)
        for fold in folds:
            used = (homes != fold) & (homes >= 0) & (rows >= 0)
            if len(set(labels[used])) == 2:
                alphas = one.alphas[used] * np.float32(_more(fold_of, fold))
                problems[fold, one.label] = {"labels": labels[used], "rows": rows[used], "alphas": alphas}

    def solutions(item: tuple[tuple[int, int], dict[str, Any]]) -> list[SVMSolution]:
        """Under each setting, from where the one before ended: neighbours have nearly the same."""
        (fold, _), problem = item
        found: list[SVMSolution] = []
        for one in settings:
            numbers = replace(one, C=one.C * _more(fold_of, fold)).solver_arguments(scale)
            numbers["tolerance"] = max(one.tolerance, _TOLERANCE)
            start = {"alphas": found[-1].alphas} if found else {}
            found.append(solve_svm(values, **problem | start, **numbers))
        return found

    run = map if not isinstance(executor, ThreadPoolExecutor) else executor.map
    found = dict(zip(problems, run(solutions, problems.items()), strict=True))
    length = values.shape[1]
    return [
        [_joined(fold, {of: each[place] for of, each in found.items()}, num_classes, length, layer) for fold in folds]
        for place in range(len(settings))
    ]


def _more(fold_of: Mapping[str, int], fold: int) -> float:
    """How many times as many images there are with a fold as without."""
    return len(fold_of) / sum(other != fold for other in fold_of.values())


def _joined(
    fold: int, found: Mapping[tuple[int, int], SVMSolution], num_classes: int, length: int, layer: str
) -> LinearSVMs:
    weights, biases = np.zeros((num_classes, length), np.float32), np.zeros(num_classes, np.float32)
    trained = np.zeros(num_classes, bool)
    for (of, label), solution in found.items():
        if of == fold:
            weights[label], biases[label], trained[label] = solution.weights, solution.bias, True
    return LinearSVMs(weights, biases, trained, layer)


def _vectors(
    samples: Sequence[TrainingSamples], images: Iterable[TrainingRegions], settings: SVMSettings
) -> tuple[np.ndarray, list[np.ndarray], str]:
    """(vectors (M, D), the place of each sample of a class among them, -1 where its image did not come; their layer).

    A proposal that several classes keep has one place.
    """
    keys = [_keys(one) for one in samples]
    places: dict[Hashable, int] = dict.fromkeys(chain(*keys), -1)
    values, layer, used = np.zeros((0, 0), np.float32), "", 0
    for regions in images:
        if not layer:
            layer, values = regions.objects.layer, np.empty((len(places), regions.objects.values.shape[1]), np.float32)
        vectors, objects, labels = regions.positives(settings.use_difficult)
        of_objects = _counted(_positive_keys(labels.tolist(), [regions.image_id] * len(labels), objects))
        found = list(zip(of_objects, vectors, strict=True))
        boxes = ((regions.image_id, box.tobytes()) for box in regions.proposals.boxes)
        for key, vector in chain(found, zip(boxes, regions.proposals.values, strict=True)):
            if places.get(key) == -1:
                values[used], places[key] = vector, used
                used += 1
    if not used:
        raise ValueError("held-out SVMs: expected images with samples of the training, got none")
    return values[:used], [np.array([places[key] for key in of_class], np.int64) for of_class in keys], layer


def _keys(samples: TrainingSamples) -> list[Hashable]:
    """What tells a class's samples apart: a positive by class and box, one of equal boxes by its place among them; a
    negative by its box.
    """
    count = samples.positives
    positives = _counted(_positive_keys([samples.label] * count, samples.image_ids[:count], samples.boxes[:count]))
    negatives = zip(samples.image_ids[samples.positives :], samples.boxes[samples.positives :], strict=True)
    return [*positives, *((image_id, box.tobytes()) for image_id, box in negatives)]


def _positive_keys(labels: Sequence[int], image_ids: Sequence[str], boxes: np.ndarray) -> Iterator[tuple]:
    boxes = boxes.astype(np.float32)
    return ((*of, box.tobytes()) for *of, box in zip(labels, image_ids, boxes, strict=True))


def _counted(items: Iterable[tuple]) -> Iterator[tuple]:
    """The items, each with how often it has come before."""
    seen: Counter[tuple] = Counter()
    for one in items:
        yield *one, seen[one]
        seen[one] += 1
