"""What single filters of a trained network respond to, in single images and in a data set (paper, figure 2)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from detection.backbones.receptive_layers import ReceptiveField
from detection.data import read_image, write_image
from detection.inspection.pictures import GREEN, TEXT, framed, shrink
from detection.inspection.responses import (
    RankedPhoto,
    StrongestImages,
    activation_maps,
    local_maxima,
    receptive_boxes,
    strongest_responses,
    upsample,
)
from detection.pipeline.source import ImageSource
from detection.pipeline.work import Work, guarded
from detection.storage import readable_stems
from detection.types import AnnotatedImage, FeaturePyramid
from detection.visualization import (
    DrawingSettings,
    beside,
    captioned,
    class_colour,
    contact_sheet,
    draw_arrows,
    draw_boxes,
    heat_colours,
    heat_scale,
)

# Longer side in px of the pictures in a figure, on a page of a data set, and on its sheets.
_SHOWN_SIDE, _PAGE_SIDE, _CELL_SIDE = 480, 320, 150
_GAP, _SHEET_GAP = 46, 6
_SHEET_ROWS = 12
# All photos, whatever their classes, as a group like the photos of one class.
ALL = ""


@dataclass(frozen=True)
class FilterView:
    """Which filters of which map are shown.

    stage: index of the network's stage. scales: indices of the image scales: a filter is shown at that of its strongest
    response. channels: those asked for; none: the `strongest` ones. peaks: local maxima shown of a filter. fields: what
    a cell sees, to be drawn as rectangles, the first solid, others dashed.
    """

    stage: int
    fields: tuple[ReceptiveField, ...]
    scales: tuple[int, ...]
    channels: tuple[int, ...] = ()
    strongest: int = 3
    peaks: int = 3


def draw_filters(rgb: np.ndarray, pyramid: FeaturePyramid, view: FilterView) -> np.ndarray:
    """One image and its strongest or chosen filters: a row a filter, (H, W, 3) uint8.

    In each row the image with the receptive fields of the strongest responses, the filter's map in the image frame
    with its scale, and arrows from the responses to their places.
    """
    found = strongest_responses(pyramid, view.stage, view.scales)
    order = np.argsort(-found["value"], kind="stable")[: view.strongest].tolist()
    rows = [
        _filter_row(rgb, pyramid, view, channel, int(found["scale"][channel])) for channel in view.channels or order
    ]
    return framed(rows, TEXT, TEXT // 2)


def _filter_row(rgb: np.ndarray, pyramid: FeaturePyramid, view: FilterView, channel: int, scale: int) -> np.ndarray:
    values = activation_maps(pyramid, scale, view.stage)[channel].astype(np.float32)
    best = local_maxima(values, scale, view.peaks)
    shown, factor = shrink(rgb, _SHOWN_SIDE)
    colours = [class_colour(5 if number == 0 else number) for number in range(len(best))]
    boxes = receptive_boxes(best, view.fields, pyramid.scales, pyramid.size) * np.float32(factor)
    shown = _draw_fields(shown, boxes, best["value"], colours, DrawingSettings(0.006))
    low, high = float(values.min()), float(values.max())
    stride, offset, resized = int(pyramid.strides[view.stage]), pyramid.offsets[view.stage], pyramid.scales[scale]
    # In the frame of the picture as shown: so many resized px to each of its px.
    heat = heat_colours(upsample(values, shown.shape[:2], resized / factor, stride, offset), low, high)
    cells = np.stack([best["row"], best["column"]], axis=1)
    ends = np.clip(((offset + stride * cells) / resized)[:, ::-1], 0, pyramid.size[::-1]) * factor
    starts = ends + np.array([shown.shape[1] + _GAP, 0])
    row = draw_arrows(beside([shown, heat], _GAP), starts, ends, colours, TEXT)
    height, width = values.shape
    title = f"filter {channel}, stride {stride}, image at {resized:.3g} of its size: {height} x {width} cells"
    return captioned(beside([row, heat_scale(len(shown), low, high, TEXT)], TEXT // 2), [title], TEXT)


def _draw_fields(rgb: np.ndarray, boxes: np.ndarray, values, colours, settings: DrawingSettings) -> np.ndarray:
    """Boxes (F, N, 4) of N responses by each field on a picture: the first field's solid, with the values."""
    rest = (len(boxes) - 1) * len(values)
    texts, styles = [*(f"{one:.2f}" for one in values), *[""] * rest], ["solid"] * len(values) + ["dashed"] * rest
    return draw_boxes(rgb, boxes.reshape(-1, 4), texts, [*colours] * len(boxes), styles, settings)


