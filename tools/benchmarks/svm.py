"""Linear SVMs against scikit-learn's LinearSVC (liblinear), one thread: CPU time, objective, memory.

Problems: vectors of a run's training images, of the class with most objects: its objects, and in each image a
proposal near one, against proposals far from it, drawn at random; pooled vectors, and those of the layer that the run's
SVMs see where it is another. All at a mean norm of 20, as in training.
"""

import warnings
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Literal

import numpy as np
from benchmarks.detectors import open_run
from benchmarks.harness import Row, Tables, peak_mib, progress, take_turns, timing_rows
from jsonargparse.typing import PositiveInt
from sklearn.svm import LinearSVC

from detection.learning import fit_linear_svm, max_overlaps, solve_svm
from detection.pipeline.experiment import Experiment
from detection.pipeline.stages.images import usable

BIAS, POSITIVE_WEIGHT, NORM = 10.0, 2.0, 20.0
# IoU below which proposals are negatives and from which they are positives.
FAR, NEAR = 0.3, 0.8
# Duality gap, as a part of the objective, of the solution that stands for the optimum.
EXACT = 1e-6


@dataclass(frozen=True)
class Problem:
    """values (N, D) float32, labels (N,) of -1 and +1."""

    name: str
    values: np.ndarray
    labels: np.ndarray


def problem_of(experiment: Experiment, layer: str, positives: int, negatives: int) -> Problem:
    """Vectors of a layer of a run's training images: see the head of this file."""
    images, classes, rng = usable(experiment, experiment.train_images), experiment.classes, np.random.default_rng(0)
    label = int(np.bincount(np.concatenate([one.labels for one in images])).argmax())
    share, near, far = -(-negatives // len(images)), [], []
    for image in images:
        regions = experiment.source.training_regions(image, layer)
        overlap = max_overlaps(regions.proposals.boxes, image.boxes, image.labels, len(classes))[:, label]
        near += [regions.objects.values[image.labels == label], regions.proposals.values[overlap >= NEAR][:1]]
        far.append(regions.proposals.values[rng.permutation(np.flatnonzero(overlap < FAR))[:share]])
        progress(f"{layer}: vectors of {len(far)}/{len(images)} photos")
    progress("")
    parts = np.concatenate(near)[:positives], np.concatenate(far)[:negatives]
    values = np.concatenate(parts) * np.float32(NORM / np.linalg.norm(parts[1], axis=1).mean())
    return Problem(f"{layer} of {classes[label]}", values, np.repeat([1, -1], list(map(len, parts))))


def objective_of(problem: Problem, weights: np.ndarray, bias: float, C: float, squared: bool) -> float:
    """1/2 |w|^2 + 1/2 (b / BIAS)^2 + C sum of weighted losses, in float64."""
    weights = weights.astype(np.float64)
    losses = np.maximum(0, 1 - problem.labels * (problem.values.astype(np.float64) @ weights + bias))
    costs = np.where(problem.labels > 0, POSITIVE_WEIGHT, 1.0)
    return float(0.5 * weights @ weights + 0.5 * (bias / BIAS) ** 2 + C * (costs * losses ** (1 + squared)).sum())


def liblinear(problem: Problem, C: float, loss: str) -> tuple[np.ndarray, float]:
    """(weights, bias) of scikit-learn at its default tolerance and limit of iterations."""
    model = LinearSVC(
        loss=loss, dual=True, C=C, intercept_scaling=BIAS, class_weight={1: POSITIVE_WEIGHT, -1: 1.0}, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(problem.values, problem.labels)
    return model.coef_[0], float(model.intercept_[0])


def compare(problem: Problem, C: float, loss: str, repeats: int) -> list[Row]:
    """One row a solver: median CPU seconds, part by which the objective is above the optimum, memory."""
    runs = {
        "LinearSVC": partial(liblinear, problem, C, loss),
        "this package": partial(fit_linear_svm, problem.values, problem.labels, C, loss=loss),
    }
    runs["this package"]()  # compiles
    best = solve_svm(problem.values, problem.labels, C=C, loss=loss, tolerance=EXACT)
    timings = take_turns(runs, repeats, f"{problem.name}, {loss}, C {C:g}", warm=False)
    rows = timing_rows(timings, "LinearSVC", vectors=problem.name, loss=loss, C=f"{C:g}")
    for row, (name, timing) in zip(rows, timings.items(), strict=True):
        # The optimum lies between the dual and the primal objective of the exact solution.
        above = objective_of(problem, *timing.result, C, loss == "squared_hinge") / best.dual_objective - 1
        row |= {"above_optimum": f"{above:.1e}", "more_memory_MiB": peak_mib(runs[name])}
    return rows


def benchmark(
    run: str | None = None,
    positives: PositiveInt = 300,
    negatives: PositiveInt = 5000,
    C: tuple[float, ...] = (0.001, 0.01),
    losses: tuple[Literal["hinge", "squared_hinge"], ...] = ("hinge", "squared_hinge"),
    repeats: PositiveInt = 5,
) -> Tables:
    """Measure the SVM solver against scikit-learn's LinearSVC, one thread; see the head of this file.

    Args:
        run: Folder of a run whose training images' vectors are used. None: nothing is measured.
        positives: Samples of the class.
        negatives: Samples of all that is not of the class.
        C: Costs of a negative's loss.
        losses: What is summed up: hinge losses or their squares.
        repeats: Runs of each solver on each problem.
    """
    if run is None:
        return
    experiment, rows = open_run(run), []
    for layer in dict.fromkeys(("pool5", experiment.settings.features.layer)):
        problem = problem_of(experiment, layer, positives, negatives)
        for loss, cost in product(losses, C):
            rows += compare(problem, cost, loss, repeats)
            count = int((problem.labels > 0).sum())
            yield f"{count} positives, {len(problem.labels) - count} negatives, one thread", rows
