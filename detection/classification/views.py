"""Views of whole images: the full image at any size, crops that the network sees alone, windows of the full map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from detection.features.extractor import FeatureExtractor
from detection.features.settings import FeatureSettings
from detection.geometry import project_to_cells
from detection.inspection.responses import seen_part
from detection.pooling.spp import pool_array, pool_map
from detection.types import FeaturePyramid

# Side of a view and of the short side of the image it is cut from (paper, section 3.1.1): 224 of 256 px.
CROP_SHARE = 224 / 256


@dataclass(frozen=True)
class Places:
    """Where views lie, as (x, y) in shares of the room they have: 0 at the left or top, 1 at the right or bottom."""

    shares: tuple[tuple[float, float], ...]

    def boxes(self, size: tuple[int, int], side: float) -> np.ndarray:
        """(V, 4) float32 squares of `side` px in an image of `size` (height, width); smaller where there is no room."""
        side = min(side, *size)
        room = np.array([size[1] - side, size[0] - side])
        corners = np.array(self.shares) * room
        return np.concatenate([corners, corners + side], axis=1).astype(np.float32)


CENTRE = Places(((0.5, 0.5),))
CORNERS = Places(((0.5, 0.5), (0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)))
# Also the middles of the sides: the paper's 9 places a scale (section 3.1.5).
NINE = Places((*CORNERS.shares, (0.5, 0.0), (0.5, 1.0), (0.0, 0.5), (1.0, 0.5)))


def view_settings(settings: FeatureSettings, sizes: Sequence[int]) -> FeatureSettings:
    """The same features with images at short sides of `sizes` px, without a cap on the longer side."""
    return replace(settings, short_sides=tuple(sizes), max_long_side=_NO_CAP, layer="pool5")


_NO_CAP = 100_000


def full_vector(pyramid: FeaturePyramid, scale: int, levels: tuple[int, ...]) -> np.ndarray:
    """The pyramid over the whole image at one scale: (D,) float32, stage by stage."""
    return np.concatenate([pool_map(seen_part(pyramid, scale, t), levels) for t in range(len(pyramid.strides))])


def window_vectors(pyramid: FeaturePyramid, scale: int, boxes: np.ndarray, levels: tuple[int, ...]) -> np.ndarray:
    """Windows of the image pooled from its full map at one scale: boxes (V, 4) -> (V, D) float32."""
    factor, parts = float(pyramid.scales[scale]), []
    for stage, (stride, offset) in enumerate(zip(pyramid.strides, pyramid.offsets, strict=True)):
        one = np.asarray(pyramid.maps[scale][stage], np.float32)
        cells = project_to_cells(boxes, factor, int(stride), offset, pyramid.size, one.shape[1:])
        parts.append(pool_array(one, cells, levels))
    return np.concatenate(parts, axis=1)


def cut_centre(rgb: np.ndarray) -> np.ndarray:
    """The middle square of an image, of `CROP_SHARE` of its shorter side."""
    size = rgb.shape[:2]
    x1, y1, x2, y2 = np.rint(CENTRE.boxes(size, CROP_SHARE * min(size))[0]).astype(int)
    return np.ascontiguousarray(rgb[y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)])


def crop_vectors(extractor: FeatureExtractor, rgb: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Crops that the network sees by themselves, each resized to the extractor's one short side: (V, D) float32."""
    vectors = []
    for x1, y1, x2, y2 in np.rint(boxes).astype(int).tolist():
        crop = np.ascontiguousarray(rgb[y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)])
        vectors.append(full_vector(extractor.pyramid("crop", crop), 0, extractor.settings.levels))
    return np.array(vectors)


def mirrored(rgb: np.ndarray) -> np.ndarray:
    """An image left to right."""
    return np.ascontiguousarray(rgb[:, ::-1])
