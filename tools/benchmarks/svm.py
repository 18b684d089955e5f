"""Linear SVMs against scikit-learn's LinearSVC (liblinear), in one process and one thread: CPU time, objective, memory.

Problems: vectors of a run's training images, of the class with most objects: its objects, and proposals near them where
they are too few, against proposals far from it, drawn at random; pooled vectors, and those of the layer that the run's
SVMs see. Where these see pooled ones, a random layer with ReLU stands in for a head, and is labelled so. All at a mean
norm of 20, as in training. The solvers take turns; what counts is the median of the process's CPU time. Then many
classes at once on made-up rows against one class of them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from benchmarks.measure import keep, peak_mib, progress, run, take_turns
from sklearn.svm import LinearSVC

from detection.learning import fit_linear_svm, max_overlaps, solve_svm, solve_svms

BIAS, POSITIVE_WEIGHT, NORM = 10.0, 2.0, 20.0
# IoU below which proposals are negatives and from which they stand in for objects.
FAR, NEAR = 0.3, 0.8
STAND_IN = 4096
# Made-up rows: positives of each class, how far they are off, and the share of negatives that look like one.
MADE_POSITIVES, MADE_SHIFT, MADE_HARD = 100, 0.35, 0.05
EXACT = 1e-6


@dataclass(frozen=True)
class Problem:
    """values (N, D) float32, labels (N,) of -1 and +1."""

    name: str
    values: np.ndarray
    labels: np.ndarray


def problems_of_run(run: str, positives: int, negatives: int, seed: int) -> list[Problem]:
    """Pooled vectors of a run's training images, see the head of this file, and those of its head or the stand-in."""
    from detection import config
    from detection.commands.session import open_experiment

    settings, _ = config.parse(config.build_parser("benchmark"), [f"--run={run}", "--workers=1"])
    experiment = open_experiment(settings)
    images, layer = experiment.usable_training_images(), settings.features.layer
    label = int(np.bincount(np.concatenate([one.labels for one in images])).argmax())
    rng = np.random.default_rng(seed)
    share = -(-negatives // len(images))
    source, extractor = experiment.source, experiment.source.extractor()
    objects, near, far = [], [], []
    for place, image in enumerate(images):
        boxes = source.proposals(image).boxes
        overlap = max_overlaps(boxes, image.boxes, image.labels, len(experiment.base_classes))[:, label]
        there = np.flatnonzero(overlap < FAR)
        parts = (
            (objects, image.boxes[image.labels == label]),
            (near, boxes[np.flatnonzero(overlap >= NEAR)[:1]]),
            (far, boxes[np.sort(rng.permutation(there)[:share])]),
        )
        for kept, chosen in parts:
            kept.append(extractor.pool(source.pyramid(image), chosen).values)
        progress(f"vectors of {place + 1}/{len(images)} photos")
    progress("")
    own, others = np.concatenate(objects + near)[:positives], np.concatenate(far)
    others = others[np.sort(rng.permutation(len(others))[:negatives])]
    labels, name = np.repeat([1, -1], [len(own), len(others)]), experiment.base_classes[label]
    values = np.concatenate([own, others])
    pooled = _scaled(f"pool5 of {name}", values, labels)
    if layer == "pool5":
        return [pooled, stand_in(pooled, seed)]
    return [pooled, _scaled(f"{layer} of {name}", extractor.pooled_head(values, layer), labels)]


def _scaled(name: str, values: np.ndarray, labels: np.ndarray) -> Problem:
    """With a mean norm of NORM over the negatives."""
    factor = np.float32(NORM / np.linalg.norm(values[labels < 0], axis=1).mean())
    return Problem(name, np.ascontiguousarray(values * factor), labels)


def stand_in(problem: Problem, seed: int) -> Problem:
    """The problem's vectors through a random layer with ReLU."""
    length = problem.values.shape[1]
    layer = np.random.default_rng(seed).standard_normal((length, STAND_IN), dtype=np.float32) / np.sqrt(length)
    values = np.maximum(problem.values @ layer.astype(np.float32), 0)
    return _scaled("stand-in for fc7: random layer, ReLU", values, problem.labels)


def objective_of(problem: Problem, weights: np.ndarray, bias: float, C: float, squared: bool) -> float:
    """1/2 |w|^2 + 1/2 (b / BIAS)^2 + C sum of weighted losses, in float64."""
    losses = np.maximum(0, 1 - problem.labels * (problem.values.astype(np.float64) @ weights + bias))
    losses = losses**2 if squared else losses
    costs = np.where(problem.labels > 0, POSITIVE_WEIGHT, 1.0)
    return float(0.5 * weights @ weights + 0.5 * (bias / BIAS) ** 2 + C * (costs * losses).sum())


def liblinear(problem: Problem, C: float, loss: str) -> tuple[np.ndarray, float, int]:
    """(weights, bias, iterations) of scikit-learn at its default tolerance and limit of iterations."""
    model = LinearSVC(
        loss=loss, dual=True, C=C, intercept_scaling=BIAS, class_weight={1: POSITIVE_WEIGHT, -1: 1.0}, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(problem.values, problem.labels)
    return model.coef_[0].astype(np.float64), float(model.intercept_[0]), int(np.max(model.n_iter_))


def own(problem: Problem, C: float, loss: str) -> tuple[np.ndarray, float, str]:
    """The same of this package's solver at its default tolerance; it does not tell its iterations."""
    weights, bias = fit_linear_svm(problem.values, problem.labels, C=C, loss=loss)
    return weights.astype(np.float64), bias, ""


def compare(problem: Problem, C: float, loss: str, repeats: int) -> list[dict[str, Any]]:
    """One row a solver: median CPU seconds, iterations, part by which the objective is above the optimum, memory."""
    methods: dict[str, Callable] = {"LinearSVC": liblinear, "this package": own}
    own(problem, C, loss)  # compiles
    best = solve_svm(problem.values, problem.labels, C=C, loss=loss, tolerance=EXACT)
    runs = {name: partial(method, problem, C, loss) for name, method in methods.items()}
    timings = take_turns(runs, repeats, f"{problem.name}, {loss}, C {C:g}", warm=False)
    rows = []
    for name, timing in timings.items():
        weights, bias, iterations = timing.result
        # Where the optimum is known to lie: between the dual and the primal objective of the exact solution.
        above = objective_of(problem, weights, bias, C, loss == "squared_hinge") / best.dual_objective - 1
        row = {"vectors": problem.name, "loss": loss, "C": f"{C:g}", "solver": name}
        row |= {"cpu_s": timing.cpu_s, "iterations": iterations, "above_optimum": f"{above:.1e}"}
        row |= {"more_memory_MiB": peak_mib(runs[name])}
        row["times_faster"] = timings["LinearSVC"].cpu_s / timing.cpu_s
        rows.append(row)
    return rows


def made_up(classes: int, negatives: int, length: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(values (M, length), labels (M, classes)): ReLU noise; positives and some negatives lie near a class's mode."""
    rng = np.random.default_rng(seed)
    values = np.empty((negatives + classes * MADE_POSITIVES, length), np.float32)
    for start in range(0, len(values), STAND_IN):
        part = values[start : start + STAND_IN]
        np.maximum(rng.standard_normal(part.shape, dtype=np.float32) - np.float32(0.3), 0, out=part)
    modes = np.maximum(rng.standard_normal((classes, length), dtype=np.float32), 0) * np.float32(MADE_SHIFT)
    labels = np.full((len(values), classes), -1, np.int8)
    for label in range(classes):
        rows = slice(negatives + label * MADE_POSITIVES, negatives + (label + 1) * MADE_POSITIVES)
        values[rows] += modes[label]
        labels[rows, label] = 1
    hard = rng.choice(negatives, int(MADE_HARD * negatives), replace=False)
    values[hard] += modes[rng.integers(0, classes, len(hard))] * np.float32(0.6)
    values *= np.float32(NORM / np.linalg.norm(values[:2000], axis=1).mean())
    return values, labels


def many_rows(classes: int, negatives: int, length: int, C: float, repeats: int) -> list[dict[str, Any]]:
    """CPU time of one class, by itself and as one of many, and of all."""
    values, labels = made_up(classes, negatives, length, 0)
    solve_svms(values[-400:], np.where(np.arange(400)[:, None] < 100, 1, -1).astype(np.int8), C=C)  # compiles
    methods: Mapping[str, Callable] = {
        "one class, solve_svm": lambda: [solve_svm(values, labels[:, 0].astype(np.int64), C=C)],
        "one class, solve_svms": lambda: solve_svms(values, labels[:, :1], C=C),
        f"{classes} classes, solve_svms": lambda: solve_svms(values, labels, C=C),
    }
    timings = take_turns(methods, repeats, "made-up rows", warm=False)
    everything = timings[f"{classes} classes, solve_svms"].cpu_s
    rows = []
    for name, timing in timings.items():
        row = {"rows": len(values), "values": length, "problem": name, "cpu_s": timing.cpu_s}
        gap = max(one.gap / one.objective for one in timing.result)
        rows.append(row | {"largest_gap": f"{gap:.1e}", "all_in_its_times": everything / timing.cpu_s})
    return rows


def benchmark(
    run: str | None = None,
    positives: int = 300,
    negatives: int = 5000,
    C: list[float] = [0.001, 0.01],  # noqa: B006 (jsonargparse reads it, nothing changes it)
    losses: list[str] = ["hinge", "squared_hinge"],  # noqa: B006
    repeats: int = 5,
    many_classes: int = 20,
    many_negatives: int = 0,
    many_length: int = 4096,
    many_repeats: int = 1,
    out: str = "runs/benchmark",
) -> None:
    """Measure the SVM solver against scikit-learn's LinearSVC, one thread; see the head of this file.

    Args:
        run: Folder of a run whose training images' vectors are used. None: none.
        positives: Samples of the class.
        negatives: Samples beside it.
        C: Costs of a negative's loss.
        losses: hinge, squared_hinge.
        repeats: Runs of each solver on each problem.
        many_classes: Classes of the made-up rows.
        many_negatives: Negatives of them, e.g. 100000; 0: leave this measurement out. They take 4 bytes x many_length
            each.
        many_length: Length of the made-up rows.
        many_repeats: Runs of each method on them.
        out: Folder of benchmark.json and benchmark.md.
    """
    if min(repeats, many_repeats, positives, negatives) < 1:
        raise ValueError("repeats, many_repeats, positives, negatives: expected numbers >= 1")
    tables: dict[str, list[dict[str, Any]]] = {}
    if run is not None:
        problems = problems_of_run(run, positives, negatives, 0)
        labels = problems[0].labels
        tables[f"{(labels > 0).sum()} positives, {(labels < 0).sum()} negatives, one thread"] = [
            row
            for problem in problems
            for loss in losses
            for cost in C
            for row in compare(problem, cost, loss, repeats)
        ]
    if many_negatives:
        tables["Many classes at once, made-up rows, one thread"] = many_rows(
            many_classes, many_negatives, many_length, C[0], many_repeats
        )
    keep(out, "svm", tables)


def main(arguments: list[str]) -> int:
    """Run the command line; returns the exit status."""
    return run(benchmark, "svm", arguments)
