"""The figures of several sets of proposals, a column each: a table, CSV files, a picture of curves."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.table import Table

from detection.command_line import text_table
from detection.data import write_image
from detection.proposals import ProposalQuality, proposal_quality
from detection.proposals.quality import CURVE_COUNTS, CURVE_IOUS, IOU_THRESHOLDS, SIZE_NAMES
from detection.storage import csv_text, write_text
from detection.types import AnnotatedImage
from detection.visualization import Axis, Line, line_chart

# The thresholds whose recall has a column of its own.
_SHOWN_IOUS = (0.5, 0.7)
_COUNT_TICKS = (10, 100, 1000, 10000)


def quality_of(
    proposals: Mapping[str, np.ndarray], images: Sequence[AnnotatedImage], classes: Sequence[str]
) -> ProposalQuality:
    """Figures of proposals (image id -> (R, 4), best first) over all images; objects marked difficult are left out.

    An image without a list has no proposals: its objects count as missed.
    """
    kept = [~one.difficult for one in images]
    return proposal_quality(
        [proposals.get(one.image_id, np.zeros((0, 4), np.float32)) for one in images],
        [one.boxes[keep] for one, keep in zip(images, kept, strict=True)],
        [one.labels[keep] for one, keep in zip(images, kept, strict=True)],
        classes,
    )


def figures(quality: ProposalQuality) -> dict[str, float]:
    """Name -> value of every figure of a set, in the order of the table."""
    counts = np.array(quality.counts or [0])
    rows: dict[str, float] = {
        "images": len(quality.counts),
        "objects": quality.all.objects,
        "proposals an image, mean": float(counts.mean()),
        "proposals an image, median": float(np.median(counts)),
        "proposals an image, least": int(counts.min()),
        "proposals an image, most": int(counts.max()),
    }
    rows |= {f"recall at IoU {iou:g}": value for iou, value in zip(IOU_THRESHOLDS, quality.all.recall, strict=True)}
    rows |= {"average recall": quality.all.average_recall, "MABO": quality.mabo}
    rows |= {f"best overlap, {name}": one.mean_best_overlap for name, one in quality.by_class.items()}
    for name in SIZE_NAMES:
        one = quality.by_size[name]
        sizes = {"objects": one.objects, "average recall": one.average_recall, "best overlap": one.mean_best_overlap}
        rows |= {f"{figure}, {name}": value for figure, value in sizes.items()}
    return rows


def _shown(value: float | None) -> str:
    if value is None or value != value:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3f}" if value <= 1 else f"{value:,.1f}"


def _rows(sets: Mapping[str, ProposalQuality]) -> list[list[float | str | None]]:
    """[name of a figure, its value in every set, None where a set has not got it], a row a figure."""
    columns = [figures(one) for one in sets.values()]
    return [[row, *(one.get(row) for one in columns)] for row in dict.fromkeys(row for one in columns for row in one)]


def report_table(sets: Mapping[str, ProposalQuality]) -> Table:
    """A column a set, a row a figure. Recall, average recall and overlaps are fractions; a dash: no such objects."""
    rows = [(name, *map(_shown, values)) for name, *values in _rows(sets)]
    return text_table("Proposals; objects marked difficult left out", ["", *sets], rows)


def write_report(folder: Path, sets: Mapping[str, ProposalQuality]) -> list[Path]:
    """Write figures.csv, recall_by_iou.csv, recall_by_count.csv and recall.png; returns their paths."""
    curves = [[iou, *(one.iou_curve[i] for one in sets.values())] for i, iou in enumerate(CURVE_IOUS)]
    columns = {f"{name}: {key}": values for name, one in sets.items() for key, values in _by_count(one).items()}
    texts = {
        "figures.csv": csv_text([["figure", *sets], *_rows(sets)]),
        "recall_by_iou.csv": csv_text([["iou", *sets], *curves]),
        "recall_by_count.csv": csv_text([["proposals", *columns], *zip(CURVE_COUNTS, *columns.values(), strict=True)]),
    }
    for name, text in texts.items():
        write_text(folder / name, text)
    write_image(folder / "recall.png", recall_picture(sets))
    return [folder / name for name in (*texts, "recall.png")]


def _by_count(one: ProposalQuality) -> dict[str, list[float]]:
    """Name of a measure -> its value for the first so many proposals, for each of CURVE_COUNTS."""
    places = {f"recall at {iou:g}": IOU_THRESHOLDS.index(iou) for iou in _SHOWN_IOUS}
    curves = {name: [covered.recall[place] for covered in one.by_count] for name, place in places.items()}
    return curves | {"average recall": [covered.average_recall for covered in one.by_count], "MABO": one.mabo_by_count}


def recall_picture(sets: Mapping[str, ProposalQuality]) -> np.ndarray:
    """Recall against IoU, and recall at IoU 0.5 and 0.7 and average recall against proposals: (H, W, 3) uint8."""
    share = Axis("recall", 0, 1, (0, 0.2, 0.4, 0.6, 0.8, 1))
    overlap = Axis("IoU at least", 0.5, 1, (0.5, 0.6, 0.7, 0.8, 0.9, 1))
    count = Axis("first proposals of an image", CURVE_COUNTS[0], CURVE_COUNTS[-1], _COUNT_TICKS, True)
    charts = [line_chart("All proposals", overlap, share, [Line(n, CURVE_IOUS, s.iou_curve) for n, s in sets.items()])]
    titles = {f"recall at {iou:g}": f"IoU at least {iou:g}" for iou in _SHOWN_IOUS}
    for measure, title in (titles | {"average recall": "Average recall, IoU 0.5 to 0.95"}).items():
        lines = [Line(name, *_until_all(one, _by_count(one)[measure])) for name, one in sets.items()]
        charts.append(line_chart(title, count, share, lines, legend=0.45))
    return np.vstack([np.hstack(charts[:2]), np.hstack(charts[2:])])


def _until_all(one: ProposalQuality, values: Sequence[float]) -> tuple[list[float], list[float]]:
    """The points of a curve up to the first count that no image exceeds: from there on it is flat."""
    most = max(one.counts, default=0)
    shown = [place for place, count in enumerate(CURVE_COUNTS) if place == 0 or CURVE_COUNTS[place - 1] < most]
    # The last point lies where the proposals end, not where the next count is.
    return [min(CURVE_COUNTS[i], max(most, CURVE_COUNTS[0])) for i in shown], [values[i] for i in shown]
