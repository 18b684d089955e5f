"""Selective search (Uijlings et al., IJCV 2013): proposals of an image, best first."""

import zlib

import cv2
import numpy as np

from detection.geometry import nms
from detection.proposals.colour import to_colour_space
from detection.proposals.grouping import group_regions
from detection.proposals.regions import describe, textures
from detection.proposals.segmentation import Segmentation, SortedEdges, blur, segment, sort_edges
from detection.proposals.settings import ProposalSettings

# Grouping takes more than linear time and a histogram for each region. Where a small min_size leaves more regions than
# FREE_REGIONS, their mean size is to be LEAST_MEAN_SIZE px at least, and their number MOST_REGIONS at most: what
# regions of 50 px, the least of the presets, cannot exceed within the default max_pixels.
FREE_REGIONS = 1000
LEAST_MEAN_SIZE = 16
MOST_REGIONS = 40_000


def check_image(rgb: np.ndarray, image_id: str = "") -> np.ndarray:
    """(H, W, 3) uint8, C-contiguous, from that or from grey (H, W) or (H, W, 1). ValueError otherwise."""
    what = f" {image_id!r}" if image_id else ""
    if not isinstance(rgb, np.ndarray) or rgb.dtype != np.uint8:
        got = getattr(rgb, "dtype", type(rgb).__name__)
        raise ValueError(f"image{what}: expected a uint8 array (height, width, 3) in RGB, got {got}")
    if rgb.ndim == 2 or (rgb.ndim == 3 and rgb.shape[2] == 1):
        rgb = np.repeat(rgb.reshape(*rgb.shape[:2], 1), 3, axis=2)
    if rgb.ndim != 3 or rgb.shape[2] != 3 or 0 in rgb.shape:
        raise ValueError(f"image{what}: expected shape (height, width, 3), both sides > 0, got {rgb.shape}")
    return np.ascontiguousarray(rgb)


def working_size(size: tuple[int, int], settings: ProposalSettings) -> tuple[int, int]:
    """(height, width) in px at which an image of that size is segmented, by resize_width and max_pixels."""
    height, width = size
    if settings.resize_width is not None:
        height, width = max(1, round(height * settings.resize_width / width)), settings.resize_width
    if settings.max_pixels is not None and height * width > settings.max_pixels:
        factor = (settings.max_pixels / (height * width)) ** 0.5
        height, width = max(1, int(height * factor)), max(1, int(width * factor))
    return height, width


def to_working_size(rgb: np.ndarray, settings: ProposalSettings) -> np.ndarray:
    """The image at its `working_size`."""
    working = working_size(rgb.shape[:2], settings)
    return rgb if working == rgb.shape[:2] else cv2.resize(rgb, working[::-1], interpolation=cv2.INTER_AREA)


def to_image_frame(
    boxes: np.ndarray, working: tuple[int, int], size: tuple[int, int], settings: ProposalSettings
) -> np.ndarray:
    """Boxes of the resized image in px of the original, those of min_side and more, the first max_windows: float32.

    Best first. Those that overlap a better one by more than max_overlap are dropped before the first are counted.

    working, size: (height, width) in px of the resized and the original image.
    """
    scale = np.array([size[1] / working[1], size[0] / working[0]] * 2)
    boxes = np.minimum((boxes * scale).astype(np.float32), np.float32([size[1], size[0]] * 2))
    sides = boxes[:, 2:] - boxes[:, :2]
    kept = boxes[(sides >= settings.min_side).all(axis=1)]
    if settings.resolved_max_overlap < 1:
        falling = np.arange(len(kept), 0, -1, dtype=np.float32)
        kept = kept[nms(kept, falling, settings.resolved_max_overlap)]
    return np.ascontiguousarray(kept[: settings.max_windows])


def _bounded(graph: SortedEdges, k: float, min_size: int) -> Segmentation:
    """Regions of at least min_size px, or of twice that, and so on, until there are few enough to be grouped."""
    pixels = graph.size[0] * graph.size[1]
    limit = min(MOST_REGIONS, max(FREE_REGIONS, pixels // LEAST_MEAN_SIZE))
    while (segmentation := segment(graph, k, min_size)).count > limit:
        min_size *= 2
    return segmentation


def hierarchies(rgb: np.ndarray, settings: ProposalSettings) -> tuple[np.ndarray, np.ndarray]:
    """All boxes of all runs, duplicates included: (B, 4) int32 half-open, and their levels (B,) int32.

    Level 1 is the last merge of a run (the whole image); the regions of a segmentation share the level below its
    first merge, and are listed once for all similarity sets.
    """
    boxes, levels = [], []
    area = rgb.shape[0] * rgb.shape[1]
    for space in settings.resolved_colour_spaces:
        image = to_colour_space(rgb, space)
        texture = textures(image)
        graph = sort_edges(blur(image, settings.sigma))
        for k in settings.resolved_ks:
            segmentation = _bounded(graph, k, k if settings.min_size is None else settings.min_size)
            regions = describe(segmentation, image, texture)
            boxes.append(regions.boxes)
            levels.append(np.full(segmentation.count, segmentation.count, np.int32))
            for similarity in settings.resolved_similarities:
                merged = group_regions(regions, segmentation.pairs, similarity, area)
                boxes.append(merged)
                levels.append(np.arange(len(merged), 0, -1, dtype=np.int32))
    return np.concatenate(boxes), np.concatenate(levels)


def search(rgb: np.ndarray, settings: ProposalSettings, seed: int) -> np.ndarray:
    """Proposals of an image as `check_image` returns it; see `selective_search`."""
    resized = to_working_size(rgb, settings)
    boxes, levels = hierarchies(resized, settings)
    stream = np.random.Generator(np.random.PCG64([seed, zlib.crc32(rgb.tobytes())]))
    rising = boxes[np.argsort(levels * stream.random(len(levels)), kind="stable")]
    height, width = resized.shape[:2]
    codes = np.ravel_multi_index(tuple(rising.T), (width + 1, height + 1) * 2)
    first = np.sort(np.unique(codes, return_index=True)[1])
    return to_image_frame(rising[first], (height, width), rgb.shape[:2], settings)


def selective_search(
    rgb: np.ndarray,
    settings: ProposalSettings | str | None = None,
    seed: int | None = None,
    *,
    preset: str | None = None,
) -> np.ndarray:
    """Proposals of one image by selective search, best first: (R, 4) float32.

    rgb: (H, W, 3) uint8 RGB, or grey (H, W). settings: ``ProposalSettings``, or the name of a preset; preset: the same
    by keyword. seed: replaces the settings' seed. Boxes are x1, y1, x2, y2 in px of the image, half-open, inside it,
    no two equal before scaling back; R <= max_windows, and R = 0 where no proposal has both sides of at least min_side
    (an image smaller than that has none).

    A box's priority is the smallest over its runs of level x random number, level 1 being the whole image (IJCV
    2013, section 4). The same image, settings and seed give the same boxes in any process. Raises ValueError for
    another dtype or shape, and for settings together with preset.
    """
    if preset is not None and settings is not None:
        raise ValueError("selective_search: expected settings or preset, got both")
    chosen = settings if settings is not None else preset
    if chosen is None or isinstance(chosen, str):
        chosen = ProposalSettings(preset=chosen or "fast")
    return search(check_image(rgb), chosen, chosen.seed if seed is None else seed)
