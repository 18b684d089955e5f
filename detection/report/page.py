"""The report as one HTML page that needs no other file."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup

from detection.evaluation import Interval, IntervalSettings, header
from detection.evaluation.errors import COUNTED_KINDS
from detection.learning.calibration import FIXED_THRESHOLD
from detection.report import curves, figures, plots
from detection.report.gallery import GROUPS, Crop, crops
from detection.report.photos import Photo, photos
from detection.report.plots import Plot
from detection.report.records import Comparison, ReportRun, ReportSettings
from detection.report.tables import DASH, Table
from detection.talking import percent
from detection.visualization import class_colour

# In the page's head: a file with it may be replaced.
GENERATOR = "sppnet detection report"
# Galleries that are open at first: of a few classes all, of many the first; and whole photos.
_OPEN, _OPEN_PHOTOS = 5, 6
# The part of the pictures' bytes that whole photos may take.
_PHOTOS_SHARE = 0.5
# Rows of the mining log on the page; the CSV file has all.
_MINING_ROWS = 400
# Intervals of a probability.
_PROBABILITY_BINS = 10
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
    "photos": "Photos",
    "pictures": "Pictures by class",
    "errors": "Where it fails",
    "curves": "Precision and recall",
    "scores": "Probabilities",
    "run": "Time, training, settings",
}
# The tables of each run; one that is None there is left out.
_RUN_TABLES = (
    figures.class_table,
    figures.confusion_table,
    figures.kind_table,
    figures.class_kind_table,
    figures.miss_table,
    figures.cause_table,
    figures.stage_table,
    figures.data_table,
    figures.mining_table,
    figures.version_table,
)


@dataclass(frozen=True)
class Content:
    """The tables and plots of a report, before they are laid out; the files of the report's folder hold them all.

    runs: of each run its name ("" of one alone), the shares of the error types, and its tables by name; those of a
    second run have other names for their files. shared: other tables by name.
    """

    runs: tuple[tuple[str, Mapping[str, float], Mapping[str, Table]], ...]
    shared: Mapping[str, Table]
    curves: tuple[Plot, ...]
    score_plots: tuple[Plot, ...]

    def tables(self) -> list[Table]:
        """Every table, each under a name of its own."""
        return [*(one for _, _, tables in self.runs for one in tables.values()), *self.shared.values()]


def build(run: ReportRun, comparison: Comparison | None, settings: ReportSettings) -> Content:
    """The tables and plots of a run, or of two side by side."""
    other = comparison.other if comparison else None
    compared = figures.comparison_table(run, comparison) if comparison else None
    thresholds = curves.threshold_table(run, settings.bins)
    probabilities = curves.reliability_table(run, min(settings.bins, _PROBABILITY_BINS))
    score_plots = [curves.threshold_plot(thresholds)] if thresholds else []
    score_plots += [curves.reliability_plot(probabilities, settings.least_in_bin)] if probabilities else []
    runs = [("", run)] if other is None else [(run.name, run), (other.name, other)]
    return Content(
        runs=tuple((name, one.diagnosis.shares, _run_tables(one, i)) for i, (name, one) in enumerate(runs)),
        shared=_by_name(compared, thresholds, probabilities, figures.settings_table(run, other)),
        curves=tuple(curves.precision_recall(run, other, settings.curves)),
        score_plots=tuple(score_plots),
    )


def _by_name(*tables: Table | None) -> dict[str, Table]:
    return {one.name: one for one in tables if one is not None}


def _run_tables(run: ReportRun, place: int) -> dict[str, Table]:
    tables = _by_name(*(make(run) for make in _RUN_TABLES))
    return {name: replace(one, name=f"{name}_{place + 1}") for name, one in tables.items()} if place else tables


def page(
    run: ReportRun, comparison: Comparison | None, content: Content, settings: ReportSettings, files_words: str = ""
) -> str:
    """The HTML page. files_words: a sentence that says which other files there are.

    Its text and curves are measured first; pictures fill what `settings.max_megabytes` leaves.
    """
    context = _context(run, comparison, content, files_words)
    bare = _render({**context, **_photos([]), **_galleries(run, [])})
    budget = max(int(settings.max_megabytes * 1e6) - len(bare.encode()), 0)
    whole = photos(run, settings, int(_PHOTOS_SHARE * budget))
    parts = crops(run, comparison, settings, budget - sum(one.html_bytes for one in whole))
    return _render({**context, **_photos(whole), **_galleries(run, parts)})


def asset(package: str, name: str) -> str:
    """The text of a file among a package's templates."""
    return (files(package) / "templates" / name).read_text(encoding="utf-8")


