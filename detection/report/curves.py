"""The curves of a report: precision against recall, scores, and how far scores can be trusted."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from detection.evaluation import ClassEvaluation
from detection.learning import reliability
from detection.report.figures import class_id
from detection.report.plots import Plot, stairs, ticks
from detection.report.records import ReportRun, ReportSettings
from detection.report.tables import Column, Table, plain_columns
from detection.visualization import Axis, Line

_TENTHS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
RECALL, PRECISION, _SHARE = (Axis(title, 0, 1, _TENTHS) for title in ("recall", "precision", "share right"))
# A curve with more found objects than this is drawn with the best precision in each step of recall.
_MOST_POINTS, _STEP = 150, 0.01
# Share of all scores that the score axis leaves out at its low end, where far away ones say nothing.
_TAIL = 0.001


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
    columns = (Column("class"), Column("score", "number"), *plain_columns("share", "precision", "recall"))
    rows = [
        (one.name, float(score), float(precision), float(recall))
        for one in run.evaluation.per_class
        if one.objects
        for score, precision, recall in zip(*curve_points(one), strict=True)
    ]
    caption = "Precision and recall after each detection that found an object."
    return Table("precision_recall", caption, columns, tuple(rows))


def _pooled(run: ReportRun, probabilities: Sequence[np.ndarray | None] | None) -> tuple[np.ndarray, np.ndarray]:
    """(values, right) of all detections that count: scores, or probabilities of the classes that have them."""
    values, right = [np.empty(0)], [np.empty(0, bool)]
    for i, one in enumerate(run.evaluation.per_class):
        of_class = one.matches.scores if probabilities is None else probabilities[i]
        if of_class is not None:
            values.append(np.asarray(of_class, dtype=np.float64)[one.matches.counts])
            right.append(one.matches.hits)
    return np.concatenate(values), np.concatenate(right)


def score_table(run: ReportRun, settings: ReportSettings) -> Table | None:
    """A row an interval of the score: right and false detections; None without a detection that counts."""
    scores, right = _pooled(run, None)
    if not len(scores):
        return None
    low, high = float(np.quantile(scores, _TAIL)), float(scores.max())
    edges = np.linspace(*((low, high) if low < high else (low - 0.5, high + 0.5)), settings.bins + 1)
    inside = np.clip(scores, edges[0], edges[-1])
    found, false = (np.histogram(inside[which], edges)[0].tolist() for which in (right, ~right))
    columns = [*plain_columns("number", "score from", "to"), *plain_columns("integer", "found an object", "false")]
    columns += plain_columns("share", "share right")
    pairs = zip(found, false, strict=True)
    shares = [good / (good + bad) if good + bad >= settings.least_in_bin else None for good, bad in pairs]
    caption = (
        "Detections of all classes by score; the first interval holds those below it too. The share of "
        f"right ones is given from {settings.least_in_bin} detections on."
    )
    rows = tuple(zip(edges.tolist()[:-1], edges.tolist()[1:], found, false, shares, strict=True))
    return Table("scores", caption, tuple(columns), rows)


def score_plots(table: Table) -> list[Plot]:
    """Histogram of right and false detections, and the share of right ones by score."""
    edges = [row[0] for row in table.rows] + [table.rows[-1][1]]
    lines, words, most = [], [], 0.0
    for name, word, place in (("found an object", "detections that found an object", 2), ("false", "false ones", 3)):
        counts = np.array([row[place] for row in table.rows], dtype=float)
        shares, total = counts / max(counts.sum(), 1), int(counts.sum())
        most = max(most, float(shares.max()))
        lines.append(Line(f"{name} ({total:,})", *stairs(edges, shares.tolist())))
        words.append(f"{total} {word}, median about {_median(edges, counts) if total else 0.0:.2g}")
    score = Axis("score (SVM margin)", edges[0], edges[-1], ticks(edges[0], edges[-1]))
    part = Axis("share", 0, most or 1.0, ticks(0, most or 1.0))
    alt = f"Histogram of scores: {', and '.join(words)}."
    histogram = Plot("scores", "Scores, as shares of each kind", score, part, tuple(lines), alt, filled=True)
    centres = [(row[0] + row[1]) / 2 for row in table.rows]
    right = Line("share right", centres, [float("nan") if row[4] is None else row[4] for row in table.rows])
    known = [row[4] for row in table.rows if row[4] is not None]
    last = f"; in the highest interval shown {known[-1]:.2f}" if known else ""
    alt = f"Share of right detections by score{last}. The table has every value."
    return [histogram, Plot("reliability_of_scores", "How often a score is right", score, _SHARE, (right,), alt)]


def _median(edges: list[float], counts: np.ndarray) -> float:
    place = int(np.searchsorted(np.cumsum(counts), counts.sum() / 2))
    return (edges[place] + edges[place + 1]) / 2


def reliability_table(run: ReportRun, bins: int) -> Table | None:
    """A row an interval of the probability: mean and share right; None where the detector gives none."""
    values, right = _pooled(run, run.probabilities or [None] * len(run.classes))
    if not len(values):
        return None
    measured = reliability(values, right, bins)
    found = zip(measured.counts, measured.predicted, measured.observed, strict=True)
    rows = [
        (low, high, int(count), *((float(mean), float(share)) if count else (None, None)))
        for (low, high), (count, mean, share) in zip(pairwise(np.linspace(0, 1, bins + 1).tolist()), found, strict=True)
    ]
    columns = [*plain_columns("share", "probability from", "to"), Column("detections", "integer")]
    columns += plain_columns("share", "mean probability", "share right")
    caption = (
        "Whether the detector's probabilities mean what they say: detections of all classes by probability. Expected "
        f"calibration error (mean distance between the last two columns, by detections): {measured.error:.4f}."
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
