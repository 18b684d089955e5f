"""The curves of a report: precision against recall, scores, and how far scores can be trusted."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from detection.evaluation import TRUE_POSITIVE, ClassEvaluation
from detection.learning import reliability
from detection.report.figures import class_id
from detection.report.plots import Plot
from detection.report.records import ReportRun
from detection.report.tables import Column, Table, plain_columns
from detection.visualization import Axis, Line

_TENTHS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
RECALL, PRECISION, _SHARE = (Axis(title, 0, 1, _TENTHS) for title in ("recall", "precision", "share right"))
# A curve with more found objects than this is drawn with the best precision in each step of recall.
_MOST_POINTS, _STEP = 150, 0.01
# What is less probable, most of the detections, would make the mean error look small.
_LEAST_PROBABLE = 0.01


def curve_points(one: ClassEvaluation) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(score, precision, recall) after each detection that found an object: (T,) each, recall rising.

    Between them precision only falls, so no average precision needs more.
    """
    hits = one.matches.hits
    return one.scores[hits], one.precision[hits], one.recall[hits]


def _drawn(one: ClassEvaluation) -> tuple[list[float], list[float]]:
    """Recall and precision for a drawing."""
    hits = np.flatnonzero(one.matches.hits)
    if not one.objects or not len(hits):
        return [], []
    if len(hits) <= _MOST_POINTS:
        # Precision falls while recall stays: where it is before a hit belongs to the curve too.
        places = np.unique(np.concatenate([hits, hits[hits > 0] - 1]))
    else:
        steps = (one.recall[hits] / _STEP).astype(int)
        places = np.array([hits[steps == s][one.precision[hits[steps == s]].argmax()] for s in np.unique(steps)])
    recall, precision = one.recall[places].tolist(), one.precision[places].tolist()
    return (recall, precision) if recall[0] == 0 else ([0.0, *recall], [precision[0], *precision])


def precision_recall(run: ReportRun, other: ReportRun | None, most: int) -> list[Plot]:
    """A plot a class with objects, in the class list's order; of more than `most`, those with the most objects."""
    runs = [run] if other is None else [run, other]
    with_objects = [i for i, one in enumerate(run.evaluation.per_class) if one.objects]
    by_objects = sorted(with_objects, key=lambda i: -run.evaluation.per_class[i].objects)
    plots = []
    for i in sorted(by_objects[:most]):
        name, own = run.classes[i], [(one.name, one.evaluation.per_class[i]) for one in runs]
        lines = tuple(Line(of_run, *_drawn(one)) for of_run, one in own)
        said = ", ".join(f"{of_run}: AP {one.ap:.3f}" for of_run, one in own)
        recall = run.evaluation.per_class[i].greatest_recall
        alt = f"Precision against recall of {name}. {said}; greatest recall {recall:.3f}."
        plots.append(Plot("precision_recall", name, RECALL, PRECISION, lines, alt, link=class_id(i)))
    return plots


def curve_table(run: ReportRun) -> Table:
    """The points of every class's curve, for a file."""
    columns = (Column("class"), *plain_columns("number", "probability", "margin"))
    columns += (*plain_columns("share", "precision", "recall"),)
    rows = []
    for label, one in enumerate(run.evaluation.per_class):
        if one.objects:
            chances = run.probabilities(label)[one.matches.outcomes == TRUE_POSITIVE]
            points = zip(chances, *curve_points(one), strict=True)
            rows += [(one.name, *map(float, point)) for point in points]
    caption = "Precision and recall after each detection that found an object."
    return Table("precision_recall", caption, columns, tuple(rows))