@lru_cache(maxsize=2)
def _template(package: str, name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(package), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template(name)


def render(package: str, name: str, style: str, script: str, context: Mapping[str, Any]) -> str:
    """An HTML template of a package as a page that needs no other file. context: values by name in the template."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    inline = {"style": Markup(style), "script": Markup(script), "script_hash": digest}
    # Lone surrogates, as a damaged file name gives them, are no text.
    return _template(package, name).render({**context, **inline}).encode("utf-8", "replace").decode()


def _render(context: Mapping[str, Any]) -> str:
    style, script = (asset("detection.report", name) for name in ("style.css", "script.js"))
    return render("detection.report", "report.html", style, script, context)


def _context(run: ReportRun, comparison: Comparison | None, content: Content, files_words: str) -> dict[str, Any]:
    return {
        "title": f"Detection report: {run.name}" + (f" and {comparison.other.name}" if comparison else ""),
        "subtitle": _subtitle(run),
        "generator": GENERATOR,
        "sections": [(id, name) for id, name in _SECTIONS.items() if id != "comparison" or comparison],
        "frame": plots.FRAME,
        "summaries": [("", run)] if comparison is None else [(one.name, one) for one in (run, comparison.other)],
        "cards": _cards,
        "pictured": f" of {run.name}" if comparison else "",
        "header": header(run.evaluation),
        "verdict": _verdict(run, comparison),
        "notes": [*run.evaluation.warnings, *run.notes, *_threshold_notes(run, comparison)],
        "content": content,
        "undrawn": sum(one.objects > 0 for one in run.evaluation.per_class) - len(content.curves),
        "kinds": COUNTED_KINDS,
        "mining_rows": _MINING_ROWS,
        "files_words": files_words,
    }


def _subtitle(run: ReportRun) -> str:
    dataset = run.settings.get("dataset", {})
    splits = " + ".join(f"{one.get('year')} {one.get('split')}" for one in dataset.get("test") or [])
    finished = run.stages.get("evaluation", {}).get("finished", "")
    parts = (str(dataset.get("root") or ""), splits, f"evaluated {str(finished)[:10]}" if finished else "")
    return ", ".join(part for part in parts if part)


def _bounds(bound: Interval, settings: IntervalSettings, form: str) -> str:
    return f"{figures.interval_name(settings)} {bound.low:{form}} to {bound.high:{form}}"


def _cards(run: ReportRun) -> list[tuple[str, str, str]]:
    shown, evaluation, bounds = run.shown, run.evaluation, run.intervals
    objects, found, missed, false = (int(one.sum()) for one in (shown.objects, shown.found, shown.missed, shown.false))
    mean = DASH if evaluation.mean_ap is None else f"{evaluation.mean_ap:.3f}"
    cards = [
        ("found", f"{found:,} of {objects:,}", f"{percent(found / objects)} of the objects" if objects else ""),
        ("missed", f"{missed:,}", ""),
        ("false", f"{false:,}", f"{shown.false_per_image:.2f} an image"),
        ("mAP", mean, _bounds(bounds.mean_ap, bounds.settings, ".3f") if bounds and bounds.mean_ap else ""),
        ("images", f"{evaluation.images:,}", f"{len(run.classes):,} classes"),
    ]
    seconds = run.stages.get("detections", {}).get("seconds_per_image")
    if seconds is not None:
        cards.append(("detection", f"{seconds:.2f} s", "an image, with proposals and maps at hand"))
    return cards


def _threshold_notes(run: ReportRun, comparison: Comparison | None) -> list[str]:
    """What a reader should know of thresholds that training did not choose."""
    notes = []
    for one in [run, comparison.other] if comparison else [run]:
        name, trained = f"{one.name}: " if comparison else "", one.calibration.trained
        if (one.calibration.thresholds == FIXED_THRESHOLD).all():
            notes.append(
                f"{name}no thresholds were chosen for this detector. Shown is what reaches the fixed margin "
                f"{FIXED_THRESHOLD:g}; sppnet calibrate --run RUN chooses better ones."
            )
        elif not trained.all():
            notes.append(
                f"{name}{(~trained).sum()} of {len(trained)} classes had too few examples to be calibrated: "
                "their thresholds and probabilities (~) are rough."
            )
    return notes


def _verdict(run: ReportRun, comparison: Comparison | None) -> str:
    change = comparison and comparison.difference
    if not change or change.mean_ap is None:
        return ""
    bounds = _bounds(change.mean_ap, change.settings, "+.3f")
    measured = f"mAP differs by {change.mean_ap.value:+.3f}, {bounds}"
    if change.verdict == "undecided":
        return f"These images do not show which of the two is better: {measured}."
    return f"{comparison.other.name} is {change.verdict} than {run.name}: {measured}."


def _photos(shown: Sequence[Photo]) -> dict[str, Any]:
    return {"photos": shown[:_OPEN_PHOTOS], "more_photos": shown[_OPEN_PHOTOS:]}


def _galleries(run: ReportRun, shown: Sequence[Crop]) -> dict[str, Any]:
    galleries = []
    for label in sorted({one.pick.label for one in shown}):
        own = [one for one in shown if one.pick.label == label]
        groups = {_GROUP_NAMES[group]: [one for one in own if one.pick.group == group] for group in GROUPS}
        found, missed, false = (getattr(run.shown, name)[label] for name in ("found", "missed", "false"))
        galleries.append(
            {
                "id": figures.class_id(label),
                "name": run.classes[label],
                "colour": "#{:02x}{:02x}{:02x}".format(*class_colour(label)),
                "said": f"{found} found, {missed} missed, {false} false",
                "groups": [(name, ones) for name, ones in groups.items() if ones],
            }
        )
    absent = len(run.classes) - len(galleries)
    return {
        "galleries": galleries,
        "linked": {one["id"] for one in galleries},
        "opened": len(galleries) if len(galleries) <= _OPEN else 1,
        "unshown": f"{absent} classes have no picture here." if absent and galleries else "",
    }
