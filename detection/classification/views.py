"""Views of whole images and their vectors: the full image at any size, crops of it, windows of its map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from detection.data import DataError, read_image
from detection.data.formats.image_folders import MAP_EXTENSIONS, read_map
from detection.engines import limit_threads
from detection.features import FeatureExtractor, FeatureSettings, MapCache, settings_key
from detection.features.cache import map_settings
from detection.inspection.responses import activation_maps
from detection.pipeline.source import matching_extractor
from detection.pipeline.work import Work, map_images
from detection.pooling import pool_map, spatial_pyramid_pool
from detection.pooling.cells import cells_of
from detection.storage import file_fingerprint
from detection.types import ClassificationImage, FeaturePyramid

if TYPE_CHECKING:
    from detection.backbones.backbone import Backbone

VIEWS = ("full", "crop", "ten", "multi")
# Side of a crop in parts of the image's short side (paper, section 3.1.1): 224 of 256 px.
CROP_SHARE = 224 / 256
# Side in px of the windows of the full map, whatever its size (paper, section 3.1.5), and of the training image the
# short side of the map that gives the standard ten views.
VIEW_SIDE, VIEW_SIZE = 224, 256
# Places of views as (x, y) in shares of the room they have: 0 at the left or top, 1 at the right or bottom.
CENTRE = ((0.5, 0.5),)
CORNERS = (*CENTRE, (0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0))
# Also the middles of the sides: the paper's 9 places a scale (section 3.1.5).
NINE = (*CORNERS, (0.5, 0.0), (0.5, 1.0), (0.0, 0.5), (1.0, 0.5))
_NO_CAP = 100_000


def squares(size: tuple[int, int], side: float, places: Sequence[tuple[float, float]]) -> np.ndarray:
    """(V, 4) float32 squares of `side` px in an image of `size` (height, width); smaller where there is no room."""
    side = min(side, *size)
    corners = np.array(places) * [size[1] - side, size[0] - side]
    return np.concatenate([corners, corners + side], axis=1).astype(np.float32)


def crops(rgb: np.ndarray, places: Sequence[tuple[float, float]]) -> list[np.ndarray]:
    """Squares of an image, of `CROP_SHARE` of its shorter side."""
    boxes = np.rint(squares(rgb.shape[:2], CROP_SHARE * min(rgb.shape[:2]), places)).astype(int)
    return [np.ascontiguousarray(rgb[y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)]) for x1, y1, x2, y2 in boxes.tolist()]


def mirrored(rgb: np.ndarray) -> np.ndarray:
    """An image left to right."""
    return np.ascontiguousarray(rgb[:, ::-1])


def view_settings(settings: FeatureSettings, size: int) -> FeatureSettings:
    """The same features of images with their short side at `size` px alone, without a cap on the longer one."""
    return replace(settings, short_sides=(size,), max_long_side=_NO_CAP, layer="pool5")


def full_vector(pyramid: FeaturePyramid, settings: FeatureSettings) -> np.ndarray:
    """The settings' spatial pyramid over the whole image at the first scale: (D,) float32, stage by stage."""
    maps = (activation_maps(pyramid, 0, stage) for stage in range(len(pyramid.strides)))
    return np.concatenate([pool_map(one, settings.levels, settings.pooling) for one in maps])


def region_vectors(pyramid: FeaturePyramid, boxes: np.ndarray, settings: FeatureSettings) -> np.ndarray:
    """Regions of the image pooled from its full map at the first scale: boxes (V, 4) -> (V, D) float32."""
    scale, parts = float(pyramid.scales[0]), []
    for stride, offset, maps in zip(pyramid.strides.tolist(), pyramid.offsets, pyramid.maps[0], strict=True):
        cells = cells_of(boxes, scale, stride, offset, pyramid.size, maps.shape[1:], settings)
        parts.append(spatial_pyramid_pool(np.asarray(maps, np.float32), cells, settings.levels, settings.pooling))
    return np.concatenate(parts, axis=1)


