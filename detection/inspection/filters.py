"""Stage: what single filters of a trained network answer to single images and to a data set (paper, figure 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from detection.backbones.receptive_layers import ReceptiveField
from detection.data import read_image, write_image
from detection.geometry import clip
from detection.inspection.responses import Response, StrongestImages, peaks, seen_part, strongest, upsample
from detection.pipeline.source import ImageSource
from detection.pipeline.work import Work, guarded, progress
from detection.storage import file_stem
from detection.types import AnnotatedImage, FeaturePyramid
from detection.visualization import (
    DrawingSettings,
    beside,
    captioned,
    class_colour,
    draw_arrows,
    draw_boxes,
    heat_colours,
    heat_scale,
    stacked,
)

GREEN = (0, 190, 60)
# Height of text in a picture, px; longer side of the pictures in a figure, and on a page of a data set.
_TEXT = 15
_SHOWN_SIDE, _PAGE_SIDE, _CELL_SIDE = 480, 320, 150
_GAP = 46
_SHEET_ROWS = 12
# All classes of a photo, as a group of images beside the groups of single classes.
ALL = ""


@dataclass(frozen=True)
class FilterView:
    """Which filters of which map are looked at.

    stage: index of the network's stage. scales: indices of the image scales, None for all: a filter is shown at that
    of its strongest response. channels: those asked for; none: the `strongest` ones. peaks: places shown of a filter.
    fields: what a cell sees, to be drawn as rectangles, the first solid, others dashed.
    """

    stage: int
    fields: tuple[ReceptiveField, ...]
    scales: tuple[int, ...] | None = None
    channels: tuple[int, ...] = ()
    strongest: int = 3
    peaks: int = 3


def seen_boxes(responses: Sequence[Response], field_: ReceptiveField, pyramid: FeaturePyramid) -> np.ndarray:
    """What the cells of `responses` see, (N, 4) float32, image frame, clipped at the border."""
    boxes = [field_.boxes(np.array([[one.row, one.column]]))[0] / float(pyramid.scales[one.scale]) for one in responses]
    return clip(np.array(boxes, np.float32).reshape(-1, 4), pyramid.size)


def centre_of(response: Response, pyramid: FeaturePyramid, stage: int) -> np.ndarray:
    """(x, y) of a cell's centre in px of the image."""
    cell = np.array([response.row, response.column])
    centre = (pyramid.offsets[stage] + pyramid.strides[stage] * cell) / pyramid.scales[response.scale]
    return np.clip(centre[::-1], 0, np.array(pyramid.size[::-1]))


def shrink(rgb: np.ndarray, side: int) -> tuple[np.ndarray, float]:
    """(an image with its longer side at most `side` px, its size in parts of the given one)."""
    factor = min(side / max(rgb.shape[:2]), 1.0)
    if factor == 1:
        return rgb, 1.0
    width, height = (max(1, round(one * factor)) for one in rgb.shape[1::-1])
    return np.asarray(Image.fromarray(rgb).resize((width, height), Image.Resampling.LANCZOS)), factor