def _pooled(run: ReportRun, classes: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """(probabilities, right) of all detections of these classes that count."""
    values, right = [np.empty(0)], [np.empty(0, bool)]
    for label in classes:
        matches = run.evaluation.per_class[label].matches
        values.append(run.probabilities(label)[matches.counts])
        right.append(matches.hits)
    return np.concatenate(values), np.concatenate(right)


def threshold_table(run: ReportRun, steps: int) -> Table | None:
    """A row a probability: what would be found, missed and false if all classes were shown from there on.

    None without a detection that counts.
    """
    values, right = _pooled(run, range(len(run.classes)))
    if not len(values):
        return None
    objects = int(run.shown.objects.sum())
    rows = []
    for least in np.linspace(0, 1, steps + 1).tolist()[1:-1]:
        found, shown = int(right[values >= least].sum()), int((values >= least).sum())
        precision, recall = (found / whole if whole else None for whole in (shown, objects))
        f1 = 2 * found / (objects + shown) if objects + shown else None
        rows.append((least, found, objects - found, shown - found, precision, recall, f1))
    columns = [Column("shown from", "percent"), *plain_columns("integer", "found", "missed", "false")]
    columns += [Column("precision", "share", "share of the shown boxes that are right")]
    columns += [Column("recall", "share", "share of the objects that are found")]
    columns += [Column("F1", "share", "harmonic mean of the two", bar=True)]
    caption = "What would be found, missed and false with one threshold for all classes."
    return Table("thresholds", caption, tuple(columns), tuple(rows))


def threshold_plot(table: Table) -> Plot:
    """Precision and recall against the threshold."""
    lines = []
    for name, place in (("precision", 4), ("recall", 5)):
        values = [float("nan") if row[place] is None else row[place] for row in table.rows]
        lines.append(Line(name, [row[0] for row in table.rows], values))
    best = max(table.rows, key=lambda row: row[6] or 0.0)
    alt = f"Precision and recall by threshold. F1 is greatest at {best[0]:.0%}. The table has every value."
    axes = Axis("shown from probability", 0, 1, _TENTHS), Axis("share", 0, 1, _TENTHS)
    return Plot("thresholds", "Another threshold for all classes", *axes, tuple(lines), alt)


def reliability_table(run: ReportRun, bins: int) -> Table | None:
    """A row an interval of the probability, over the calibrated classes: mean and share right; None without any."""
    values, right = _pooled(run, np.flatnonzero(run.calibration.trained).tolist())
    told = values >= _LEAST_PROBABLE
    if not told.any():
        return None
    measured = reliability(values[told], right[told], bins)
    found = zip(measured.counts, measured.predicted, measured.observed, strict=True)
    rows = [
        (low, high, int(count), *((float(mean), float(share)) if count else (None, None)))
        for (low, high), (count, mean, share) in zip(pairwise(np.linspace(0, 1, bins + 1).tolist()), found, strict=True)
    ]
    columns = [*plain_columns("share", "probability from", "to"), Column("detections", "integer")]
    columns += plain_columns("share", "mean probability", "share right")
    caption = (
        f"Whether probabilities mean what they say: detections of calibrated classes, from {_LEAST_PROBABLE:.0%} on. "
        f"Expected calibration error (mean distance between the last two columns, by detections): {measured.error:.4f}."
    )
    return Table("reliability", caption, tuple(columns), tuple(rows))


def reliability_plot(table: Table, least: int) -> Plot:
    """The share of right detections against the probability, with the diagonal that it should follow."""
    kept = [row for row in table.rows if row[2] >= least]
    lines = (
        Line("share right", [row[3] for row in kept], [row[4] for row in kept]),
        Line("as it should be", (0.0, 1.0), (0.0, 1.0)),
    )
    worst = max(kept, key=lambda row: abs(row[3] - row[4]), default=None)
    said = f" Farthest from it: {worst[4]:.2f} right at a probability of {worst[3]:.2f}." if worst else ""
    alt = f"Reliability diagram: share of right detections against probability, beside the diagonal.{said}"
    axes = Axis("probability", 0, 1, _TENTHS), _SHARE
    return Plot("reliability", "Reliability of the probabilities", *axes, lines, alt)