@dataclass(frozen=True)
class ViewSource:
    """Where the maps of views are kept and how those absent are made; picklable. weights: of the backbone.

    backbone: another network than that of the settings, whose maps are not kept; None: theirs. started_in: where
    relative paths of the settings start.
    """

    folder: Path
    settings: FeatureSettings
    weights: str
    device: str = "cpu"
    threads: int = 1
    backbone: Backbone | None = None
    started_in: Path = field(default_factory=Path.cwd)

    def extractor(self, size: int) -> FeatureExtractor:
        """The extractor of images with their short side at `size` px, of the process this runs in."""
        settings = view_settings(self.settings, size)
        if self.backbone is None:
            return matching_extractor(settings, self.device, self.started_in, self.weights)
        # Convolutions that were trained are torch's, whatever computes the frozen ones.
        return FeatureExtractor(replace(settings, engine=self.backbone.engine), self.backbone, device=self.device)

    def vectors(self, image: ClassificationImage, view: str, size: int, flips: bool) -> np.ndarray:
        """The vectors of one view of an image, (V, D) float32: V 1, with its mirror image 2, or of several places.

        view: "full"; "crop" (the middle square of 224/256 of the short side); "ten" (the same square in the middle
        and the corners, with mirror images); "multi" (9 windows of 224 px from the map of the full image at `size`,
        with mirror images, each once). size: short side in px; of crops the side of what the network sees. flips: the
        mirror image too where it is not part of the view. Raises DataError for an unusable image.
        """
        if image.path.suffix.lower() in MAP_EXTENSIONS:
            return pool_map(read_map(image.path), self.settings.levels, self.settings.pooling)[None]
        rgb = read_image(image.path, max_pixels=None)
        pictures = [(rgb, "")]
        if flips or view in ("ten", "multi"):
            pictures.append((mirrored(rgb), "#mirrored"))
        with limit_threads(self.threads):
            return np.concatenate([self._of_picture(image, *one, view, size) for one in pictures])

    def _of_picture(self, image: ClassificationImage, rgb: np.ndarray, name: str, view: str, size: int) -> np.ndarray:
        extractor = self.extractor(size)
        if view == "ten":
            return np.array([full_vector(extractor.pyramid("crop", one), self.settings) for one in crops(rgb, CORNERS)])
        if view == "crop":
            (rgb,), name = crops(rgb, CENTRE), f"#crop{name}"
        pyramid = self._pyramid(extractor, image, rgb, name)
        if view == "multi":
            boxes = squares(rgb.shape[:2], VIEW_SIDE / float(pyramid.scales[0]), NINE)
            return region_vectors(pyramid, np.unique(boxes, axis=0), self.settings)
        return full_vector(pyramid, self.settings)[None]

    def _pyramid(
        self, extractor: FeatureExtractor, image: ClassificationImage, rgb: np.ndarray, name: str
    ) -> FeaturePyramid:
        image_id, settings = image.image_id + name, extractor.settings
        if self.backbone is not None:
            return extractor.pyramid(image_id, rgb)
        cache = MapCache(self.folder, settings_key(settings, self.weights), map_settings(settings))
        key = file_fingerprint(image.path)
        found = cache.read(image_id, key)
        if found is None:
            found = extractor.pyramid(image_id, rgb)
            cache.write(found, key)
        return found


def view_vectors(
    source: ViewSource, images: Sequence[ClassificationImage], view: str, size: int, flips: bool, work: Work
) -> list[np.ndarray]:
    """`ViewSource.vectors` of every image, in order; they are made ``work.workers`` at a time.

    Raises DataError for the first image that cannot be read: an image without a vector has no score.
    """
    task = partial(source.vectors, view=view, size=size, flips=flips)
    before = len(work.problems)
    found = [vectors for _, vectors in map_images(task, images, work, f"{view} {size} px")]
    if len(found) != len(images):
        first = list(work.problems)[before]
        raise DataError(first.kind, first.file, first.message)
    return found
