"""Figures of a data set: its classes, sizes, shapes, crowding, and what selective search finds at each size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.table import Table
from rich.text import Text

from detection.commands.dataset import SetOptions, open_set
from detection.data import read_image, write_image
from detection.data.labels import ImageObjects
from detection.pipeline.work import Work, map_images
from detection.proposals import ProposalSettings, best_overlaps, propose
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


def stats(options: SetOptions, work: Work, out: str | None, sample: int, seed: int, settings: ProposalSettings) -> int:
    """Print figures of a set; write them as a picture to `out`. sample: images searched for proposals, 0 none."""
    checked = open_set(options, work)
    images = list({one.path: one for images in checked.splits.values() for one in images}.values())
    chosen = sorted(np.random.default_rng(seed).permutation(len(images))[:sample].tolist())
    found = map_images(_Search(settings), [images[place] for place in chosen], work, "proposals")
    table = object_table(images, {image.path: overlaps for image, overlaps in found})
    work.console.print(class_table(table, checked.classes))
    work.console.print(size_table(table))
    per_image = np.bincount(table.image, minlength=table.images)
    figures = (f"mean {per_image.mean():.1f}", f"most {per_image.max(initial=0)}", f"none in {(per_image == 0).sum()}")
    work.console.print(f"objects an image: {', '.join(figures)}", highlight=False)
    work.console.print(
        f"R@0.5, R@0.7: recall of {settings.source} at that IoU, on {len(chosen)} images", highlight=False
    )
    if out is not None:
        write_image(out, picture(table, per_image))
        work.console.print(out, highlight=False, markup=False, soft_wrap=True)
    return 0


@dataclass(frozen=True)
class _Search:
    """A picklable task: the best overlap of each object of an image with the proposals of selective search."""

    settings: ProposalSettings

    def __call__(self, image: ImageObjects) -> np.ndarray:
        proposals = propose(image.image_id, read_image(image.path, image.size), self.settings).boxes
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


def class_table(table: ObjectTable, classes: Sequence[str]) -> Table:
    """A row a class: counts, quantiles of size and shape, recall."""
    shown = Table(title="Objects by class (10 %, 50 %, 90 % quantiles)", box=None, title_justify="left")
    heads = ("class", "objects", "diff.", "images", "side, px", "w / h")
    for head in (*heads, *(f"R@{iou:g}" for iou in _RECALL_IOUS)):
        shown.add_column(head, justify="left" if head == "class" else "right", no_wrap=head != "class")
    for name in [*classes, None]:
        rows = np.ones(len(table.name), bool) if name is None else table.name == name
        counts = (rows.sum(), (rows & table.difficult).sum(), len(np.unique(table.image[rows])))
        quantiles = (_quantiles(table.side[rows], "{:.0f}"), _quantiles(table.aspect[rows], "{:.2f}"))
        shown.add_row(Text(name or "all"), *map(str, counts), *quantiles, *_recalls(table.overlap[rows]))
    return shown


def size_table(table: ObjectTable) -> Table:
    """A row a size: objects, and the recall that proposals have."""
    title = "Objects by size (side of a square of the same area)"
    shown = Table(title=title, box=None, title_justify="left")
    for head in ("side, px", "objects", "share", *(f"R@{iou:g}" for iou in _RECALL_IOUS), "best overlap"):
        shown.add_column(head, justify="right")
    for low, high, rows in size_bins(table.side):
        found = table.overlap[rows]
        mean = f"{np.nanmean(found):.2f}" if np.isfinite(found).any() else "-"
        label = f"{low} to {high}" if high else f"above {low}"
        share = f"{rows.mean():.1%}" if len(rows) else "-"
        shown.add_row(label, str(int(rows.sum())), share, *_recalls(found), mean)
    return shown


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
    most = max(int(per_image.max(initial=1)), 1)
    count = Axis("objects in an image", 0, most, sorted({0, *(round(most * part / 4) for part in range(1, 5))}))
    charts = [
        line_chart("Objects of at most this size", size, share, _below(table, table.side)),
        line_chart("Recall of proposals by size", size, share, _recall_lines(table)),
        line_chart("Objects of at most this shape", aspect, share, _below(table, table.aspect)),
        line_chart("Images with at most so many objects", count, share, [_cumulative("images", per_image)], legend=0.5),
    ]
    return np.concatenate([np.concatenate(charts[:2], axis=1), np.concatenate(charts[2:], axis=1)])


# Classes with a line of their own, the most frequent ones.
_LINES = 5


def _below(table: ObjectTable, values: np.ndarray) -> list[Line]:
    names, counts = np.unique(table.name.astype(str), return_counts=True)
    chosen = names[np.argsort(-counts, kind="stable")][:_LINES]
    lines = [_cumulative("all", values)]
    return lines + [_cumulative(str(name), values[table.name == name]) for name in chosen if len(names) > 1]


def _cumulative(name: str, values: np.ndarray) -> Line:
    ordered = np.sort(values)
    return Line(name, ordered.tolist(), ((np.arange(len(ordered)) + 1) / max(len(ordered), 1)).tolist())


def _recall_lines(table: ObjectTable) -> list[Line]:
    lines = []
    for iou in _RECALL_IOUS:
        points = [
            (float(np.median(table.side[rows & known])), float((table.overlap[rows & known] >= iou).mean()))
            for known in [np.isfinite(table.overlap)]
            for _, _, rows in size_bins(table.side)
            if (rows & known).any()
        ]
        lines.append(Line(f"IoU at least {iou:g}", [x for x, _ in points], [y for _, y in points]))
    return lines
