"""Figures of a data set: its classes, sizes, shapes, crowding, and what selective search finds at each size."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.table import Table

from detection.command_line import text_table
from detection.data import read_image
from detection.data.labels import ImageObjects
from detection.proposals import ProposalSettings, best_overlaps, propose
from detection.talking import percent
from detection.visualization import Axis, Line, line_chart

# Sizes are the side in px of a square with the box's area; the limits between the bins.
SIZE_LIMITS = (16, 32, 48, 64, 96, 128, 192, 256, 384)
_RECALL_IOUS = (0.5, 0.7)
_QUANTILES = (0.1, 0.5, 0.9)


@dataclass(frozen=True)
class ObjectTable:
    """Every object of a set as columns; `overlap` is NaN where its image was not searched."""

    name: np.ndarray
    difficult: np.ndarray
    side: np.ndarray
    aspect: np.ndarray
    overlap: np.ndarray
    image: np.ndarray
    images: int


def search(image: ImageObjects, settings: ProposalSettings) -> np.ndarray:
    """The best overlap of each object of an image with its proposals: (G,)."""
    proposals = propose(image.image_id, read_image(image.path, image.size), settings).boxes
    boxes = np.array([item.box for item in image.objects], np.float32).reshape(-1, 4)
    return best_overlaps([proposals], [boxes])


def object_table(images: Sequence[ImageObjects], overlaps: dict[Path, np.ndarray]) -> ObjectTable:
    """The objects of images in order. overlaps: (G,) of the images that were searched, by path."""
    items = [(place, item) for place, image in enumerate(images) for item in image.objects]
    boxes = np.array([item.box for _, item in items], np.float64).reshape(-1, 4)
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    best = [overlaps.get(one.path, np.full(len(one.objects), np.nan)) for one in images]
    return ObjectTable(
        name=np.array([item.name for _, item in items], dtype=object),
        difficult=np.array([item.difficult for _, item in items], dtype=bool),
        side=np.sqrt(width * height),
        aspect=width / height,
        overlap=np.concatenate([np.zeros(0), *best]),
        image=np.array([place for place, _ in items], dtype=np.int64),
        images=len(images),
    )


_RECALL_COLUMNS = tuple(f"R@{iou:g}" for iou in _RECALL_IOUS)


def class_table(table: ObjectTable, classes: Sequence[str]) -> Table:
    """A row a class: counts, quantiles of size and shape, recall."""
    rows = []
    for name in [*classes, None]:
        own = np.ones(len(table.name), bool) if name is None else table.name == name
        counts = (own.sum(), (own & table.difficult).sum(), len(np.unique(table.image[own])))
        quantiles = (_quantiles(table.side[own], "{:.0f}"), _quantiles(table.aspect[own], "{:.2f}"))
        rows.append((name or "all", *map(str, counts), *quantiles, *_recalls(table.overlap[own])))
    header = ("class", "objects", "diff.", "images", "side, px", "w / h", *_RECALL_COLUMNS)
    return text_table("Objects by class (10 %, 50 %, 90 % quantiles)", header, rows)


def size_table(table: ObjectTable) -> Table:
    """A row a size: objects, and the recall that proposals have."""
    rows = []
    for low, high, own in size_bins(table.side):
        found = table.overlap[own]
        mean = f"{np.nanmean(found):.2f}" if np.isfinite(found).any() else "-"
        share = percent(own.mean(), 1) if len(own) else "-"
        size = f"{low} to {high}" if high else f"above {low}"
        rows.append((size, str(int(own.sum())), share, *_recalls(found), mean))
    header = ("side, px", "objects", "share", *_RECALL_COLUMNS, "best overlap")
    return text_table("Objects by size (side of a square of the same area)", header, rows)


def size_bins(side: np.ndarray) -> list[tuple[int, int | None, np.ndarray]]:
    """(from, up to, mask) of every bin of sizes; the last has no end."""
    place = np.digitize(side, SIZE_LIMITS, right=True)
    ends = (*SIZE_LIMITS, None)
    return [(low, high, place == index) for index, (low, high) in enumerate(zip((0, *SIZE_LIMITS), ends, strict=True))]


def _recalls(overlap: np.ndarray) -> list[str]:
    known = overlap[np.isfinite(overlap)]
    return [f"{(known >= iou).mean():.2f}" if len(known) else "-" for iou in _RECALL_IOUS]


def _quantiles(values: np.ndarray, form: str) -> str:
    return " ".join(form.format(one) for one in np.quantile(values, _QUANTILES)) if len(values) else "-"


def picture(table: ObjectTable, per_image: np.ndarray) -> np.ndarray:
    """Sizes, shapes and crowding as shares of objects and images below a value, and recall by size: (H, W, 3) uint8."""
    share = Axis("share", 0, 1, (0, 0.2, 0.4, 0.6, 0.8, 1))
    size = Axis("side, px", 8, 1024, (8, 16, 32, 64, 128, 256, 512, 1024), True)
    aspect = Axis("width / height", 0.125, 8, (0.125, 0.25, 0.5, 1, 2, 4, 8), True)
    most = int(per_image.max(initial=1))
    count = Axis("objects in an image", 0, most, sorted({0, *(round(most * part / 4) for part in range(1, 5))}))
    charts = [
        line_chart("Objects of at most this size", size, share, _below(table, table.side)),
        line_chart("Recall of proposals by size", size, share, _recall_lines(table)),
        line_chart("Objects of at most this shape", aspect, share, _below(table, table.aspect)),
        line_chart("Images with at most so many objects", count, share, [_cumulative("images", per_image)], legend=0.5),
    ]
    return np.vstack([np.hstack(charts[:2]), np.hstack(charts[2:])])


# Classes with a line of their own, the most frequent ones.
_LINES = 5


def _below(table: ObjectTable, values: np.ndarray) -> list[Line]:
    names, counts = np.unique(table.name.astype(str), return_counts=True)
    chosen = names[np.argsort(-counts, kind="stable")][:_LINES] if len(names) > 1 else ()
    return [_cumulative("all", values), *(_cumulative(str(name), values[table.name == name]) for name in chosen)]


def _cumulative(name: str, values: np.ndarray) -> Line:
    return Line(name, np.sort(values).tolist(), ((np.arange(len(values)) + 1) / max(len(values), 1)).tolist())


def _recall_lines(table: ObjectTable) -> list[Line]:
    known = np.isfinite(table.overlap)
    bins = [rows & known for _, _, rows in size_bins(table.side) if (rows & known).any()]
    sides = [float(np.median(table.side[rows])) for rows in bins]
    recalls = {iou: [float((table.overlap[rows] >= iou).mean()) for rows in bins] for iou in _RECALL_IOUS}
    return [Line(f"IoU at least {iou:g}", sides, values) for iou, values in recalls.items()]
