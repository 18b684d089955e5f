"""The report as one HTML page that needs nothing beside it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup

from detection.evaluation import KINDS, Interval, header
from detection.report import curves, facts, figures, plots
from detection.report.gallery import Picture, pictures
from detection.report.picks import GROUPS
from detection.report.plots import Plot
from detection.report.records import Comparison, ReportRun
from detection.report.settings import ReportSettings
from detection.report.tables import DASH, Table
from detection.visualization import class_colour

# Told in the page's head: a file with it may be replaced.
GENERATOR = "sppnet detection report"
# Galleries that are open at first: of a few classes all, of many the first.
_OPEN = 5
_GROUP_NAMES = {
    "found": "Found, by descending score",
    "false": "False, by descending score",
    "missed": "Missed, largest first",
    "gained": "Found by this run alone, by descending score",
    "lost": "Found by the other run alone, by descending score",
}
_SECTIONS = {
    "summary": "Summary",
    "comparison": "Comparison",
    "classes": "Classes",
    "curves": "Precision and recall",
    "errors": "Where it fails",
    "pictures": "Pictures",
    "scores": "Scores",
    "run": "Time, training, settings",
}
_KINDS = tuple(kind for kind in KINDS if kind != "ignored")


@dataclass(frozen=True)
class Content:
    """The tables and plots of a report, before they are laid out; the files beside the page hold them all."""

    classes: tuple[tuple[str, Table], ...]
    comparison: Table | None
    curves: tuple[Plot, ...]
    errors: tuple[tuple[str, ErrorContent], ...]
    scores: tuple[Table, ...]
    score_plots: tuple[Plot, ...]
    runs: tuple[tuple[str, RunContent], ...]
    settings: Table

    def tables(self) -> list[Table]:
        """Every table, each under a name of its own."""
        found = [table for _, table in self.classes]
        found += [one for one in (self.comparison,) if one]
        for _, one in self.errors:
            found += [table for table in (one.kinds, one.by_class, one.misses, one.causes) if table]
        found += self.scores
        for _, run in self.runs:
            found += [table for table in (run.times, run.data, run.full_mining, run.versions) if table]
        return [*found, self.settings]


@dataclass(frozen=True)
class ErrorContent:
    """Where one run fails. shares: by kind, of the top-ranked."""

    shares: Mapping[str, float]
    kinds: Table
    by_class: Table
    misses: Table
    causes: Table | None


@dataclass(frozen=True)
class RunContent:
    """What one run was. full_mining: with every row; mining: what the page shows of it."""

    times: Table
    data: Table
    mining: Table | None
    full_mining: Table | None
    versions: Table | None


def build(run: ReportRun, comparison: Comparison | None, settings: ReportSettings) -> Content:
    """The tables and plots of a run, or of two side by side."""
    other = comparison.other if comparison else None
    named = [("", run)] if other is None else [(run.name, run), (other.name, other)]
    scores = [curves.score_table(run, settings), curves.reliability_table(run, _probability_bins(settings))]
    score_plots = curves.score_plots(scores[0]) if scores[0] else []
    if scores[1]:
        # The diagram of the probabilities stands in for that of the margins.
        score_plots = [score_plots[0], curves.reliability_plot(scores[1], settings.least_in_bin)]
    return Content(
        classes=tuple((name, _numbered(figures.class_table(one), i)) for i, (name, one) in enumerate(named)),
        comparison=figures.comparison_table(run, comparison) if comparison else None,
        curves=tuple(curves.precision_recall(run, other, settings.curves)),
        errors=tuple((name, _error_content(one, i)) for i, (name, one) in enumerate(named)),
        scores=tuple(one for one in scores if one),
        score_plots=tuple(score_plots),
        runs=tuple((name, _run_content(one, i)) for i, (name, one) in enumerate(named)),
        settings=facts.settings_table(run, other),
    )


def _probability_bins(settings: ReportSettings) -> int:
    return min(settings.bins, 10)


def _numbered(table: Table, place: int) -> Table:
    return replace(table, name=f"{table.name}_{place + 1}") if place else table


def _error_content(run: ReportRun, place: int) -> ErrorContent:
    causes = figures.cause_table(run)
    return ErrorContent(
        run.diagnosis.shares,
        _numbered(figures.kind_table(run), place),
        _numbered(figures.class_kind_table(run), place),
        _numbered(figures.miss_table(run), place),
        causes and _numbered(causes, place),
    )


def _run_content(run: ReportRun, place: int) -> RunContent:
    mining = facts.mining_table(run)
    return RunContent(
        times=_numbered(facts.stage_table(run), place),
        data=_numbered(facts.data_table(run), place),
        mining=mining and _numbered(facts.first_rows(mining), place),
        full_mining=mining and _numbered(mining, place),
        versions=_numbered(facts.version_table(run), place) if run.versions else None,
    )


def page(
    run: ReportRun, comparison: Comparison | None, content: Content, settings: ReportSettings, files_words: str = ""
) -> str:
    """The HTML page. files_words: a sentence that says which files lie beside it.

    Its text and curves are measured first; pictures fill what `settings.max_megabytes` leaves.
    """
    context = _context(run, comparison, content, files_words)
    bare = _render({**context, **_galleries(run, [])})
    budget = int(settings.max_megabytes * 1e6) - len(bare.encode())
    shown = pictures(run, comparison, settings, max(budget, 0))
    return _render({**context, **_galleries(run, shown)})


@lru_cache(maxsize=1)
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("detection.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html")


def _render(context: Mapping[str, Any]) -> str:
    # Lone surrogates, as a damaged file name gives them, are no text.
    return _template().render(context).encode("utf-8", "replace").decode()


def _asset(name: str) -> str:
    return (files("detection.report") / "templates" / name).read_text(encoding="utf-8")


def _context(run: ReportRun, comparison: Comparison | None, content: Content, files_words: str) -> dict[str, Any]:
    script = _asset("script.js")
    other = comparison.other if comparison else None
    return {
        "title": f"Detection report: {run.name}" + (f" and {other.name}" if other else ""),
        "subtitle": _subtitle(run),
        "generator": GENERATOR,
        "style": Markup(_asset("style.css")),
        "script": Markup(script),
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "sections": [(id, name) for id, name in _SECTIONS.items() if id != "comparison" or comparison],
        "frame": plots.FRAME,
        "cards": _cards(run, comparison),
        "header": header(run.evaluation),
        "verdict": _verdict(run, comparison),
        "notes": [*run.evaluation.warnings, *run.notes],
        "comparison": content.comparison,
        "class_tables": content.classes,
        "curves": content.curves,
        "undrawn": sum(one.objects > 0 for one in run.evaluation.per_class) - len(content.curves),
        "errors": content.errors,
        "kinds": _KINDS,
        "score_plots": content.score_plots,
        "score_tables": content.scores,
        "score_words": _score_words(run),
        "runs": content.runs,
        "settings": content.settings,
        "files_words": files_words,
    }


def _subtitle(run: ReportRun) -> str:
    dataset = run.settings.get("dataset", {})
    splits = " + ".join(f"{one.get('year')} {one.get('split')}" for one in dataset.get("test") or [])
    finished = run.stages.get("evaluation", {}).get("finished", "")
    parts = (str(dataset.get("root") or ""), splits, f"evaluated {str(finished)[:10]}" if finished else "")
    return ", ".join(part for part in parts if part)


def _interval_words(bound: Interval | None, run: ReportRun, form: str = ".3f") -> str:
    if bound is None or run.intervals is None:
        return ""
    confidence = f"{100 * run.intervals.settings.confidence:g} %"
    return f"{confidence} interval {format(bound.low, form)} to {format(bound.high, form)}"


def _cards(run: ReportRun, comparison: Comparison | None) -> list[tuple[str, str, str]]:
    evaluation = run.evaluation
    cards = []
    for one in [run, comparison.other] if comparison else [run]:
        bound = one.intervals.mean_ap if one.intervals else None
        mean = one.evaluation.mean_ap
        name = f"mAP of {one.name}" if comparison else "mAP"
        cards.append((name, DASH if mean is None else f"{mean:.3f}", _interval_words(bound, one)))
    cards.append(("images", f"{len(evaluation.image_ids):,}", f"{len(run.classes):,} classes"))
    objects = sum(one.objects for one in evaluation.per_class)
    found = sum(one.true_positives for one in evaluation.per_class)
    cards.append(("objects", f"{objects:,}", f"{found:,} found at some score"))
    cards.append(("detections", f"{evaluation.detections:,}", ""))
    seconds = run.stages.get("detections", {}).get("seconds_per_image")
    if seconds is not None:
        cards.append(("detection", f"{seconds:.2f} s", "an image, with proposals and maps at hand"))
    training = [run.stages[name]["seconds"] for name in ("svms", "regressors") if name in run.stages]
    if training:
        cards.append(("training", f"{sum(training):,.0f} s", "SVMs and box regressors"))
    return cards


def _verdict(run: ReportRun, comparison: Comparison | None) -> str:
    if comparison is None or comparison.difference is None or comparison.difference.mean_ap is None:
        return ""
    change, bound = comparison.difference, comparison.difference.mean_ap
    measured = (
        f"mAP differs by {bound.value:+.3f}, {100 * change.settings.confidence:g} % interval {bound.low:+.3f} to "
        f"{bound.high:+.3f}"
    )
    if change.verdict == "undecided":
        return f"These images do not show which of the two is better: {measured}."
    return f"{comparison.other.name} is {change.verdict} than {run.name}: {measured}."


def _score_words(run: ReportRun) -> str:
    if run.probabilities is None:
        return (
            "Scores are SVM margins of each class, not probabilities: this detector has no calibrated ones. Right: how "
            "often a detection of such a margin found an object."
        )
    return (
        "Scores are SVM margins; the detector also gives probabilities, calibrated on training images. Where they mean "
        "what they say, the line of the reliability diagram lies on the diagonal."
    )


def _galleries(run: ReportRun, shown: Sequence[Picture]) -> dict[str, Any]:
    by_class: dict[int, list[Picture]] = {}
    for picture in shown:
        by_class.setdefault(picture.label, []).append(picture)
    galleries = []
    for label, own in sorted(by_class.items()):
        groups = [(_GROUP_NAMES[group], [one for one in own if one.group == group]) for group in GROUPS]
        evaluation = run.evaluation.per_class[label]
        missed = sum(one.label == label for one in run.diagnosis.missed)
        ap = "no object" if evaluation.ap is None else f"AP {evaluation.ap:.3f}, {evaluation.objects} objects"
        galleries.append(
            {
                "id": figures.class_id(label),
                "name": run.classes[label],
                "colour": "#{:02x}{:02x}{:02x}".format(*class_colour(label)),
                "said": f"{ap}, {missed} missed",
                "groups": [(name, ones) for name, ones in groups if ones],
            }
        )
    absent = len(run.classes) - len(galleries)
    unshown = f"{absent} classes have no picture here." if absent and galleries else ""
    return {
        "galleries": galleries,
        "linked": {one["id"] for one in galleries},
        "opened": len(galleries) if len(galleries) <= _OPEN else 1,
        "unshown": unshown,
    }