def rank_images(
    source: ImageSource, images: Sequence[AnnotatedImage], classes: Sequence[str], view: FilterView, k: int, work: Work
) -> dict[str, StrongestImages]:
    """For each filter the images with the strongest response: of all (key ALL), and of the photos of each class.

    One pass over the maps of `images`; maps that are absent are made, unusable images listed in ``work.problems``.
    Memory: one image's maps, and k responses a filter and class. Raises ValueError where no image can be read.
    """
    channels = source.extractor().backbone.channels[view.stage]
    groups: dict[str, StrongestImages] = {}
    with work.progress("strongest responses", len(images)) as advance:
        for image in images:
            pyramid, problem = guarded(source.pyramid, image)
            advance()
            if problem is not None:
                work.problems.extend([problem])
                continue
            found = strongest_responses(pyramid, view.stage, view.scales)
            boxes = receptive_boxes(found, view.fields, pyramid.scales, pyramid.size)
            boxes /= np.array([*pyramid.size[::-1]] * 2, np.float32)
            for name in (ALL, *(classes[label] for label in np.unique(image.labels))):
                groups.setdefault(name, StrongestImages(channels, k)).add(image.image_id, found["value"], boxes)
    if not groups:
        raise ValueError(f"filters: expected at least one image that can be read, got none of {len(images)}")
    return groups


def write_small_images(
    groups: Mapping[str, StrongestImages], images: Mapping[str, AnnotatedImage], folder: Path, work: Work
) -> dict[str, Path]:
    """A small JPEG of every image that is ranked; image id -> file. Files that are there are kept."""
    written, ids = {}, sorted(set().union(*(group.image_ids() for group in groups.values())))
    with work.progress("small pictures", len(ids)) as advance:
        for image_id, stem in readable_stems(ids).items():
            path = folder / f"{stem}.jpg"
            if not path.is_file():
                image = images[image_id]
                write_image(path, shrink(read_image(image.path, image.size), _PAGE_SIDE)[0])
            written[image_id] = path
            advance()
    return written


def write_sheets(rows: Mapping[int, Sequence[RankedPhoto]], pictures: Mapping[str, Path], folder: Path) -> None:
    """PNG sheets of `_SHEET_ROWS` filters each: a row a filter, its number and its images, strongest first.

    rows: filter -> its photos. pictures: image id -> file of `write_small_images`.
    """
    channels = list(rows)
    for start in range(0, len(channels), _SHEET_ROWS):
        part = channels[start : start + _SHEET_ROWS]
        drawn = [captioned(_sheet_row(rows[channel], pictures), [f"filter {channel}"], TEXT) for channel in part]
        path = folder / f"filters-{part[0]:04d}-{part[-1]:04d}.png"
        write_image(path, framed(drawn, _SHEET_GAP, _SHEET_GAP))


def _sheet_row(ranked: Sequence[RankedPhoto], pictures: Mapping[str, Path]) -> np.ndarray:
    cells = []
    for photo in ranked:
        small, _ = shrink(read_image(pictures[photo.image_id]), _CELL_SIDE)
        boxes = photo.boxes[:, None] * np.array([*small.shape[1::-1]] * 2, np.float32)
        cells.append(_draw_fields(small, boxes, [photo.value], [GREEN], DrawingSettings(0.012, 0.09)))
    sheet = contact_sheet(cells, len(cells), (_CELL_SIDE, _CELL_SIDE), _SHEET_GAP)
    return sheet[_SHEET_GAP:-_SHEET_GAP, _SHEET_GAP:-_SHEET_GAP]