def draw_filters(rgb: np.ndarray, pyramid: FeaturePyramid, view: FilterView) -> np.ndarray:
    """One image and its strongest or chosen filters: a row a filter, (H, W, 3) uint8.

    In each row the image with what the strongest responses see, the filter's map in the image frame with its scale,
    and arrows from the responses to their places. Raises ValueError for a filter that the stage has not.
    """
    found = strongest(pyramid, view.stage, view.scales)
    unknown = [one for one in view.channels if not 0 <= one < len(found)]
    if unknown:
        raise ValueError(f"filter: expected 0 to {len(found) - 1}, got {unknown[0]}")
    order = np.argsort(-found["value"], kind="stable")[: view.strongest]
    rows = [_filter_row(rgb, pyramid, view, int(channel), found[channel]) for channel in view.channels or order]
    return np.pad(stacked(rows, _TEXT), ((_TEXT // 2,) * 2, (_TEXT // 2,) * 2, (0, 0)), constant_values=255)


def _filter_row(rgb: np.ndarray, pyramid: FeaturePyramid, view: FilterView, channel: int, best: np.void) -> np.ndarray:
    scale, stage = int(best["scale"]), view.stage
    values = seen_part(pyramid, scale, stage)[channel].astype(np.float32)
    top = peaks(values, scale, view.peaks)
    shown, factor = shrink(rgb, _SHOWN_SIDE)
    colours = [class_colour(5 if number == 0 else number) for number in range(len(top))]
    for number, one in reversed(list(enumerate(view.fields))):
        texts = [f"{response.value:.2f}" if number == 0 else "" for response in top]
        boxes = seen_boxes(top, one, pyramid) * np.float32(factor)
        shown = draw_boxes(shown, boxes, texts, colours, "solid" if number == 0 else "dashed", DrawingSettings(0.006))
    low, high = float(values.min()), float(values.max())
    stride, size, resized = int(pyramid.strides[stage]), shown.shape[:2], float(pyramid.scales[scale])
    # In the frame of the picture as shown: so many resized px to each of its px.
    heat = heat_colours(upsample(values, size, resized / factor, stride, pyramid.offsets[stage]), low, high)
    row = beside([shown, heat], _GAP)
    ends = np.array([centre_of(one, pyramid, stage) * factor for one in top]).reshape(-1, 2)
    starts = ends + np.array([shown.shape[1] + _GAP, 0])
    row = beside([draw_arrows(row, starts, ends, colours, _TEXT), heat_scale(size[0], low, high, _TEXT)], _TEXT // 2)
    title = (
        f"filter {channel}, stride {stride}, image at {resized:.3g} of its size: {values.shape[0]} x {values.shape[1]} "
        f"cells"
    )
    return captioned(row, [title], _TEXT)


@dataclass
class FilterRanking:
    """For each filter the images that answer it best: of the whole set (key ALL) and of the photos of each class.

    images: image id -> (size, classes) of every image looked at. boxes are worked out from `scales_of` an image.
    """

    k: int
    channels: int
    groups: dict[str, StrongestImages] = field(default_factory=dict)

    def add(self, image_id: str, classes: Sequence[str], found: np.ndarray) -> None:
        """Offer one image with the names of the classes on it."""
        for name in (ALL, *classes):
            self.groups.setdefault(name, StrongestImages(self.channels, self.k)).add(image_id, found)

    def image_ids(self) -> list[str]:
        """Every image in the ranking, sorted."""
        found = (group.of(channel) for group in self.groups.values() for channel in range(self.channels))
        return sorted({image_id for ranked in found for image_id, _ in ranked})


def rank_images(
    source: ImageSource, images: Sequence[AnnotatedImage], classes: Sequence[str], view: FilterView, k: int, work: Work
) -> FilterRanking:
    """One pass over the maps of `images`; maps that are absent are made, unusable images listed in ``work.problems``.

    Memory: one image's maps, and k records a filter and class.
    """
    ranking = FilterRanking(k, source.extractor().backbone.channels[view.stage])
    with progress(work.console, "strongest responses", len(images)) as advance:
        for image in images:
            pyramid, problem = guarded(source.pyramid, image)
            advance()
            if problem is not None:
                work.problems.extend([problem])
                continue
            names = [classes[label] for label in np.unique(image.labels)]
            ranking.add(image.image_id, names, strongest(pyramid, view.stage, view.scales))
    return ranking


@dataclass(frozen=True)
class RankedBox:
    """One picture of a filter's row.

    boxes: what the response sees by each of ``FilterView.fields``: x1, y1, x2, y2 in parts of the image's sides.
    """

    image_id: str
    value: float
    boxes: tuple[tuple[float, ...], ...]


def ranked_boxes(
    ranking: FilterRanking,
    group: str,
    channel: int,
    images: dict[str, AnnotatedImage],
    source: ImageSource,
    view: FilterView,
) -> list[RankedBox]:
    """A filter's row in a group of images, strongest first."""
    result = []
    for image_id, response in ranking.groups[group].of(channel):
        size = images[image_id].size
        scale = float(source.extractor().scales(size)[response.scale])
        cell = np.array([[response.row, response.column]])
        boxes = np.concatenate([field_.boxes(cell) / scale for field_ in view.fields])
        boxes = clip(boxes, size) / np.array([size[1], size[0]] * 2)
        result.append(RankedBox(image_id, response.value, tuple(tuple(box) for box in boxes.tolist())))
    return result


def write_small_images(
    ranking: FilterRanking, images: dict[str, AnnotatedImage], folder: Path, work: Work
) -> dict[str, Path]:
    """A small JPEG of every image in the ranking; image id -> file. Files that are there are kept."""
    written, ids = {}, ranking.image_ids()
    with progress(work.console, "small pictures", len(ids)) as advance:
        for image_id in ids:
            path = folder / f"{file_stem(image_id)}.jpg"
            if not path.is_file():
                image = images[image_id]
                write_image(path, shrink(read_image(image.path, image.size), _PAGE_SIDE)[0])
            written[image_id] = path
            advance()
    return written


def filter_sheets(rows: Sequence[tuple[int, list[RankedBox]]], pictures: dict[str, Path], folder: Path) -> list[Path]:
    """PNG sheets of `_SHEET_ROWS` filters each: a row a filter, its number and its images, strongest first."""
    written = []
    for start in range(0, len(rows), _SHEET_ROWS):
        part = rows[start : start + _SHEET_ROWS]
        path = folder / f"filters-{part[0][0]:04d}-{part[-1][0]:04d}.png"
        write_image(path, filter_sheet(part, pictures))
        written.append(path)
    return written


def filter_sheet(rows: Sequence[tuple[int, list[RankedBox]]], pictures: dict[str, Path]) -> np.ndarray:
    """One sheet of any number of filters, (H, W, 3) uint8."""
    drawn = []
    for channel, ranked in rows:
        cells = [_sheet_cell(one, pictures[one.image_id]) for one in ranked]
        drawn.append(captioned(beside(cells, 6), [f"filter {channel}"], _TEXT))
    return np.pad(stacked(drawn, 6), ((6, 6), (6, 6), (0, 0)), constant_values=255)


def _sheet_cell(one: RankedBox, path: Path) -> np.ndarray:
    small, _ = shrink(read_image(path), _CELL_SIDE)
    height, width = small.shape[:2]
    boxes = (np.array(one.boxes) * [width, height, width, height]).astype(np.float32)
    lines = DrawingSettings(0.012, 0.09)
    drawn = draw_boxes(small, boxes[1:], [""] * (len(boxes) - 1), [GREEN] * (len(boxes) - 1), "dashed", lines)
    drawn = draw_boxes(drawn, boxes[:1], [f"{one.value:.2f}"], [GREEN], settings=lines)
    cell = np.full((_CELL_SIDE, _CELL_SIDE, 3), 255, np.uint8)
    top, left = (_CELL_SIDE - height) // 2, (_CELL_SIDE - width) // 2
    cell[top : top + height, left : left + width] = drawn
    return cell
